# What may happen to a farm in the middle of a build; sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# farm_lua: Lua's sources on the hub, and the digests of a plain build there
farm_lua() {
  [ -z "${lua_ready:-}" ] || return 0
  project_fetch lua "$place/lua"
  hub 'command -v ninja >/dev/null || { sudo apt-get -q update; sudo apt-get -qy install --no-install-recommends ninja-build; }' \
    >"$log" 2>&1 </dev/null || die "no ninja for the hub: $(tail -n 3 "$log")"
  hub 'rm -rf work/lua; mkdir -p work/lua/build'
  tar -C "$place/lua" -c src | hub 'tar -C work/lua -x'
  lua_ninja '' "$place/lua/src" | hub 'cat >work/lua/build/build.ninja'
  hub 'cd work/lua/build && ninja' >"$log" 2>&1 </dev/null || die "the plain build fails: $(tail -n 3 "$log")"
  hub 'cd work/lua/build && sha256sum *.o >../plain.sums'
  lua_ready=1
}

# build_lua: a build on the farm begins; the fault may come once it returns. It goes on as `building`
build_lua() {
  farm_lua
  lua_ninja cpods-cc "$place/lua/src" | hub 'rm -rf work/lua/build; mkdir work/lua/build; cat >work/lua/build/build.ninja'
  farm_ninja
  # Some objects are there, others are not; never the same.
  local some=$((RANDOM % 18 + 2))
  for _ in $(seq 2000); do
    [ "$(find "$lab/home-hub/work/lua/build" -name '*.o' 2>/dev/null | wc -l)" -lt $some ] || return 0
    kill -0 $building 2>/dev/null || return 0
    sleep 0.05
  done
}

# farm_ninja: Ninja on the hub, in the background, as `building`; its exit code will be in $log.code
farm_ninja() {
  rm -f "$log.code"
  { hub 'cd work/lua/build && exec timeout 240 ninja -j24' >"$log" 2>&1 </dev/null && echo 0 || echo $?; } >"$log.code" &
  building=$!
}

# built: what is wrong with the build that ended
built() {
  tail --pid=$building -f /dev/null
  [ "$(cat "$log.code")" = 0 ] || { echo "the build fails: $(tail -n 3 "$log" | tr '\n' ' ')"; return; }
  # shellcheck disable=SC2016
  hub 'cd work/lua/build && { sha256sum --quiet -c ../plain.sums 2>&1 | head -n 3
    [ "$(ls *.o | wc -l)" = "$(wc -l <../plain.sums)" ] || echo "more or fewer objects"
    ninja -n -d explain 2>&1 | grep -q "no work to do" || ninja -n -d explain 2>&1 | head -n 3; }' </dev/null | tr '\n' ' '
}

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

# fault NAME HIT [HEAL]: a fault in mid-build, and its end once the build has ended
fault() {
  local name=$1 hit=$2 heal=${3:-true} began problem took
  problem=$(back 60)
  build_lua
  began=$(date +%s.%N)
  $hit
  problem+=$(built)
  took=$(seconds "$began")
  $heal
  began=$(date +%s.%N)
  problem+=$(back 90)
  say "$name: the build ended $took s after it; all pods in use again $(seconds "$began") s after its end"
  verdict "$name in mid-build" "$problem"
}

# often NAME HIT [HEAL]: a fault once; in a soak twenty times
often() {
  local n
  for n in $(seq 1 $((${CPODS_SOAK:+19} + 1))); do fault "$@"; done
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

# killed POD PATTERN: kill -9 of the guest's processes of its user that match
killed() {
  # shellcheck disable=SC2016
  # (One may have ended just before.)
  lab_exec "$1" sh -c 'pids=$(pgrep -u dev "$1") || exit; kill -KILL $pids 2>/dev/null; true' sh "$2" \
    || say "nothing to kill: $2 on $1"
}
kill_workd() { killed box1 '^cpods-workd$'; }
kill_schedd() { killed hub '^cpods-schedd$'; }
kill_ssh() { killed hub '^ssh$'; }
kill_sshfs() { killed box1 '^sshfs$'; }
kill_sftp() { killed hub '^sftp-server$'; }
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
# A small disk for box1's worker, while its cache lies there, and how it becomes full.
small_disk() {
  lab_ssh box1 'systemctl --user stop cpods-workd' </dev/null
  lab_exec box1 mount -t tmpfs -o "size=256m,nr_inodes=20k,uid=1000,gid=1000,mode=700" small /home/dev/.cache/cpods
  lab_ssh box1 'systemctl --user start cpods-workd' </dev/null
}
usual_disk() {
  lab_ssh box1 'systemctl --user stop cpods-workd' </dev/null
  lab_exec box1 umount -l /home/dev/.cache/cpods
  lab_ssh box1 'systemctl --user start cpods-workd' </dev/null
}
fill_disk() { lab_exec box1 sh -c 'cat /dev/zero >/home/dev/.cache/cpods/filler' 2>/dev/null || true; }
fill_inodes() { lab_exec box1 sh -c 'mkdir /home/dev/.cache/cpods/many; cd /home/dev/.cache/cpods/many && seq 30000 | xargs touch' 2>/dev/null || true; }
empty_disk() { lab_exec box1 rm -rf /home/dev/.cache/cpods/filler /home/dev/.cache/cpods/many; }
# A worker that the hub has left behind: it speaks an older protocol.
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

part_builds() {
  local began
  back 60
  build_lua
  began=$(date +%s.%N)
  verdict "Lua on the farm" "$(built)"
  hub 'cpods status' </dev/null | grep -E '^(jobs|local|pod)' | sed 's/^/        /'
}

part_faults() {
  often "kill -9 of workd" kill_workd
  often "kill -9 of schedd" kill_schedd
  often "kill -9 of ssh" kill_ssh
  often "kill -9 of sshfs" kill_sshfs
  often "kill -9 of sftp-server" kill_sftp
  noticed "a frozen pod" freeze_one thaw_one
  noticed "a cut link" cut_one join_one
  noticed "a worker of another protocol" old_worker new_worker
  fault "a worker of another protocol" old_worker new_worker
  fault "the link of one pod cut" cut_one join_one
  fault "the links of all pods cut" cut_all join_all
  fault "a frozen pod" freeze_one thaw_one
  fault "a stalled mount" stall_mount
  fault "a tool that is gone" tool_away tool_there
  small_disk
  fault "a full disk" fill_disk empty_disk
  fault "a disk without inodes" fill_inodes empty_disk
  usual_disk
  fault "restarts of both ends" restart_all
  fault "a reboot of a pod" reboot_one
  in_use_again
}

# in_use_again: after all that, every pod with the hub's compiler gets jobs
in_use_again() {
  local idle
  back 60
  hub 'systemctl --user restart cpods-schedd' </dev/null
  back 60
  build_lua
  built >"$log.built"
  idle=$(hub 'cpods status --json' </dev/null | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"] if not pod["finished"] and pod["name"] != "other"))')
  verdict "all pods get jobs again" "$idle$(cat "$log.built")"
}

# part_interrupt: within 2 s of Ctrl-C no job of the build is left on any pod
part_interrupt() {
  local pod left=
  back 60
  build_lua
  # shellcheck disable=SC2016
  lab_exec hub sh -c 'kill -INT $(pgrep -x ninja)'
  sleep 2
  for pod in hub "${farm_pods[@]}"; do left+=$(lab_exec "$pod" pgrep -l 'cc1|^as$' || true); done
  built >/dev/null
  verdict "Ctrl-C: no job is left after 2 s" "$left"
  farm_ninja
  verdict "the build after it" "$(built)"
}
