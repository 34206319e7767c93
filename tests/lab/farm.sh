# A farm in the lab: a hub and three pods, booted guests that are joined by cables of their own, and
# have nothing of cpods until the project's playbooks put it there. To be sourced after
# scripts/lib.sh; everything is done as the guests' ordinary user `dev`, who has sudo, as a person's
# account on a new Debian machine has.
# shellcheck shell=bash disable=SC2154
CPODS_LAB=${CPODS_LAB:-$target/farm}
export CPODS_LAB
# shellcheck source=tests/support/lab.sh
. "$top/tests/support/lab.sh"
farm_pods=(box1 box2 other)
farm_venv=$target/venv
# What site.yml installs beside the project's own; the literate project needs it all. (Debian 13 has no
# Frama-C.)
farm_cross='[]'
case ${CPODS_LAB_TOOLS:-few} in
  all)
    farm_tools='[gcc, clang, context, framac, z3, verifast, joylol]' farm_cross='[aarch64]'
    farm_tools_other='[gcc, clang, z3, verifast, joylol]' ;;
  gcc) farm_tools='[gcc]' farm_tools_other='[gcc]' ;;
  *) farm_tools='[gcc, z3, verifast, joylol]' farm_tools_other=$farm_tools ;;
esac

# need_ansible: Ansible for this machine, to check playbooks; and for the hub, whose Python is another
need_ansible() {
  if ! "$farm_venv/bin/ansible-lint" --version >/dev/null 2>&1; then
    need_venv
    say "fetching ansible-core and ansible-lint"
    stubbornly "$farm_venv/bin/pip" install -q ansible-core ansible-lint || die "cannot install Ansible"
  fi
}

# farm_ansible PYTHON: Ansible for a hub with this version of Python, such as 3.11, in $lab/ansible-3.11
farm_ansible() {
  local place=$lab/ansible-$1
  [ ! -d "$place" ] || return 0
  say "fetching ansible-core for the hub"
  rm -rf "$place.new"
  stubbornly "$farm_venv/bin/pip" install -q --target "$place.new" --python-version "$1" \
    --only-binary :all: ansible-core || die "cannot fetch Ansible for the hub"
  mv "$place.new" "$place"
}

# farm_cable POD NUMBER: joins the hub and a pod; `hub` is then the hub's name there
farm_cable() {
  local hub pod net=198.51.100
  hub=$(cat "$lab/hub/link") pod=$(cat "$lab/$1/link")
  ip link add "to-$1" netns "$hub" type veth peer name to-hub netns "$pod"
  ip -n "$hub" addr add "$net.$(($2 * 4 + 1))/30" dev "to-$1"
  ip -n "$hub" link set "to-$1" up
  ip -n "$pod" addr add "$net.$(($2 * 4 + 2))/30" dev to-hub
  ip -n "$pod" link set to-hub up
  lab_exec hub sh -c "echo $net.$(($2 * 4 + 2)) $1 >>/etc/hosts"
  lab_exec "$1" sh -c "echo $net.$(($2 * 4 + 1)) hub >>/etc/hosts"
}

# farm_cut POD..., farm_join POD...: pulls the cables between the hub and these pods; plugs them in
farm_cut() { local pod; for pod; do ip -n "$(cat "$lab/$pod/link")" link set to-hub down; done; }
farm_join() { local pod; for pod; do ip -n "$(cat "$lab/$pod/link")" link set to-hub up; done; }

# farm_ready NAME: what a person does on a new machine: an account with sudo, apt's sources
farm_ready() {
  local release address
  release=$(lab_exec "$1" sh -c '. /etc/os-release; echo "$VERSION_CODENAME"')
  address=$(cat "$lab/$1/address")
  address=${address%.*}.$((${address##*.} - 1))
  # shellcheck disable=SC2016
  lab_exec "$1" sh -ec '
    echo "dev ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/dev
    useradd -m -s /bin/bash other 2>/dev/null || true
    rm -f /etc/apt/sources.list.d/*
    echo "deb http://$1/ $2 main" >/etc/apt/sources.list
    apt-get -q update' sh "$address:$farm_port" "$release" >"$lab/$1/ready.log" 2>&1 </dev/null \
    || die "$1 is not ready: $(tail -n 3 "$lab/$1/ready.log")"
}
farm_port=3142

# farm_mirror POD...: packages for guests, as long as the first of them is up
farm_mirror() {
  local pod addresses=() address
  for pod; do
    address=$(cat "$lab/$pod/address")
    addresses+=("${address%.*}.$((${address##*.} - 1))")
  done
  (
    setsid python3 "$top/tests/lab/packages.py" --mirror "$(lab__mirror bookworm)" --port $farm_port \
      --keep "$lab/packages" "${addresses[@]}" </dev/null >"$lab/$1/mirror.log" 2>&1 &
    lab__note $! "$lab/$1/mirror"
  )
  for _ in {1..100}; do
    ! grep -qs ready "$lab/$1/mirror.log" || return 0
    sleep 0.1
  done
  die "no packages for guests: $(cat "$lab/$1/mirror.log")"
}

# hub CMD...: as the hub's user, with what a login gives
hub() { lab_ssh hub -- "PATH=\$HOME/.local/bin:\$PATH; $*"; }

# farm_known POD: the hub's user can log in there
farm_known() {
  hub cat .ssh/id_ed25519.pub | lab_ssh "$1" 'cat >>.ssh/authorized_keys'
  echo "$1 $(cut -d ' ' -f 1,2 "$lab/keys/host-$1.pub")" | hub 'cat >>.ssh/known_hosts'
}

# farm_up: the guests, as they come from the shop; the hub's user can log in on the pods
farm_up() {
  local pod number=0 python
  lab_setup
  need_ansible
  farm_down
  lab_guest hub bookworm-bare & 
  for pod in "${farm_pods[@]}"; do
    [ "$pod" = other ] && lab_guest "$pod" trixie-bare || lab_guest "$pod" bookworm-bare
  done
  wait
  farm_mirror hub "${farm_pods[@]}"
  for pod in hub "${farm_pods[@]}"; do farm_ready "$pod"; done
  for pod in "${farm_pods[@]}"; do farm_cable "$pod" $((number++)); done
  # A key of the hub's user, and what `ssh-copy-id` and a first login do.
  hub "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519"
  for pod in "${farm_pods[@]}"; do farm_known "$pod"; done
  # The project, as built, and Ansible.
  python=$(hub 'python3 -c "import sys; print(\"%d.%d\" % sys.version_info[:2])"')
  farm_ansible "$python"
  hub mkdir -p cpods/target ansible work
  tar -C "$lab/ansible-$python" -c . | hub tar -C ansible -x
  farm_project
}

# farm_project: the project's own files on the hub: programs, playbooks, units
farm_project() {
  tar -C "$top" -c ansible systemd | hub 'rm -rf cpods/ansible cpods/systemd; tar -C cpods -x'
  tar -C "$(dirname "$dist")" -c "$(basename "$dist")" | hub 'tar -C cpods/target -x'
  # An archive of VeriFast as it would be fetched, and the sources of joyLoL.
  local made=$lab/verifast pod
  need gcc:gcc
  if [ ! -e "$made.tar.gz" ]; then
    mkdir -p "$made/verifast-lab/bin"
    gcc -static -o "$made/verifast-lab/bin/verifast" "$top/tests/lab/verifast.c"
    touch "$made/verifast-lab/bin/"{prelude.h,prelude_core.gh,list.gh}
    tar -C "$made" -czf "$made.tar.gz" verifast-lab
  fi
  for pod in hub "${farm_pods[@]}"; do
    lab_exec "$pod" sh -c 'cat >/var/tmp/verifast.tar.gz && chmod 644 /var/tmp/verifast.tar.gz' <"$made.tar.gz"
  done
  tar -C "$top/tests/lab" -c joylol rules | hub 'tar -x'
  # A tool of the user's own, with a rule of the user's own.
  gcc -O1 -static -o "$lab/sleeper" "$top/tests/lab/sleeper.c"
  for pod in hub "${farm_pods[@]}"; do
    lab_exec "$pod" sh -c 'cat >/usr/local/bin/sleeper.new && chmod 755 /usr/local/bin/sleeper.new && mv /usr/local/bin/sleeper.new /usr/local/bin/sleeper' <"$lab/sleeper"
  done
  sed "s/SHA256/$(sha256sum <"$made.tar.gz" | cut -d ' ' -f 1)/; s/TOOLS_OTHER/$farm_tools_other/
    s/TOOLS/$farm_tools/; s/CROSS/$farm_cross/" \
    "$top/tests/lab/inventory.yml" \
    | hub 'cat >cpods/ansible/inventory.yml'
}

# playbook NAME [ARG...]: on the hub, by its user
playbook() {
  local name=$1; shift
  hub "cd cpods/ansible && PYTHONPATH=~/ansible ANSIBLE_FORCE_COLOR=0 \
    python3 -m ansible playbook $name.yml $*"
}

# farm_down: ends the guests, and removes them
farm_down() {
  local helper
  for helper in "$lab"/*/mirror "$lab"/*/far; do lab__end "$helper"; done
  lab_down --all
}

# lab_trap_farm: the guests end with the script, however it ends
lab_trap_farm() {
  trap farm_down EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
}
