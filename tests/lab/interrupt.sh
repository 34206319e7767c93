# Ctrl-C in mid-build, at random moments; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016

# interrupted SECONDS [HIT]: a build in which jobs run, on pods among others, is ended by Ctrl-C, after a
# fault; within these seconds no process of a job may be left on any machine, nor Ninja
interrupted() {
  local most=$1 hit=${2:-true} name=$project jobs left began took problem words
  [ "$hit" = true ] || name+=", $hit"
  problem=$(back 60)
  build
  $hit
  for _ in $(seq 20); do
    jobs=$(jobs_on_pods)
    # (In a stalled mount it must be a job of that pod's.)
    grep -q "^box$([ "$hit" = true ] || echo 1)" <<<"$jobs" && break
    jobs=
    sleep 0.3
  done
  [ -n "$jobs" ] || problem+="no job ran on a pod; "
  problem+=$(still_building)
  lab_exec hub sh -c 'kill -INT $(pgrep -x ninja)' || problem+="there was no ninja; "
  began=$(date +%s.%N)
  while left=$(jobs_on_pods; lab_exec hub pgrep -ax ninja || true)
    took=$(seconds "$began")
    [ -n "$left" ] && awk -v took="$took" 'BEGIN { exit took > 30 }'
  do sleep 0.1; done
  words=$(cut -d ' ' -f 1,3 <<<"$jobs" | sed 's,/.*/,,' | sort | uniq -c | tr -s ' \n' ' ')
  say "$name: Ctrl-C: jobs at that moment:$words; none left after $took s"
  awk -v took="$took" -v most="$most" 'BEGIN { exit took > most }' \
    || problem+="left after $most s, until $took s: $(head -n 4 <<<"$left" | tr '\n' ' ')"
  tail --pid=$building -f /dev/null
  verdict "$name: Ctrl-C: no job is left after $most s" "$problem"
}

# part_interrupt: how often in each project CPODS_LAB_INTERRUPTS says, or three times
part_interrupt() {
  for project in $farm_projects; do
    for _ in $(seq "${CPODS_LAB_INTERRUPTS:-3}"); do interrupted 2; done
    interrupted 12 stall_mount
    back 60 >"$log.back"
    farm_ninja
    verdict "$project: the build after it" "$(cat "$log.back")$(built)"
  done
}
