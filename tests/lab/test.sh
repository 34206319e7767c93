#!/usr/bin/env bash
# tests/lab/test.sh [PART...]: a farm in the lab, provisioned by the playbooks, and what may happen
# to it in the middle of a build. Parts: those below; `sample` is short, and none of the usual ones.
# CPODS_LAB_PROJECTS="lua libgit2 literate" says what is built (lua; in a soak all three). With
# CPODS_LAB_KEEP=1 the guests that there are serve, and are left. CPODS_LAB_ONLY=REGEX, CPODS_LAB_KILLS,
# CPODS_LAB_SECONDS and CPODS_LAB_INTERRUPTS say which faults, how often, and for how long.
farm_projects=${CPODS_LAB_PROJECTS:-lua${CPODS_SOAK:+ libgit2 literate}}
case $farm_projects,$* in *literate*) CPODS_LAB_TOOLS=all ;; *,sample) CPODS_LAB_TOOLS=gcc ;; esac
. "$(dirname "$0")/../support/real.sh"
. "$top/tests/lab/farm.sh"
. "$top/tests/lab/builds.sh"
for part in status hits faults kills interrupt hub_faults upgrade security hubs release; do
  . "$top/tests/lab/$part.sh"
done
. "$top/tests/lab/measure.sh"
. "$top/tests/lab/clock.sh"
log=$lab/test.log
[ $# != 0 ] || set -- install tools builds kills noticed faults interrupt hub security upgrade protocol hubs release measure clock stop lint
if ! why=$(lab_can); then
  say "no lab on this machine: $why"
  verdict "a farm in a lab where there can be none is left out" ""
  totals
  exit
fi
[ -n "${CPODS_LAB_KEEP:-}" ] || lab_trap_farm

# seconds SINCE
seconds() { awk -v b="$1" -v e="$(date +%s.%N)" 'BEGIN { printf "%.1f", e - b }'; }

# played NAME [ARG...]: runs a playbook; its recap is then in $log.NAME. Prints what is wrong
played() {
  playbook "$@" >"$log.$1" 2>&1 || { grep -A 8 -m 1 'fatal:' "$log.$1" || tail -n 5 "$log.$1"; } | tr '\n' ' '
}
# unchanged NAME: what a playbook changed, from its recap
unchanged() { sed -n '/^PLAY RECAP/,$p' "$log.$1" | grep -vE 'changed=0 |^PLAY|^$' | tr '\n' ' ' || true; }

part_install() {
  local began problem
  [ -n "${CPODS_LAB_KEEP:-}" ] || { say "booting the guests"; farm_up; }
  verdict "site.yml --check where nothing is yet" "$(played site --check)"
  began=$(date +%s.%N)
  problem=$(played site)
  say "site.yml: $(seconds "$began") s"
  verdict "site.yml" "$problem"
  problem=$(played start)
  verdict "start.yml: every pod in use" "$problem"
  hub 'mkdir -p work/first && cd work/first && echo "int x;" >a.c && gcc -g -c a.c -o here.o'
  problem=$(hub 'cd work/first && CPODS_FALLBACK=0 cpods-cc gcc -g -c a.c -o there.o && cmp here.o there.o' 2>&1) || true
  say "from machines with nothing but sshd to the first remote job: $(seconds "$began") s"
  verdict "the first remote job" "$problem"
  problem=$(played site)
  verdict "site.yml again changes nothing" "$problem$(unchanged site)"
  problem=$(played start)
  verdict "start.yml again changes nothing" "$problem$(unchanged start)"
  verdict "status.yml" "$(played status)$(unchanged status)"
  # Errors of the person's are told before anything is touched.
  problem=$(playbook site "-e cpods_tools=gcc" 2>&1) && problem="it went through" \
    || { grep -q 'must be a list of some of' <<<"$problem" && problem=; }
  verdict "a list of tools that is none is refused" "$problem"
  problem=$(playbook site "-e '{\"cpods_roots\": [\"~/absent\"]}' --limit cpods_hubs" 2>&1) && problem="it went through" \
    || { grep -q 'names what is no directory there' <<<"$problem" && problem=; }
  verdict "a root that is not there is refused" "$problem"
}

# part_sample: of all that is promised what goes fast
part_sample() {
  local began problem
  [ -n "${CPODS_LAB_KEEP:-}" ] || { say "booting the guests"; farm_up; }
  began=$(date +%s.%N)
  verdict "site.yml" "$(played site)"
  verdict "start.yml: every pod in use" "$(played start)"
  say "from machines with nothing but sshd to a farm: $(seconds "$began") s"
  verdict "site.yml again changes nothing" "$(played site)$(unchanged site)"
  verdict "start.yml again changes nothing" "$(played start)$(unchanged start)"
  part_builds
  fault "kill -9 of workd" kill_workd
  fault "kill -9 of ssh" kill_ssh
  fault "kill -9 of sshfs" kill_sshfs
  fault "the links of all pods cut to the end" cut_all join_all
  fault "a tool that is another" tool_other tool_same
  fault "a reboot of a pod" reboot_one
  CPODS_LAB_INTERRUPTS=1
  part_interrupt
  part_security
  part_lint
  verdict "stop.yml: no process, mount or socket is left" "$(played stop)"
}

# part_tools: what is no package, built or unpacked on each machine, runs there
part_tools() {
  local said
  back 60
  hub 'mkdir -p work/tools && cd work/tools && echo "int right;" >a.c && echo "int wrong;" >b.c'
  said=$(hub 'cd work/tools && export CPODS_FALLBACK=0; cpods-cc joylol a.c -o a.out; cat a.out' 2>&1) || true
  verdict "joylol, built from sources, on a pod" "$(grep -vxF 'by joylol: int right;' <<<"$said" | tr '\n' ' ')"
  said=$(hub 'cd work/tools && export CPODS_FALLBACK=0; cpods-cc verifast -c a.c; echo $?; cpods-cc verifast -c b.c; echo $?' 2>&1) || true
  [ "$(tr '\n' ' ' <<<"$said")" = "0 errors found 0 b.c: it is wrong 1 " ] && said=
  verdict "verifast, from an archive, on a pod" "$said"
}

part_stop() {
  local pod
  verdict "stop.yml: no process, mount or socket is left" "$(played stop)"
  for pod in hub "${farm_pods[@]}"; do
    verdict "nothing is left on $pod" "$(lab_exec "$pod" sh -c 'pgrep -a "cpods|sshfs|sftp-server"
      grep fuse.sshfs /proc/*/mountinfo; ls /run/user/1000/cpods/*.sock' 2>/dev/null | tr '\n' ' ')"
  done
  problem=$(played stop)
  verdict "stop.yml again changes nothing" "$problem$(unchanged stop)"
  verdict "start.yml after it" "$(played start)"
}

part_lint() {
  local problem
  need_ansible
  problem=$(cd "$top/ansible" && PATH=$farm_venv/bin:$PATH ansible-lint --offline --nocolor -q --profile production 2>&1) || true
  verdict "ansible-lint, profile production" "$problem"
}

for part; do say "$part"; "part_$part"; done
totals
