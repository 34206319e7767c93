# What may happen to a farm in the middle of a build; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034

# fault [-w WHY] [-p POD] [-t SECONDS] [-s SET_UP -u UNDO] NAME HIT [HEAL]: a fault in mid-build, and its
# end: SECONDS later, or else once the build has ended. What the hub says of the pod (box1) must match
# WHY. CPODS_LAB_ONLY=REGEX leaves out what has another name.
fault() {
  local why='' pod=box1 after='' option name hit heal began problem took words set_up=true undo=true
  OPTIND=1
  while getopts w:p:t:s:u: option; do
    case $option in
      w) why=$OPTARG ;; p) pod=$OPTARG ;; t) after=$OPTARG ;; s) set_up=$OPTARG ;; u) undo=$OPTARG ;;
      *) die "a bad fault" ;;
    esac
  done
  shift $((OPTIND - 1))
  name=$1 hit=$2 heal=${3:-true}
  grep -qE "${CPODS_LAB_ONLY:-.}" <<<"$name" || return 0
  $set_up
  problem=$(back 60)
  also=''
  build
  watch_status
  began=$(date +%s.%N)
  problem+=$(still_building)
  $hit
  if [ -n "$after" ]; then
    sleep "$after"
    $heal
    healed=$(date +%s.%N)
    problem+=$(built)
    took=$(seconds "$began")
  else
    problem+=$(built)
    took=$(seconds "$began")
    # What is slow to show itself shows itself to the next build, or to nobody.
    [ -z "$why" ] || grep -qE "$why" <<<"$(said "$pod")" || sleep 3
    $heal
  fi
  began=$(date +%s.%N)
  problem+=$(back 90)$also
  watch_no_more
  $undo
  words=$(said "$pod")
  say "$project: $name: the build ended $took s after it; all pods in use again $(seconds "$began") s after its end;$(ran)"
  [ -z "$words" ] || say "        $pod: ${words:0:300}"
  [ -z "$why" ] || grep -qE "$why" <<<"$words" || problem+="the hub does not say why of $pod"
  verdict "$project: $name in mid-build" "$problem"
}


# noticed NAME HIT HEAL: in mid-build; how long it takes until `cpods status` says that box1 is not in use,
# and why: 15 s at most
noticed() {
  local name=$1 hit=$2 heal=$3 began words='' problem took=never
  grep -qE "${CPODS_LAB_ONLY:-.}" <<<"$name" || return 0
  problem=$(back 60)
  build
  problem+=$(still_building)
  began=$(date +%s.%N)
  $hit
  for _ in $(seq 100); do
    words=$(why box1)
    took=$(seconds "$began")
    [ -z "$words" ] && awk -v took="$took" 'BEGIN { exit took > 40 }' || break
    sleep 0.2
  done
  say "$name: noticed after $took s: ${words:-never}"
  if [ -z "$words" ]; then problem+="it is not noticed; "
  elif ! awk -v took="$took" 'BEGIN { exit took > 15 }'; then problem+="it is noticed after $took s only; "; fi
  $heal
  problem+=$(built)$(back 90)
  verdict "$name is noticed within 15 s, and over when it is over" "$problem"
}

part_noticed() {
  project=sleepers
  noticed "a frozen pod" freeze_one thaw_one
  noticed "a frozen worker" freeze_workd thaw_workd
  noticed "a cut link" cut_one join_one
}

# returned NAME POD...: of the build that ended, whether these pods had jobs again once the links were there
returned() {
  local name=$1 pod counts=''
  grep -qE "${CPODS_LAB_ONLY:-.}" <<<"$name" || return 0
  shift
  for pod; do counts+="$(slept "$pod" "$healed" 9e9) jobs on $pod, "; done
  say "$project: $name: when it was over the same build had ${counts%, }"
  verdict "$project: $name: the same build returns to the pods" "$(slept_nowhere "$healed" 9e9 "$@")"
}

part_faults() {
  local healed sleep_ms
  # What takes a minute takes a build that goes on for longer, on the pods that are left, too.
  project=sleepers
  sleep_ms=9000
  fault -t 60 "the link of one pod cut for 60 s" cut_one join_one
  returned "the link of one pod cut for 60 s" box1
  sleep_ms=4000
  fault -t 60 "the links of all pods cut for 60 s" cut_them_all join_them_all
  returned "the links of all pods cut for 60 s" "${farm_pods[@]}"
  for project in $farm_projects; do
    fault -t 60 "the links of all pods cut for 60 s" cut_them_all join_them_all
    fault "the links of all pods cut to the end" cut_all join_all
    fault -w 'no sign of life' "a frozen pod" freeze_one thaw_one
    fault -w 'no sign of life' "a frozen worker" freeze_workd thaw_workd
    fault -t 15 "frozen jobs" freeze_jobs thaw_jobs
    fault -w 'mount of the hub.s files is (stalled|dead)' "a stalled mount" stall_mount
    fault -w 'tools have changed' "a tool that is gone" tool_away tool_there
    fault -w 'tools have changed' "a tool that is another" tool_other tool_same
    fault -w 'memory' "no memory" memory_short memory_ample
    disk_of=box1
    # (Its scratch is in memory: without a mirror a pod does not need much of its disk.)
    fault -s small_disk -u usual_disk "a full disk of a pod without a mirror" fill_disk empty_disk
    fault -s small_scratch -u usual_scratch -w 'full|No space' "a full disk of a pod that has its scratch there" fill_disk empty_disk
    disk_of=box2
    fault -s small_disk -u usual_disk -p box2 -w 'No space' "a full disk" fill_mirrors_disk empty_disk
    fault -s small_disk -u usual_disk -p box2 -w 'inodes' "a disk without inodes" fill_inodes empty_disk
    fault "restarts of both ends" restart_all
    fault "a reboot of a pod" reboot_one
    [ -n "${CPODS_LAB_ONLY:-}" ] || in_use_again
  done
}

# in_use_again: after all that, and without a command by anyone, every pod gets jobs
in_use_again() {
  local before now problem
  problem=$(back 60)
  before=$(done_by_pod)
  build
  problem+=$(built)
  now=$(done_since "$before")
  say "$project: jobs of the build after all that: $(tr '\n' ',' <<<"$now")"
  verdict "$project: all pods get jobs again" "$problem$(idle_in "$now")"
}
