# What the hub of a farm says of its pods, and what runs where; sourced by test.sh.
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
  hub 'touch watching; while [ -e watching ]; do echo "$(pgrep -cx "cc1|sleeper") $(cpods status --json 2>&1 | tr -d "\n")"; sleep 1; done' \
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

# why POD: what the hub says of a pod that is not in use
why() { hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(*(pod["why"] for pod in json.load(sys.stdin)["pods"] if pod["name"] == sys.argv[1] and not pod["up"]))' "$1"; }

# done_by_pod: how many jobs ended on each pod so far, a line for each; a hub that begins counts anew
done_by_pod() { hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
for pod in json.load(sys.stdin)["pods"]: print(pod["name"], pod["finished"])'; }
# done_since BEFORE: the same, since then
done_since() { join <(sort <<<"$1") <(done_by_pod | sort) | awk '{ print $1, $3 - $2 }'; }
# idle_in COUNTS: which of the farm's pods have none there
idle_in() {
  local pod
  for pod in "${farm_pods[@]}"; do
    grep -qE "^$pod [1-9]" <<<"$1" || echo "$pod got no job"
  done | paste -sd ' '
}

# jobs_on_pods: all processes of jobs on all machines, whatever they are called, each line with the
# machine's name first: they descend from a warden, and are none. One look from outside, where all of
# them are seen. On the hub also those that work in the build's folder, but Ninja and what waits for a pod.
jobs_on_pods() {
  local machine leaders=''
  for machine in "${farm_pods[@]}" hub; do leaders+="$(lab__leader "$machine") $machine "; done
  { ps -eo pid=,ppid=,args= | awk -v leaders="$leaders" '
      BEGIN { count = split(leaders, words, " "); for (i = 1; i < count; i += 2) machine[words[i]] = words[i + 1] }
      { parent[$1] = $2; name[$1] = $3 }
      END {
        for (pid in parent) {
          if (name[pid] ~ /(^|\/)cpods-/) continue
          made = 0
          for (at = parent[pid]; at in parent && !(at in machine); at = parent[at])
            if (name[at] == "cpods-warden") made = 1
          if (made && at in machine) print machine[at] ": " pid, name[pid]
        } }'
    lab_exec hub sh -c 'for at in /proc/[0-9]*; do
      case $(readlink $at/cwd) in /home/dev/work/*/build*)
        case $(cat $at/comm 2>/dev/null) in ""|sh|ninja|cpods-cc|timeout|exe) ;; *) echo "hub: here-${at#/proc/} $(cat $at/comm)" ;; esac ;;
      esac; done; true' 2>/dev/null; }
}
# jobs_on MACHINE: those on one of them, each with its number as it is seen from outside
jobs_on() { jobs_on_pods | sed -n "s/^$1: //p"; }
