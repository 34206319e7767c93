# What may happen to a farm in the middle of a build; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016

# back SECONDS: waits until all pods are in use; prints which are not, and why
back() {
  local end=$((SECONDS + $1)) down=
  while
    down=$(hub 'cpods status --json' </dev/null 2>&1 | python3 -c '
import json, sys
text = sys.stdin.read()
try: pods = json.loads(text)["pods"]
except ValueError: print("no status:", text[:200]); sys.exit()
print(*(pod["name"] + ": " + pod["why"] for pod in pods if not pod["up"]), sep="; ")')
    [ -n "$down" ]
  do
    [ $SECONDS -lt $end ] || { echo "not back: $down"; return; }
    sleep 0.5
  done
}

# watch_status: every second what the hub says, and how many compilers run there, into $log.status
watch_status() {
  hub 'touch watching; while [ -e watching ]; do echo "$(pgrep -cx cc1) $(cpods status --json 2>&1 | tr -d "\n")"; sleep 1; done' \
    >"$log.status" 2>/dev/null </dev/null & watching=$!
}
watch_no_more() { hub 'rm -f watching' </dev/null; wait $watching || true; }
# said POD: what the hub said of it while that was watched
said() {
  python3 - "$log.status" "$1" <<'PYTHON'
import json, sys
whys = []
for line in open(sys.argv[1]):
    try: pods = json.loads(line.partition(" ")[2])["pods"]
    except (ValueError, KeyError): continue
    whys += [pod[key] for pod in pods if pod["name"] == sys.argv[2] for key in ("why", "files_why")]
print(*(why for why in dict.fromkeys(whys) if why), sep="; ")
PYTHON
}

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
  $hit
  if [ -n "$after" ]; then
    sleep "$after"
    $heal
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

# noticed NAME HIT HEAL: how long it takes until `cpods status` says that box1 is not in use, and why
noticed() {
  local name=$1 hit=$2 heal=$3 began said= problem
  problem=$(back 60)
  began=$(date +%s.%N)
  $hit
  for _ in $(seq 60); do
    said=$(why box1)
    [ -z "$said" ] || break
    sleep 0.3
  done
  say "$name: noticed after $(seconds "$began") s: ${said:-never}"
  [ -n "$said" ] || problem+="it is not noticed"
  $heal
  problem+=$(back 60)
  verdict "$name is noticed, and over when it is over" "$problem"
}

# killed POD PROGRAM: kill -9 of all the guest's processes of its user with that name, which counts
declare -A kills=()
killed() {
  # shellcheck disable=SC2016
  # (One may have ended just before.)
  if lab_exec "$1" sh -c 'pids=$(pgrep -u dev "^$1\$") && kill -KILL $pids 2>/dev/null' sh "$2"; then
    kills[$2]=$((${kills[$2]:-0} + 1))
  else
    say "nothing to kill: $2 on $1"
  fi
}
kill_workd() { killed box1 cpods-workd; }
kill_schedd() { killed hub cpods-schedd; }
kill_ssh() { killed hub ssh; }
kill_sshfs() { killed box1 sshfs; }
kill_sftp() { killed hub sftp-server; }
# In one build each of them, in any order, for as long as it goes on; of the workers any pod's.
kill_each() {
  local program
  for program in $(shuf -e workd schedd ssh sshfs sftp); do
    sleep $((RANDOM % 3)).$((RANDOM % 10))
    kill -0 $building 2>/dev/null || return 0
    case $program in
      workd) killed "$(shuf -n 1 -e "${farm_pods[@]}")" cpods-workd ;;
      *) kill_$program ;;
    esac
  done
}
cut_one() { farm_cut box1; }
join_one() { farm_join box1; }
cut_all() { farm_cut "${farm_pods[@]}"; }
join_all() { farm_join "${farm_pods[@]}"; }
reboot_one() { lab_reboot box1 >/dev/null; }
freeze_one() { lab_freeze box1; }
thaw_one() { lab_thaw box1; }
stall_mount() {
  # shellcheck disable=SC2016
  lab_exec box1 sh -c 'kill -STOP $(pgrep -u dev "^sshfs$")'
}
tool_away() { lab_exec box1 mv /usr/bin/x86_64-linux-gnu-gcc-12 /usr/bin/gcc-gone; }
tool_there() { lab_exec box1 mv /usr/bin/gcc-gone /usr/bin/x86_64-linux-gnu-gcc-12; }
# A small disk for a pod's worker, while its cache lies there, and how it becomes full.
disk_of=box1
small_disk() {
  lab_ssh $disk_of 'systemctl --user stop cpods-workd' </dev/null
  lab_exec $disk_of mount -t tmpfs -o "size=256m,nr_inodes=20k,uid=1000,gid=1000,mode=700" small /home/dev/.cache/cpods
  lab_ssh $disk_of 'systemctl --user start cpods-workd' </dev/null
}
usual_disk() {
  lab_ssh $disk_of 'systemctl --user stop cpods-workd' </dev/null
  lab_exec $disk_of umount -l /home/dev/.cache/cpods
  lab_ssh $disk_of 'systemctl --user start cpods-workd' </dev/null
}
fill_disk() { lab_exec $disk_of sh -c 'cat /dev/zero >/home/dev/.cache/cpods/filler' 2>/dev/null || true; }
fill_inodes() { lab_exec $disk_of sh -c 'mkdir /home/dev/.cache/cpods/many; cd /home/dev/.cache/cpods/many && seq 30000 | xargs touch' 2>/dev/null || true; }
empty_disk() { lab_exec $disk_of rm -rf /home/dev/.cache/cpods/filler /home/dev/.cache/cpods/many; }
# The kernel lets box1 have 48 MiB more than it has, and kills what wants more.
memory_short() {
  local group pid
  group=$(lab_memory_group box1)
  mkdir -p "$group"
  for pid in $(lab__tree "$(lab__leader box1)"); do echo "$pid" >"$group/cgroup.procs" 2>/dev/null || true; done
  lab_memory_limit "$group" $((48 << 20))
}
memory_ample() { lab_memory_limit "$(lab_memory_group box1)" max; }
freeze_workd() { lab_exec box1 sh -c 'kill -STOP $(pgrep -u dev "^cpods-workd$")'; }
thaw_workd() { lab_exec box1 sh -c 'kill -CONT $(pgrep -u dev "^cpods-workd$")'; }
# jobs_on POD: the tools that run there, each with its number
jobs_on() { lab_exec "$1" ps -eo pid=,comm= | awk '$2 ~ /^(cc1|as|collect2|ld|frama-c|why3server|luatex|z3|joylol)$/'; }
freeze_jobs() {
  frozen=$(jobs_on box1 | awk '{ print $1 }' | tr '\n' ' ')
  [ -n "$frozen" ] || say "no job to freeze on box1"
  lab_exec box1 sh -c "kill -STOP $frozen" 2>/dev/null || true
}
thaw_jobs() { lab_exec box1 sh -c "kill -CONT $frozen" 2>/dev/null || true; }
# Another compiler of the same name, time and size cannot be told by its looks: it makes other objects.
cc1=/usr/lib/gcc/x86_64-linux-gnu/12/cc1
tool_other() {
  lab_exec box1 sh -c 'cd "${1%/*}" && mv cc1 cc1-usual && printf "%s\n" "#!/bin/sh" "exec $1-usual \"\$@\" -fno-asynchronous-unwind-tables" >new && chmod 755 new && mv new cc1' sh $cc1
}
tool_same() { lab_exec box1 mv "$cc1-usual" "$cc1"; }
# A worker that the hub has left behind: it speaks an older protocol. The pod is then served without
# the service, by the hub's own worker, until upgrade.yml.
old_worker() {
  lab_ssh box1 'systemctl --user stop cpods-workd; mkdir -p -m 700 /run/user/1000/cpods; cat >old_worker.py
    systemd-run -q --user --unit=old-worker python3 ~/old_worker.py /run/user/1000/cpods/workd.sock' <"$top/tests/lab/old_worker.py"
}
new_worker() {
  lab_ssh box1 'systemctl --user stop old-worker; rm -f /run/user/1000/cpods/workd.sock; systemctl --user start cpods-workd' </dev/null
}
# why POD: what the hub says of a pod that is not in use
why() { hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(*(pod["why"] for pod in json.load(sys.stdin)["pods"] if pod["name"] == sys.argv[1] and not pod["up"]))' "$1"; }
# Restarting both ends at once: what a person does who has read too much.
restart_all() { hub 'systemctl --user restart cpods-schedd' </dev/null; lab_ssh box1 'systemctl --user restart cpods-workd' </dev/null; }

# In mid-build all pods go, for a minute: the build goes on here, with no more jobs than cores.
cut_them_all() {
  cut_all
  at_cut=$(count_results "$lab/home-hub/work/$project/build")
}
join_them_all() {
  local most done_here
  done_here=$(($(count_results "$lab/home-hub/work/$project/build") - at_cut))
  # (What ran on pods at the cut is known to be lost after some seconds.)
  most=$(tail -n 40 "$log.status" | cut -d ' ' -f 1 | sort -n | tail -n 1)
  say "$project: while all links are cut: $done_here results, at most $most compilers at a time"
  [ "$most" -le 2 ] || also+="$most compilers at a time; "
  if kill -0 $building 2>/dev/null && [ $done_here -lt 3 ]; then also+="the build stands still; "; fi
  join_all
}

# part_kills: builds in which each program is killed, until each was so often: once, in a soak twenty
# times in each project, or as CPODS_LAB_KILLS says
part_kills() {
  local began=$SECONDS before=$failed rounds least=${CPODS_LAB_KILLS:-${CPODS_SOAK:+20}}
  for project in $farm_projects; do
    kills=() rounds=0
    while [ "$(kills_of_rarest)" -lt "${least:-1}" ]; do
      # (What is killed is not always there: it comes back only after some seconds.)
      [ $((rounds += 1)) -le $((${least:-1} * 4)) ] || { verdict "$project: each is killed so often" "$(declare -p kills)"; break; }
      fault "kill -9 of each program" kill_each
    done
    say "$project: kills in $rounds builds: $(for program in "${!kills[@]}"; do printf '%s %d, ' "$program" "${kills[$program]}"; done)$((failed - before)) failures, $((SECONDS - began)) s"
  done
}
kills_of_rarest() {
  local program
  for program in cpods-workd cpods-schedd ssh sshfs sftp-server; do echo "${kills[$program]:-0}"; done | sort -n | head -n 1
}

part_noticed() {
  noticed "a frozen pod" freeze_one thaw_one
  noticed "a frozen worker" freeze_workd thaw_workd
  noticed "a cut link" cut_one join_one
}

part_faults() {
  for project in $farm_projects; do
    fault -w 'closed the connection' "a service of another protocol" old_worker new_worker
    fault -t 60 "the link of one pod cut for 60 s" cut_one join_one
    fault -t 60 "the links of all pods cut for 60 s" cut_them_all join_them_all
    fault "the links of all pods cut to the end" cut_all join_all
    fault -w 'no sign of life' "a frozen pod" freeze_one thaw_one
    fault -w 'no sign of life' "a frozen worker" freeze_workd thaw_workd
    fault -t 15 "frozen jobs" freeze_jobs thaw_jobs
    fault "a stalled mount" stall_mount
    fault "a tool that is gone" tool_away tool_there
    fault "a tool that is another" tool_other tool_same
    fault -w 'memory' "no memory" memory_short memory_ample
    # (Its scratch is in memory: without a mirror a pod does not need much of its disk.)
    disk_of=box1
    fault -s small_disk -u usual_disk "a full disk of a pod without a mirror" fill_disk empty_disk
    disk_of=box2
    fault -s small_disk -u usual_disk -p box2 -w 'No space' "a full disk" fill_disk empty_disk
    fault -s small_disk -u usual_disk -p box2 -w 'No space' "a disk without inodes" fill_inodes empty_disk
    fault "restarts of both ends" restart_all
    fault "a reboot of a pod" reboot_one
    [ -n "${CPODS_LAB_ONLY:-}" ] || in_use_again
  done
}

# in_use_again: after all that, every pod with the hub's compiler gets jobs
in_use_again() {
  local idle
  back 60
  hub 'systemctl --user restart cpods-schedd' </dev/null
  back 60
  build
  built >"$log.built"
  idle=$(hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"] if not pod["finished"] and pod["name"] != "other"))')
  verdict "$project: all pods get jobs again" "$idle$(cat "$log.built")"
}

# part_interrupt: within 2 s of Ctrl-C no job of the build is left on any pod
part_interrupt() {
  local pod left
  for project in $farm_projects; do
    back 60
    build
    lab_exec hub sh -c 'kill -INT $(pgrep -x ninja)' || say "the build has ended before"
    sleep 2
    left=
    for pod in hub "${farm_pods[@]}"; do
      left+=$(jobs_on "$pod" | sed "s/^/$pod: /")
    done
    built >/dev/null
    verdict "$project: Ctrl-C: no job is left after 2 s" "$left"
    farm_ninja
    verdict "$project: the build after it" "$(built)"
  done
}
