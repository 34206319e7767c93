# Figures of a farm, and what is promised of them; sourced by test.sh. The slots are those of the pods;
# the hub itself, which runs Ninja, has none meanwhile.
# shellcheck shell=bash disable=SC2154,SC2016
slots=12

# occupied: for how many seconds processes of jobs have been on slots so far, by what the pods say
occupied() {
  hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(sum(pod["busy_seconds"] for pod in json.load(sys.stdin)["pods"]))'
}

# asleep JOBS MS: how long jobs that use no processor take on the slots, and the best that is possible;
# and how busy this machine's processors were, which all guests share. What each job says of itself -
# where it ran, from when to when - is then in work/sleep/log on the hub. Sets `share`, in percent of the
# best possible, `full`, of the slots' time with a job's process on them, and `idle`, of the processors'
# time. Nothing is removed before: ext4 looks past everything that has just gone for each new file
asleep() {
  local before after took occupied
  hub "mkdir -p work/slept && { [ ! -e work/sleep ] || mv work/sleep work/slept/$RANDOM$RANDOM; }
    mkdir work/sleep && cd work/sleep && echo content >in
    { echo 'rule s'; echo '  command = cpods-cc sleeper -m $2 -o \$out in'
      for i in \$(seq $1); do echo \"build o\$i: s\"; done; } >build.ninja
    for i in \$(seq 24); do cpods-cc sleeper -m 300 -o warm\$i in >/dev/null & done; wait" </dev/null
  occupied=$(occupied)
  before=$(head -n 1 /proc/stat)
  took=$(hub 'cd work/sleep; date +%s.%N >../begun; CPODS_FALLBACK=0 ninja -j24 >log || tail -n 3 log
    date +%s.%N | paste ../begun - | awk "{ print \$2 - \$1 }"' </dev/null)
  after=$(head -n 1 /proc/stat)
  idle=$(awk '{ n = 0; for (i = 2; i <= NF; i++) n += $i; if (NR == 1) { a = n; ai = $5 + $6 } else printf "%.0f", ($5 + $6 - ai) * 100 / (n - a) }' \
    <<<"$before"$'\n'"$after")
  share=$(awk -v jobs="$1" -v ms="$2" -v took="$took" -v slots="$slots" 'BEGIN {
    best = int((jobs + slots - 1) / slots) * ms / 1000; printf "%.1f", best * 100 / took }')
  full=$(awk -v before="$occupied" -v after="$(occupied)" -v took="$took" -v slots="$slots" 'BEGIN {
    printf "%.1f", (after - before) * 100 / (slots * took) }')
  say "${3:-}$1 jobs of $2 ms on $slots slots: $took s, which is the best possible by $share%; slots were $full% busy, processors $((100 - idle))%"
}

# schedule: of the last such jobs, what each host had and when: jobs, the first begun, the last ended
schedule() {
  hub 'paste -d " " work/begun - <<<"" | cat - work/sleep/log' </dev/null | awk -v slots="$slots" '
    NR == 1 { begun = $1 }
    $1 == "ran" {
      jobs[$2]++; all += $4 - $3
      if (!($2 in first) || $3 < first[$2]) first[$2] = $3
      if ($4 > last[$2]) last[$2] = $4
      if ($4 > end) end = $4
      busy[$2] += $4 - $3 }
    END {
      for (host in jobs) printf "        %s: %d jobs, from %.2f s to %.2f s, %.2f s in all\n", host, jobs[host], first[host] - begun, last[host] - begun, busy[host]
      printf "        the tool itself was at work for %.1f%% of the slots\047 time\n", all * 100 / (slots * (end - begun)) }'
}

# far_pods MS: the pods are so far from the hub; without MS, near again
far_pods() {
  local pod address port
  hub 'rm -f .ssh/config' </dev/null
  for pod in "${farm_pods[@]}"; do
    lab__end "$lab/$pod/far"
    [ -n "${1:-}" ] || continue
    address=$(lab_exec hub awk -v pod=$pod '$2 == pod { print $1 }' /etc/hosts)
    : >"$lab/$pod/far.port"
    (
      setsid nsenter --net="/run/netns/$(cat "$lab/hub/link")" \
        python3 "$top/tests/support/lab_relay.py" --listen 127.0.0.1:0 --rtt-ms "$1" --to "$address:22" \
        </dev/null >"$lab/$pod/far.port" 2>"$lab/$pod/far.log" &
      lab__note $! "$lab/$pod/far"
    )
    for _ in {1..100}; do
      port=$(cat "$lab/$pod/far.port"); [ -z "$port" ] || break
      sleep 0.1
    done
    printf 'Host %s\n  HostName 127.0.0.1\n  Port %s\n  HostKeyAlias %s\n' "$pod" "$port" "$pod" \
      | hub 'cat >>.ssh/config'
  done
  hub 'systemctl --user restart cpods-schedd' </dev/null
  back 60
}

# at_least PERCENT LEAST NAME: the verdict on what the last `asleep` reached. Where that is too little, and
# the processors that all guests share are the limit, there is nothing to be said of the farm
at_least() {
  if awk -v is="$1" -v least="$2" 'BEGIN { exit is < least }'; then verdict "$3" ""
  elif [ "$idle" -lt 10 ]; then say "not judged, since processors are the limit ($idle% idle): $3"
  else verdict "$3" "$1%, with $idle% of the processors idle"; fi
}

# narrow SLOTS: each pod has so many slots
narrow() {
  local pod
  for pod in "${farm_pods[@]}"; do
    lab_ssh "$pod" "sed -i 's/^slots = .*/slots = $1/' .config/cpods/pod.toml; systemctl --user restart cpods-workd" </dev/null
  done
}

# part_measure: what is promised is judged: within 5% of the best possible with jobs of a second or two,
# 85% of slots busy with a thousand of 10 ms at 10 ms; what lies between is shown. A job costs some
# milliseconds of processor beside its tool, in all guests together, so that few processors cannot keep
# twelve slots busy with 10 ms; two slots they can
part_measure() {
  local jobs share full idle far="a thousand jobs of 10 ms at 10 ms keep more than 85% of slots busy"
  hub_has ninja:ninja-build
  back 60
  hub 'cpods unmount local' </dev/null
  for jobs in "60 2000" "120 1000"; do
    # shellcheck disable=SC2086
    asleep $jobs
    schedule
    at_least "$share" 95.2 "$jobs: twelve slots' worth of sleeping jobs end within 5% of the best possible"
  done
  asleep 480 250
  schedule
  asleep 1000 10
  schedule
  far_pods 10
  hub 'cpods unmount local' </dev/null
  asleep 1000 10 "10 ms away: "
  schedule
  at_least "$full" 85 "twelve slots: $far"
  # Without the pod that has plain sshfs, where a look-up is a round trip.
  narrow 1
  back 60
  hub 'cpods unmount local; cpods unmount box1' </dev/null
  slots=2
  asleep 1000 10 "10 ms away: "
  schedule
  at_least "$full" 85 "two slots: $far"
  slots=12
  narrow 4
  far_pods
  hub 'cpods mount box1; cpods mount local' </dev/null
}
