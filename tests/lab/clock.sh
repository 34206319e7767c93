# A pod whose clock is wrong, and becomes so in mid-build; sourced by test.sh. Guests share this
# machine's clock, so the pod is a machine of its own, which is slow: it has its tools from the start, and
# the hub alone is told of it, which brings it a worker.
# shellcheck shell=bash disable=SC2154,SC2016

# (Beside the inventory, which it adds to.)
clock_pod='
cpods_pods:
  hosts:
    clock:'

# clock_set SECONDS: so much on, and what the pod has done until then
clock_set() { lab_clock clock "$1"; clock_done=$(clock_finished); }
clock_hour_on() { clock_set 3600; }
clock_two_hours_back() { clock_set -7200; }
clock_finished() {
  hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(sum(pod["finished"] for pod in json.load(sys.stdin)["pods"] if pod["name"] == "clock"))'
}

# clock_checked NAME HIT: a build on all pods, in which the clock is set; then what follows from it
clock_checked() {
  local name=$1 off
  fault -p clock "$name" "$2"
  off=$(($(lab_exec clock date +%s) - $(date +%s)))
  say "$project: $name: the pod's clock is $off s off; of its jobs $clock_done ended before, $(($(clock_finished) - clock_done)) after"
  verdict "$project: $name: no result is of the future" \
    "$(hub "find work/$project/build -type f -newermt 'now + 1 second' | head -n 3" </dev/null)"
  verdict "$name: what is edited while a job runs is built again, and nothing else is" "$(clock_edited 2>&1)"
}

# clock_edited: two jobs on that pod alone; in mid-job the file that one of them has read is changed.
# Prints what is wrong
clock_edited() {
  local said
  hub 'rm -rf work/clock && mkdir work/clock && cd work/clock && cat >slow.c && gcc -o slow slow.c
    printf "%s\n" "rule slow" "  command = cpods-cc ./slow \$in \$out" \
      "build one: slow in" "build two: slow same" >build.ninja
    echo before >in; echo same >same' <<'C'
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
  char line[99] = "";
  fgets(line, sizeof line, fopen(words[1], "r"));
  sleep(8);
  return fputs(line, fopen(words[2], "w")) < 0;
}
C
  # (The pod is slow to come.)
  hub 'cat >work/clock/twice.sh' <<'SH'
is() { for _ in $(seq 600); do ! cpods status --json | grep -q "$1" || return 0; sleep 0.3; done; }
is '"up": true'
export CPODS_FALLBACK=0
ninja -j4 >first 2>&1 & building=$!
is '"running": 2'
sleep 4
echo after >in
wait $building || { echo "the first build fails:"; tail -n 3 first; exit; }
ninja -v >second 2>&1
echo "the build after it: $(grep -o '\./slow.*' second | tr '\n' ' ')"
echo "results: $(cat one two | tr '\n' ' ')"
echo "and then: $(ninja)"
SH
  said=$(hub 'cd work/clock && cpods run -q --root ~/work --pod clock -- sh twice.sh' 2>&1 </dev/null) || true
  diff - <(echo "$said") <<'SAID' | tr '\n' ' '
the build after it: ./slow in one 
results: after same 
and then: ninja: no work to do.
SAID
}

# clock_up: boots it
clock_up() {
  say "booting a machine"
  lab_machine clock bookworm-kernel
  farm_cable clock 3
  farm_known clock
}

part_clock() {
  local why
  if ! why=$(lab_machine_can); then
    say "no pod with a clock of its own: $why"
    verdict "a clock that is an hour off is left out where no pod can have one of its own" ""
    return
  fi
  hub_has ninja:ninja-build
  if [ -z "${CPODS_LAB_KEEP:-}" ] || ! lab__pid "$lab/clock/pid" >/dev/null; then clock_up; fi
  hub 'cat >cpods/ansible/clock.yml' <<<"$clock_pod"
  verdict "the hub is told of one more pod" "$(played site -i inventory.yml -i clock.yml --limit cpods_hubs)"
  verdict "it is in use" "$(back 600)"
  for project in $farm_projects; do
    clock_checked "a clock that is set an hour on" clock_hour_on
    clock_checked "a clock that is set two hours back, an hour off" clock_two_hours_back
    clock_checked "a clock that is set right" clock_hour_on
  done
  [ -n "${CPODS_LAB_KEEP:-}" ] || lab_down clock
  verdict "the hub is told that it is no more" "$(played site --limit cpods_hubs)$(back 60)"
}
