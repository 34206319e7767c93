# kill -9 at random moments of builds, one process at a time; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016

# What is killed, and on which machine: `pod` is any of them. The service, what joins ssh to it, and
# what makes its jobs; on the hub its scheduler, its ssh (channels and mounts), its servers of files,
# and its own worker. CPODS_LAB_KINDS names some of them.
read -ra kinds <<<"${CPODS_LAB_KINDS:-service:pod bridge:pod warden:pod schedd:hub ssh:hub sshfs:box1 sftp-server:hub own-worker:hub}"
declare -A kills=() empty_kills=()

# victims KIND MACHINE: the processes of that kind there
victims() {
  lab_exec "$2" sh -c '
    of() { for pid in $(pgrep -u dev -f -- "$1"); do
      case $(readlink /proc/$pid/exe) in */sh|*/dash|*/bash|*/sudo|"") ;; *) echo $pid ;; esac; done; }
    case $1 in
      service) of "--socket .*/workd.sock" ;;
      bridge) of "--bridge .*/workd.sock" ;;
      warden) of "^cpods-warden" ;;
      own-worker) of "^cpods-workd" ;;
      schedd) pgrep -u dev -x cpods-schedd ;;
      *) pgrep -u dev -x "$1" ;;
    esac' sh "$1" 2>/dev/null
}

# kill_one KIND:WHERE: one such process, while the build goes on and has jobs that need it: jobs that
# run on that pod, or, of the hub's processes, on any. Waits for such a moment for some seconds.
kill_one() {
  local kind=${1%:*} where=${1#*:} machine pid jobs
  for _ in $(seq 6); do
    kill -0 $building 2>/dev/null || return 0
    machine=$where
    [ $where != pod ] || machine=$(shuf -n 1 -e "${farm_pods[@]}")
    pid=$(victims "$kind" "$machine" | shuf -n 1) || true
    case $kind in
      own-worker) jobs=$(jobs_on hub) ;;
      schedd|ssh|sftp-server) jobs=$(jobs_on box1; jobs_on box2) ;;
      *) jobs=$(jobs_on "$machine") ;;
    esac
    if [ -n "$pid" ] && [ -n "$jobs" ] && lab_exec "$machine" kill -KILL "$pid" 2>/dev/null; then
      # (The build may have ended while we looked.)
      kill -0 $building 2>/dev/null || return 0
      kills[$kind]=$((${kills[$kind]:-0} + 1))
      return
    fi
    sleep 0.5
  done
  empty_kills[$kind]=$((${empty_kills[$kind]:-0} + 1))
}

# kill_each: in one build one of each kind after the other, in any order but the rarest first, for as long
# as it goes on. (After a service was killed its pod is served without it for a while, and has no bridge.)
kill_each() {
  local kind
  while :; do
    for kind in $(rarest_first); do
      sleep 0.$((RANDOM % 10))
      kill -0 $building 2>/dev/null || return 0
      kill_one "$kind"
    done
  done
}
rarest_first() {
  local kind
  for kind in "${kinds[@]}"; do echo "${kills[${kind%:*}]:-0} $kind"; done | shuf | sort -s -n -k 1,1 | cut -d ' ' -f 2
}

# part_kills: builds in which each kind is killed, until each was so often: once, in a soak twenty
# times in each project, or as CPODS_LAB_KILLS says; for CPODS_LAB_SECONDS at most
part_kills() {
  local began=$SECONDS before=$failed rounds kind least=${CPODS_LAB_KILLS:-${CPODS_SOAK:+20}}
  for project in $farm_projects; do
    kills=() empty_kills=() rounds=0
    while [ "$(kills_of_rarest)" -lt "${least:-1}" ]; do
      # (What is killed is not always there: it comes back only after some seconds.)
      if [ $((rounds += 1)) -gt $((${least:-1} * 4)) ] || [ $((SECONDS - began)) -gt "${CPODS_LAB_SECONDS:-100000}" ]; then
        verdict "$project: each is killed so often" "$(declare -p kills)"
        break
      fi
      fault "kill -9 of each kind of process" kill_each
    done
    say "$project: kills in $rounds builds: $(for kind in "${kinds[@]}"; do printf '%s %d, ' "${kind%:*}" "${kills[${kind%:*}]:-0}"; done)$((failed - before)) failures, $((SECONDS - began)) s; no job at hand: $(for kind in "${!empty_kills[@]}"; do printf '%s %d, ' "$kind" "${empty_kills[$kind]}"; done)"
  done
}
kills_of_rarest() {
  local kind
  for kind in "${kinds[@]}"; do echo "${kills[${kind%:*}]:-0}"; done | sort -n | head -n 1
}
