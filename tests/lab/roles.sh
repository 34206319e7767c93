#!/usr/bin/env bash
# tests/lab/roles.sh: single roles of ansible/ on this machine, in a scratch home and without root's
# rights: what no guest is needed for, and what needs programs that cannot be had here (stand-ins then).
# shellcheck disable=SC2016
. "$(dirname "$0")/../support/real.sh"
. "$top/tests/lab/farm.sh"
need_ansible
need gcc:gcc make:make python3:python3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export ANSIBLE_CONFIG=$top/ansible/ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0
export ROLES_HOME=$scratch/home
opt=$ROLES_HOME/.local/opt/cpods
mkdir -p "$ROLES_HOME" "$scratch/bin"

# inventory [LINE...]: this machine, with these variables
inventory() {
  { printf '%s\n' all: '  hosts:' '    machine:' '      ansible_connection: local'
    printf '      %s\n' "ansible_python_interpreter: $(command -v python3)" "$@"; } >"$scratch/hosts.yml"
}

# role ROLE [ARG...]: does what a role does; prints what is wrong
role() {
  local name=$1; shift
  PATH=$scratch/bin:$PATH "$farm_venv/bin/ansible-playbook" -i "$scratch/hosts.yml" -e "roles_role=$name" "$@" \
    "$top/tests/lab/roles.yml" >"$scratch/log" 2>&1 \
    || { grep -A 8 -m 1 -E 'fatal:|ERROR' "$scratch/log" || tail -n 5 "$scratch/log"; } | tr '\n' ' '
}
# again ROLE [ARG...]: the same, which must change nothing now
again() { role "$@"; sed -n '/^PLAY RECAP/,$p' "$scratch/log" | grep -oE 'changed=[1-9][0-9]*' || true; }

# --- An archive of LMTX: one program by several names, and a stub of the same name above it.
lmtx=$scratch/lmtx
platform=$lmtx/tex/texmf-linux-64/bin
mkdir -p "$platform" "$lmtx/bin" "$lmtx/tex/texmf-context/scripts/context/stubs/unix" "$lmtx/tex/context"
gcc -O1 -o "$platform/luametatex" "$top/tests/support/lmtx.c"
ln -s luametatex "$platform/mtxrun"
ln -s luametatex "$platform/context"
touch "$platform/mtxrun.lua" "$platform/context.lua" "$lmtx/tex/texmf-context/macros"
for stub in bin tex/texmf-context/scripts/context/stubs/unix; do
  printf '#!/bin/sh\nexit 9\n' >"$lmtx/$stub/mtxrun"
  chmod +x "$lmtx/$stub/mtxrun"
done
tar -C "$lmtx" -czf "$scratch/lmtx.tar.gz" .
inventory 'cpods_context_from: lmtx' "cpods_context_url: file://$scratch/lmtx.tar.gz" \
  "cpods_context_sha256: $(sha256sum <"$scratch/lmtx.tar.gz" | cut -d ' ' -f 1)"
verdict "LMTX from an archive, in check mode" "$(role cpods_context --check)"
verdict "LMTX from an archive" "$(role cpods_context)"
at=$(readlink "$opt/bin/context" || true)
verdict "its links lead to the programs, not to stubs" "$([[ $at == */tex/texmf-linux-64/bin/context ]] || echo "$at")"
verdict "it runs where the link leads" "$("$at" --version 2>&1 | grep -v 'current version' || true)"
verdict "no link that it would not work through" "$(ls "$ROLES_HOME/.local/bin")"
verdict "LMTX again changes nothing" "$(again cpods_context)"
rm "$platform/context.lua"
tar -C "$lmtx" -czf "$scratch/lmtx.tar.gz" .
inventory 'cpods_context_from: lmtx' "cpods_context_url: file://$scratch/lmtx.tar.gz" \
  "cpods_context_sha256: $(sha256sum <"$scratch/lmtx.tar.gz" | cut -d ' ' -f 1)"
verdict "an archive without a script is refused" "$(role cpods_context | grep -q 'has no folder that holds' || echo "it went through")"

# --- Frama-C by opam, which stands in for itself: its answer to what it asks is what is looked at.
cat >"$scratch/bin/opam" <<'OPAM'
#!/bin/sh -e
[ "$OPAMYES" = 1 ] && [ "$OPAMNODEPEXTS" = 1 ] || { echo 'the packages must be installed; run apt-get? no'; exit 10; }
case $1 in
init) mkdir -p "$OPAMROOT" && touch "$OPAMROOT/config" ;;
switch) mkdir -p "$OPAMROOT/$3/bin" && touch "$OPAMROOT/$3/bin/ocaml" ;;
install) for program in frama-c why3; do
  printf '#!/bin/sh\n' >"$OPAMROOT/${2#--switch=}/bin/$program"
  chmod +x "$OPAMROOT/${2#--switch=}/bin/$program"
done ;;
esac
OPAM
chmod +x "$scratch/bin/opam"
inventory 'cpods_framac_from: opam'
verdict "Frama-C by opam" "$(role cpods_framac -e roles_from=opam)"
verdict "frama-c is found by a person's shell" "$("$ROLES_HOME/.local/bin/frama-c" 2>&1)"
verdict "Frama-C again changes nothing" "$(again cpods_framac -e roles_from=opam)"
if has apt-cache; then
  missing=
  for package in $(sed -n 's/^  - //p' "$top/ansible/roles/cpods_framac/defaults/main.yml"); do
    apt-cache show "$package" >/dev/null 2>&1 || missing+="$package "
  done
  verdict "all packages that it is built with are there" "$missing"
fi

# --- joyLoL: what is built here, or was built of other sources, is not what is built there.
cp -r "$top/tests/lab/joylol" "$scratch/joylol"
printf 'not for this machine' >"$scratch/joylol/joylol"
chmod +x "$scratch/joylol/joylol"
printf 'nor this' >"$scratch/joylol/joylol.o"
touch -d '+1 hour' "$scratch/joylol/joylol" "$scratch/joylol/joylol.o"
echo old >"$scratch/joylol/gone.c"
inventory "cpods_joylol_source: $scratch/joylol"
joylol() { "$ROLES_HOME/.local/bin/joylol" "$scratch/in" -o "$scratch/out" 2>&1 && cat "$scratch/out"; }
echo x >"$scratch/in"
verdict "joylol where a program of another machine lies among the sources" "$(role cpods_joylol)$(joylol | grep -vxF 'by joylol: x')"
verdict "joylol again changes nothing" "$(again cpods_joylol)"
rm "$scratch/joylol/gone.c"
sed -i 's/by joylol/by another/' "$scratch/joylol/joylol.c"
echo 'joylol: wrong' >"$scratch/joylol/Makefile"
verdict "sources that cannot be built are told" "$(role cpods_joylol | grep -q 'non-zero return code' || echo "it went through")"
verdict "and the program that there was stays" "$(joylol | grep -vxF 'by joylol: x')"
cp "$top/tests/lab/joylol/Makefile" "$scratch/joylol/"
verdict "joylol of changed sources" "$(role cpods_joylol)$(joylol | grep -vxF 'by another: x')"
verdict "nothing of earlier sources is left" "$(find "$opt" -name gone.c -o -maxdepth 1 -name 'joylol-*' | sed 1d)"

# --- Rules: what was brought goes with its source; what a person put there stays.
mkdir -p "$scratch/rules/more" "$ROLES_HOME/.config/cpods/rules"
touch "$scratch/rules/a.toml" "$scratch/rules/more/b.toml" "$ROLES_HOME/.config/cpods/rules/own.toml"
inventory "cpods_rules: $scratch/rules"
rules() { (cd "$ROLES_HOME/.config/cpods/rules" && find . -type f | sort | tr '\n' ' '); }
verdict "rules are brought" "$(role cpods_common -e roles_from=rules)$(rules | grep -vxF './a.toml ./more/b.toml ./own.toml ')"
verdict "rules again changes nothing" "$(again cpods_common -e roles_from=rules)"
rm "$scratch/rules/a.toml"
verdict "a rule that is gone goes" "$(role cpods_common -e roles_from=rules)$(rules | grep -vxF './more/b.toml ./own.toml ')"
inventory
verdict "rules that nobody asks for go" "$(role cpods_common -e roles_from=rules)$(rules | grep -vxF './own.toml ')"
verdict "no rules again changes nothing" "$(again cpods_common -e roles_from=rules)"

# --- hub.toml
{ inventory 'cpods_use: [plain, port, six, own]' 'cpods_schedd_roots: [/srv]' 'cpods_hub_mirror_gib: 7' 'cpods_not_identical: [gcc]' 'cpods_by_version: [gcc, z3]'
  printf '    %s\n' 'plain: {cpods_toolchain: send}' 'port: {ansible_port: 2222, ansible_user: me, ansible_host: far}' \
    'six: {ansible_port: 22, ansible_host: "fd00::1"}' 'own: {ansible_port: 1, cpods_ssh: alias, cpods_hub_view: rewrite}' >>"$scratch/hosts.yml"
}
problem=$(role cpods_schedd -e roles_template=hub.toml -e '{"roles_vars": ["defaults", "vars"]}')
said=$(python3 - "$ROLES_HOME/hub.toml" <<'PYTHON' 2>&1
import sys, tomllib
hub = tomllib.load(open(sys.argv[1], "rb"))
pods = {pod.pop("name"): pod for pod in hub["pods"]}
assert pods == {"plain": {"ssh": "plain", "toolchain": "send"}, "port": {"ssh": "ssh://me@far:2222"},
                "six": {"ssh": "ssh://[fd00::1]:22"}, "own": {"ssh": "alias", "view": "rewrite"},
                "local": {"own": True}}, pods
assert hub["mirror_gib"] == 7 and hub["tools"] == {
    "gcc": {"match": "version", "identical": False}, "z3": {"match": "version"}}, hub
PYTHON
) && said=
verdict "hub.toml says what the inventory says" "$problem$said"

# --- AppArmor's profile, by its own parser, where that is new enough for what is said.
inventory
verdict "the profile is written" "$(role cpods_common -e roles_template=cpods.apparmor)"
if PATH=$PATH:/sbin:/usr/sbin has apparmor_parser && [ -e /etc/apparmor.d/abi/4.0 ]; then
  problem=$(PATH=$PATH:/sbin:/usr/sbin apparmor_parser -QTK "$ROLES_HOME/cpods.apparmor" 2>&1) && problem=
  verdict "apparmor_parser takes it" "$problem"
else
  say "no apparmor_parser of version 4 here: the profile is not parsed"
fi
totals
