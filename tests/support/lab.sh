# A lab of pods on one machine; to be sourced after scripts/lib.sh, and used by root.
# Guests are booted Debian systems (systemd-nspawn), namespace pods a lighter kind: this machine's
# own file system behind an sshd and a network of their own. `ssh -F "$lab/ssh_config" NAME` logs in
# to either as the ordinary user `dev`; no configuration or known host outside $lab is read. Machines
# (lab_machine.sh) are guests with a kernel, and so a clock, of their own.
#
# Nothing is mounted in the machine's own mount namespace but /run/netns/*: the mounts of a pod die
# with its processes. So what a crashed test leaves behind is processes, a network namespace, a
# control group and directories below $lab, which `lab_down --all` finds by the state in $lab.
# Pods reach this machine and nothing else: no route leads further, and nothing is forwarded.
# shellcheck shell=bash disable=SC2154
lab=${CPODS_LAB:-$target/lab}
lab_cgroup2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
# shellcheck source=tests/support/lab_base.sh
. "$top/tests/support/lab_base.sh"
# shellcheck source=tests/support/lab_faults.sh
. "$top/tests/support/lab_faults.sh"
# shellcheck source=tests/support/lab_machine.sh
. "$top/tests/support/lab_machine.sh"

# lab_can: whether this machine can be a lab; says on stdout why not
lab_can() {
  [ "$(id -u)" = 0 ] || { echo "a lab needs root"; return 1; }
  has apt-get || { echo "a lab needs Debian"; return 1; }
  case $lab in *[:,\"\\]*) echo "a bad path for a lab: $lab"; return 1 ;; esac
  [ -n "$lab_cgroup2" ] || { echo "no cgroup2 is mounted"; return 1; }
  grep -qw overlay /proc/filesystems || modprobe -q overlay || { echo "no overlay"; return 1; }
  grep -qw fuse /proc/filesystems || modprobe -q fuse || { echo "no FUSE"; return 1; }
  unshare -mnp --fork --mount-proc true 2>/dev/null || { echo "namespaces are refused"; return 1; }
  need ip:iproute2
  unshare -n ip link add lab0 type veth peer name lab1 2>/dev/null || { echo "no veth"; return 1; }
  mkdir -p "$lab"
  lab__fuse || { echo "device nodes below $lab are refused"; return 1; }
}

# The machine's /dev/fuse may be root's alone, and its mode is not ours to change: a node of our own
# is bound over it, with the mode that udev would give.
lab__fuse() {
  [ -c "$lab/fuse" ] || mknod "$lab/fuse" c 10 229 2>/dev/null || return
  chmod 666 "$lab/fuse"
}

# lab_setup: the packages, key pair and ssh_config, where missing; the functions below call it
lab_setup() {
  local why
  [ -z "${lab_ready:-}" ] || return 0
  why=$(lab_can) || die "$why"
  need debootstrap:debootstrap systemd-nspawn:systemd-container sshfs:sshfs bwrap:bubblewrap \
    /usr/sbin/sshd:openssh-server ssh-keygen:openssh-client python3:python3
  mkdir -p "$lab/keys"
  chmod 755 "$lab"; chmod 700 "$lab/keys"
  # Each pod brings its own part, so that nothing here has to be rewritten.
  (
    flock 9
    [ -e "$lab/keys/id" ] || ssh-keygen -q -t ed25519 -N '' -C cpods-lab -f "$lab/keys/id"
    cat >"$lab/ssh_config" <<CONFIG
Include "$lab/*/ssh_config"
Host *
  User dev
  IdentityFile "$lab/keys/id"
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile "$lab/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  ConnectTimeout 10
  ControlPath "$lab/control-%C"
CONFIG
  ) 9>"$lab/lock"
  lab_ready=1
}

# lab_ssh NAME CMD...: as the pod's ordinary user (root@NAME: as root, on guests)
lab_ssh() { ssh -F "$lab/ssh_config" "$@"; }

# lab__begin NAME: the state of a new pod: directory, host key, network
lab__begin() {
  local name=$1 dir=$lab/$1 key=$lab/keys/host-$1
  case $name in
    *[!a-z0-9-]*|''|base-*|home-*|keys|*-far) die "a bad name for a pod: $name" ;;
  esac
  lab_setup
  [ ! -e "$dir" ] || lab_down "$name"
  mkdir -p "$dir" "$lab/home-$name"
  (
    flock 9
    # Host keys outlive their pods: a name has the same key each time.
    [ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$key"
    for key in "$lab"/keys/host-*.pub; do
      echo "$(basename "$key" .pub | cut -c 6-) $(cut -d ' ' -f 1,2 "$key")"
    done >"$lab/known_hosts.new"
    mv "$lab/known_hosts.new" "$lab/known_hosts"
  ) 9>"$lab/lock"
  lab__net "$name"
}

# lab__net NAME: a network namespace and a veth pair. Their four addresses are chosen by a hash, out
# of the range for benchmarks (198.18.0.0/15), passing over what there is a route to: labs that run
# at the same time do not clash.
lab__net() {
  local dir=$lab/$1 id hash at net
  id=$(printf '%s' "$dir" | sha256sum | cut -c 1-10)
  echo "lab$id" >"$dir/link"
  (
    flock 9
    hash=$((16#${id:0:6}))
    while :; do
      at=$((hash % 32768 * 4)) hash=$((hash + 1))
      net=198.$((18 + at / 65536)).$((at / 256 % 256))
      at=$((at % 256))
      ip -4 route show match "$net.$at/30" | grep -qv '^default' || break
    done
    ip netns add "lab$id" \
      && ip link add "lab$id" type veth peer name host0 netns "lab$id" \
      && ip addr add "$net.$((at + 1))/30" dev "lab$id" \
      && ip link set "lab$id" up \
      && ip -n "lab$id" addr add "$net.$((at + 2))/30" dev host0 \
      && ip -n "lab$id" link set lo up \
      && ip -n "lab$id" link set host0 up \
      && echo "$net.$((at + 2))" >"$dir/address"
  ) 9>/run/lock/cpods-lab || die "no network for $1"
}

# lab__host NAME HOST ADDRESS PORT USER: makes HOST a name for the pod NAME
lab__host() {
  printf 'Host %s\n  HostName %s\n  Port %s\n  User %s\n  HostKeyAlias %s\n' \
    "$2" "$3" "$4" "$5" "$1" >>"$lab/$1/ssh_config"
}

# lab__start NAME KIND ARG...: runs lab__in_KIND in a mount namespace and a session of its own
lab__start() {
  local name=$1 kind=$2; shift 2
  (
    # shellcheck disable=SC2016
    CPODS_LAB=$lab setsid unshare -m --propagation private \
      bash -c '. "$1/scripts/lib.sh"; . "$1/tests/support/lab.sh"; shift; "$@"' lab \
      "$top" "lab__in_$kind" "$name" "$@" </dev/null >"$lab/$name/log" 2>&1 &
    lab__note $! "$lab/$name/pid"
  )
}

# A process is known by its number and its start: numbers come round again.
lab__note() { echo "$1 $(lab__birth "$1")" >"$2"; }
lab__birth() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# lab__pid FILE: the process noted there, if it still lives
lab__pid() {
  local pid birth
  read -r pid birth 2>/dev/null <"$1" || return 1
  [ -n "$birth" ] && [ "$(lab__birth "$pid")" = "$birth" ] && echo "$pid"
}

# lab__tree PID: it and all its descendants, parents first. Nothing leaves the tree of a pod's
# first process: in a PID namespace that one adopts all orphans, those of inner namespaces too.
lab__tree() {
  local pid children
  echo "$1"
  children=$(cat "/proc/$1/task/"*/children 2>/dev/null) || return 0
  for pid in $children; do lab__tree "$pid"; done
}

# lab__stop PID: stops its tree, until no new process comes to light; prints the processes
lab__stop() {
  local before='' now
  while now=$(lab__tree "$1"); [ "$now" != "$before" ]; do
    # shellcheck disable=SC2086
    kill -STOP $now 2>/dev/null || true
    before=$now
  done
  echo "$now"
}

# lab__end FILE: kills the process noted there and its descendants, and waits for their end
lab__end() {
  local pid pids left
  pid=$(lab__pid "$1") || return 0
  pids=$(lab__stop "$pid")
  # shellcheck disable=SC2086
  kill -KILL $pids 2>/dev/null || true
  for _ in {1..200}; do
    left=''
    for pid in $pids; do
      ! grep -qs '^State:.[^Z]' "/proc/$pid/status" || left+=" $pid"
    done
    [ -n "$left" ] || return 0
    sleep 0.05
  done
  die "still there after SIGKILL:$left"
}

# lab__leader NAME: the process that is the pod's PID 1; noted, since it takes a look at all of the pod's
lab__leader() {
  local pid
  ! lab__pid "$lab/$1/leader" || return 0
  pid=$(lab__pid "$lab/$1/pid") || die "the pod $1 is not up"
  for pid in $(lab__tree "$pid"); do
    # Number 1 in a namespace below ours; else `lab_exec` would run on the machine itself.
    [ -z "$(awk '/^NSpid:/ && NF > 2 && $NF == 1' "/proc/$pid/status" 2>/dev/null)" ] \
      || { lab__note "$pid" "$lab/$1/leader"; echo "$pid"; return; }
  done
  die "the pod $1 is not up"
}

# lab__wait NAME SECONDS: until one can log in
lab__wait() {
  local end=$((SECONDS + $2))
  until lab_ssh -o ConnectTimeout=3 "$1" true 2>"$lab/$1/ssh.log" </dev/null; do
    if [ $SECONDS -ge $end ] || ! lab__pid "$lab/$1/pid" >/dev/null; then
      tail -n 20 "$lab/$1/log" "$lab/$1/ssh.log" >&2
      die "the pod $1 does not come up"
    fi
    sleep 0.1
  done
}

# lab__home NAME UID: the home directory of its ordinary user, with our key
lab__home() {
  chmod 755 "$lab/home-$1"
  install -d -m 700 "$lab/home-$1/.ssh"
  install -m 600 "$lab/keys/id.pub" "$lab/home-$1/.ssh/authorized_keys"
  chown -R "$2:$2" "$lab/home-$1"
}

# lab_guest NAME RELEASE [USER]: boots a guest, with its ordinary user (uid 1000)
lab_guest() {
  lab_base "$2"
  lab__begin "$1"
  mkdir -p "$lab/$1"/{upper,work,root,tmp}
  chmod 1777 "$lab/$1/tmp"
  lab__host "$1" "$1" "$(cat "$lab/$1/address")" 22 "${3:-dev}"
  lab__start "$1" guest "$2" "${3:-dev}"
  lab__wait "$1" 90
}

# lab__tree_of NAME ROOT USER: what makes a Debian tree that of one guest
lab__tree_of() {
  local name=$1 root=$2 user=$3
  echo "$name" >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$root/etc/hosts"
  [ "$user" = root ] || chroot "$root" useradd -u 1000 --no-create-home -s /bin/bash "$user"
  install -m 600 "$lab/keys/host-$name" "$root/etc/ssh/ssh_host_ed25519_key"
  echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >"$root/etc/ssh/sshd_config.d/lab.conf"
  install -d -m 700 "$root/root/.ssh"
  install -m 600 "$lab/keys/id.pub" "$root/root/.ssh/authorized_keys"
}

lab__in_guest() {
  local name=$1 base=$lab/base-$2 user=$3 dir=$lab/$1 root=$lab/$1/root link code other
  link=$(cat "$dir/link")
  # The base stays as it is, below an overlay; where overlay is refused (the lab lies on an overlay
  # itself), a copy takes its place.
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" "$root" \
    || cp -a --reflink=auto "$base/." "$root/"
  lab__tree_of "$name" "$root" "$user"
  lab__home "$name" 1000
  mkdir -p "$root/home/$user"
  # systemd wants a cgroup tree that is its own, and systemd 257 none but version 2: show nspawn that
  # one as if it were the machine's only one (its controllers may be taken by version 1).
  mkdir -p "$lab_cgroup2/$link"
  echo $$ >"$lab_cgroup2/$link/cgroup.procs"
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # What lets a user namespace in the guest mount a fresh proc is to be the guest's /run/whole-proc,
  # and nothing else: nspawn 252 leaves the procs of this namespace where the kernel finds them.
  awk '$3 == "proc" && $2 != "/proc" { print $2 }' /proc/self/mounts | while read -r other; do
    umount -l "$(printf %b "$other")"
  done
  mount -t tmpfs cover /proc/fs
  # With --keep-unit a reboot is exit code 133, and left to the caller. Home and /tmp are no part of
  # the overlay: the upper directory of another overlay, such as a worker's, cannot lie on it.
  while code=0; SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -D "$root" --boot \
    --machine="$name" --settings=no --register=no --keep-unit --console=read-only \
    --network-namespace-path="/run/netns/$link" --resolv-conf=off --timezone=off \
    --link-journal=no --bind="$lab/fuse:/dev/fuse" --bind="$dir/tmp:/tmp" \
    --bind="$lab/home-$name:/home/$user" || code=$?; [ $code = 133 ]; do :; done
  return $code
}

# lab_namespace NAME [HIDDEN...]: a pod that has this machine's own files, but for /home, /run and
# the directories HIDDEN, which are empty there (else it would find the hub's files without cpods)
lab_namespace() {
  lab__begin "$1"
  lab__host "$1" "$1" "$(cat "$lab/$1/address")" 22 dev
  lab__start "$1" namespace "${@:2}"
  lab__wait "$1" 20
}

lab__in_namespace() {
  local name=$1 dir=$lab/$1 run=$lab/$1/run uid=1000 file hidden net; shift
  net=/run/netns/$(cat "$dir/link")
  until ! getent passwd $uid && ! getent group $uid; do uid=$((uid + 1)); done >/dev/null
  lab__home "$name" $uid
  # What sshd needs is collected in what becomes /run: $lab itself may be hidden in the end.
  mkdir -p "$run"
  mount -t tmpfs -o mode=755 run "$run"
  mkdir -m 755 "$run"/{sshd,lock,mount,lab,lab/home}
  install -m 600 "$lab/keys/host-$name" "$run/lab/host_key"
  for file in passwd group shadow; do cp -a /etc/$file "$run/lab/$file"; done
  echo "dev:x:$uid:$uid::/home/dev:/bin/bash" >>"$run/lab/passwd"
  echo "dev:x:$uid:" >>"$run/lab/group"
  echo "dev:*:19000:0:99999:7:::" >>"$run/lab/shadow"
  for file in passwd group shadow; do mount --bind "$run/lab/$file" /etc/$file; done
  printf '%s\n' "HostKey /run/lab/host_key" "PidFile none" "UsePAM no" "PermitRootLogin no" \
    "Subsystem sftp /usr/lib/openssh/sftp-server" >"$run/lab/sshd_config"
  mount --bind "$lab/fuse" /dev/fuse
  mount --bind "$lab/home-$name" "$run/lab/home"
  mount -t tmpfs -o mode=755 home /home
  mkdir -p /home/dev
  mount --move "$run/lab/home" /home/dev
  # Out of the way of what is hidden, until it becomes /run.
  mount --move "$run" /mnt
  for hidden; do mount -t tmpfs -o mode=755 hidden "$hidden"; done
  # sshd is PID 1 in there: it reaps whatever ends, and all ends with it.
  # shellcheck disable=SC2016
  exec nsenter --net="$net" unshare --uts --ipc --pid --fork --kill-child --mount-proc bash -c '
    mount --move /mnt /run; hostname "$1"; cd /
    exec /usr/sbin/sshd -D -e -f /run/lab/sshd_config' lab "$name"
}

# lab_exec NAME CMD...: as root inside
lab_exec() {
  local leader
  if [ -e "$lab/$1/disk" ]; then lab__exec_machine "$@"; return; fi
  leader=$(lab__leader "$1"); shift
  nsenter -t "$leader" -m -u -i -n -p -r -w env -i HOME=/root LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# lab_down NAME... | --all: ends pods and removes what they leave, also those of a test that crashed
lab_down() {
  local name dir link all=()
  if [ "$*" = --all ]; then
    for link in "$lab"/*/link; do
      [ ! -e "$link" ] || all+=("$(basename "$(dirname "$link")")")
    done
    set -- "${all[@]}"
  fi
  for name; do
    dir=$lab/$name
    lab__end "$dir/relay"
    lab__end "$dir/pid"
    if link=$(cat "$dir/link" 2>/dev/null); then
      ip link del "$link" 2>/dev/null || true
      ip netns del "$link" 2>/dev/null || true
      [ ! -d "$lab_cgroup2/$link" ] || find "$lab_cgroup2/$link" -depth -type d -exec rmdir {} +
      [ ! -d "$(lab_memory_group "$name")" ] || rmdir "$(lab_memory_group "$name")" || true
    fi
    rm -rf --one-file-system "$dir" "$lab/home-$name"
  done
}

# lab_trap: ends all pods with the script, however it ends
lab_trap() {
  trap 'lab_down --all' EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
}
