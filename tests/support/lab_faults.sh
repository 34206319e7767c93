# What may happen to a pod of the lab; sourced by lab.sh.
# shellcheck shell=bash disable=SC2154

# lab_far NAME RTT_MS [MBIT]: makes NAME-far a name for the pod, through a relay that far away
lab_far() {
  local dir=$lab/$1 port='' user
  lab__end "$dir/relay"
  : >"$dir/relay.port"
  (
    setsid python3 "$top/tests/support/lab_relay.py" --listen 127.0.0.1:0 --rtt-ms "$2" ${3:+--mbit "$3"} \
      --to "$(cat "$dir/address"):22" </dev/null >"$dir/relay.port" 2>"$dir/relay.log" &
    lab__note $! "$dir/relay"
  )
  for _ in {1..100}; do
    port=$(cat "$dir/relay.port"); [ -z "$port" ] || break
    sleep 0.1
  done
  [ -n "$port" ] || die "the relay does not start: $(cat "$dir/relay.log")"
  user=$(sed -n 's/^  User //p;T;q' "$dir/ssh_config")
  sed -i "/^Host $1-far\$/,\$d" "$dir/ssh_config"
  lab__host "$1" "$1-far" 127.0.0.1 "$port" "$user"
}

# lab_cut NAME, lab_join NAME: pulls the pod's network cable, and plugs it in again. (At the pod's
# end: without the route of our end, packets for the pod would leave by the default route.)
lab_cut() { ip -n "$(cat "$lab/$1/link")" link set host0 down; }
lab_join() { ip -n "$(cat "$lab/$1/link")" link set host0 up; }

# lab_freeze NAME, lab_thaw NAME: stops all processes of the pod, and lets them go on
# (its kernel answers for them all the while: TCP stays up, and nobody says a word)
lab_freeze() {
  local leader; leader=$(lab__leader "$1")
  lab__stop "$leader" >/dev/null
}
lab_thaw() {
  local leader; leader=$(lab__leader "$1")
  # shellcheck disable=SC2046
  kill -CONT $(lab__tree "$leader" | tac) 2>/dev/null || true
}

# lab_reboot NAME: of a guest; returns when one can log in again
lab_reboot() {
  local leader; leader=$(lab__leader "$1")
  lab_exec "$1" systemctl reboot
  for _ in {1..600}; do [ -d "/proc/$leader" ] || break; sleep 0.1; done
  lab__wait "$1" 90
}

# lab_memory_group NAME, lab_memory_limit GROUP BYTES|max: a control group that limits memory, of
# either version, and how much more than now those in it may have (of version 1: since they are in it,
# or more where the kernel finds no more to take away)
lab_memory_group() {
  local at; at=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/self/mounts)
  echo "${at:-$lab_cgroup2}/$(cat "$lab/$1/link")"
}
lab_memory_limit() {
  local bytes=${2/max/-1}
  if [ ! -e "$1/memory.max" ]; then
    until echo "$bytes" 2>/dev/null >"$1/memory.limit_in_bytes"; do bytes=$((bytes + (8 << 20))); done
  elif [ "$2" = max ]; then echo max >"$1/memory.max"
  else echo $(($(cat "$1/memory.current") + $2)) >"$1/memory.max"; fi
}
