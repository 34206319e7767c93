# Figures of a farm: shown, not judged, since they are the machine's as much as the farm's; sourced by
# test.sh.
# shellcheck shell=bash disable=SC2154,SC2016

# asleep JOBS MS: how long jobs that use no processor take on all slots that have the very same
# libraries (two boxes of four, and the hub's two), and the best that is possible. What each job says of
# itself - where it ran, from when to when - is then in work/sleep/log on the hub
asleep() {
  hub 'mkdir -p work/sleep && cd work/sleep && rm -f * && cat >s.c && gcc s.c -o s' <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}
int main(int count, char **words) {
  char host[65] = "";
  double from = now();
  usleep(atoi(words[1]) * 1000);
  gethostname(host, 64);
  return printf("ran %s %.3f %.3f\n", host, from, now()) < 0;
}
C
  hub "jobs=$1 ms=$2;"' cd work/sleep
    { echo "rule s"; echo "  command = cpods-cc ./s $ms && touch \$out"
      for i in $(seq $jobs); do echo "build o$i: s"; done; } >build.ninja
    cpods-cc ./s 1 >/dev/null; date +%s.%N >../begun; CPODS_FALLBACK=0 ninja -j24 >log || tail -n 3 log
    date +%s.%N | paste ../begun -' </dev/null | awk -v jobs="$1" -v ms="$2" '
    { best = jobs * ms / 10 / 1000
      printf "%d jobs of %d ms on 10 slots: %.2f s, the best possible is %.2f s (%.0f%% of slots busy)\n", jobs, ms, $2 - $1, best, best * 100 / ($2 - $1) }'
}

# schedule: of the last such jobs, what each host had and when: jobs, the first begun, the last ended
schedule() {
  hub 'paste -d " " work/begun - <<<"" | cat - work/sleep/log' </dev/null | awk '
    NR == 1 { begun = $1 }
    $1 == "ran" {
      jobs[$2]++
      if (!($2 in first) || $3 < first[$2]) first[$2] = $3
      if ($4 > last[$2]) last[$2] = $4
      busy[$2] += $4 - $3 }
    END { for (host in jobs) printf "        %s: %d jobs, from %.2f s to %.2f s, %.2f s in all\n", host, jobs[host], first[host] - begun, last[host] - begun, busy[host] }'
}

# far_pods MS: the pods with the hub's libraries are so far from it; without MS, near again
far_pods() {
  local pod address port
  hub 'rm -f .ssh/config' </dev/null
  for pod in box1 box2; do
    lab__end "$lab/$pod/far"
    [ -n "${1:-}" ] || continue
    address=$(lab_exec hub awk -v pod=$pod '$2 == pod { print $1 }' /etc/hosts)
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

part_measure() {
  local jobs
  hub_has ninja:ninja-build
  back 60
  for jobs in "50 2000" "60 1000" "400 250" "1000 10"; do
    # shellcheck disable=SC2086
    say "$(asleep $jobs)"
    schedule
  done
  far_pods 10
  say "10 ms away: $(asleep 1000 10)"
  schedule
  far_pods
}
