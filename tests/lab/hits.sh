# What happens to machines of a farm, and its end; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034

# killed POD PROGRAM: kill -9 of all the guest's processes of its user with that name
killed() {
  # (One may have ended just before.)
  lab_exec "$1" sh -c 'pids=$(pgrep -u dev "^$1\$") && kill -KILL $pids 2>/dev/null' sh "$2" \
    || say "nothing to kill: $2 on $1"
}
kill_workd() { killed box1 cpods-workd; }
kill_ssh() { killed hub ssh; }
kill_sshfs() { killed box1 sshfs; }
cut_one() { farm_cut box1; }
join_one() { farm_join box1; }
cut_all() { farm_cut "${farm_pods[@]}"; }
join_all() { farm_join "${farm_pods[@]}"; }
reboot_one() { lab_reboot box1 >/dev/null; }
freeze_one() { lab_freeze box1; }
thaw_one() { lab_thaw box1; }
stall_mount() { lab_exec box1 sh -c 'kill -STOP $(pgrep -u dev "^sshfs$")'; }
tool_away() { lab_exec box1 mv /usr/bin/x86_64-linux-gnu-gcc-12 /usr/bin/gcc-gone; }
tool_there() { lab_exec box1 mv /usr/bin/gcc-gone /usr/bin/x86_64-linux-gnu-gcc-12; }
# A small disk for a pod's worker, while its cache lies there, and how it becomes full. The hub leaves the
# pod meanwhile, lest it bring a worker of its own to the other disk; and what it thinks of the pod's disk
# after a fault, for ten minutes, it forgets.
disk_of=box1
small_disk() {
  hub "cpods unmount $disk_of" </dev/null
  lab_ssh $disk_of 'systemctl --user stop cpods-workd' </dev/null
  lab_exec $disk_of mount -t tmpfs -o "size=256m,nr_inodes=20k,uid=1000,gid=1000,mode=700" small /home/dev/.cache/cpods
  lab_ssh $disk_of 'systemctl --user start cpods-workd; until [ -S $XDG_RUNTIME_DIR/cpods/workd.sock ]; do sleep 0.1; done' </dev/null
  # (Whether it is in use again is asked afterwards.)
  hub "cpods mount $disk_of" </dev/null || true
}
usual_disk() {
  hub "cpods unmount $disk_of" </dev/null
  lab_ssh $disk_of 'systemctl --user stop cpods-workd' </dev/null
  lab_exec $disk_of umount -l /home/dev/.cache/cpods
  lab_ssh $disk_of 'systemctl --user start cpods-workd; until [ -S $XDG_RUNTIME_DIR/cpods/workd.sock ]; do sleep 0.1; done' </dev/null
  # (Whether it is in use again is asked afterwards.)
  hub "cpods mount $disk_of" </dev/null || true
}
# The same, and jobs' own files are there, too: as on pods whose kernel cannot have them in memory.
small_scratch() {
  lab_ssh $disk_of 'mkdir -p .config/systemd/user/cpods-workd.service.d
    printf "%s\n" "[Service]" ExecStart= "ExecStart=%h/.local/bin/cpods-workd --scratch disk --socket %t/cpods/workd.sock" \
      >.config/systemd/user/cpods-workd.service.d/scratch.conf; systemctl --user daemon-reload' </dev/null
  small_disk
}
usual_scratch() {
  lab_ssh $disk_of 'rm -r .config/systemd/user/cpods-workd.service.d; systemctl --user daemon-reload' </dev/null
  usual_disk
}
fill_disk() { lab_exec $disk_of sh -c 'cat /dev/zero >/home/dev/.cache/cpods/filler' 2>/dev/null || true; }
# A mirror that has everything needs no more room: something new comes (small, since content of large files
# comes only once it is needed).
fill_mirrors_disk() {
  fill_disk
  hub "for i in \$(seq 50); do seq 500 >work/$project/new\$i.h; done" </dev/null
}
fill_inodes() { lab_exec $disk_of sh -c 'mkdir /home/dev/.cache/cpods/many; cd /home/dev/.cache/cpods/many && seq 30000 | xargs touch' 2>/dev/null || true; }
empty_disk() { lab_exec $disk_of rm -rf /home/dev/.cache/cpods/filler /home/dev/.cache/cpods/many; }
# The kernel lets box1 have 24 MiB more than it has, less than four compilers, and kills what wants more.
memory_short() {
  local group pid
  group=$(lab_memory_group box1)
  mkdir -p "$group"
  for pid in $(lab__tree "$(lab__leader box1)"); do echo "$pid" >"$group/cgroup.procs" 2>/dev/null || true; done
  lab_memory_limit "$group" $((24 << 20))
}
memory_ample() { lab_memory_limit "$(lab_memory_group box1)" max; }
freeze_workd() { lab_exec box1 sh -c 'kill -STOP $(pgrep -u dev "^cpods-workd$")'; }
thaw_workd() { lab_exec box1 sh -c 'kill -CONT $(pgrep -u dev "^cpods-workd$")'; }
freeze_jobs() {
  for _ in $(seq 20); do
    frozen=$(jobs_on box1 | awk '{ print $1 }' | tr '\n' ' ')
    [ -z "$frozen" ] || break
  done
  [ -n "$frozen" ] || also+="no job to freeze on box1; "
  # shellcheck disable=SC2086
  kill -STOP $frozen 2>/dev/null || true
}
# shellcheck disable=SC2086
thaw_jobs() { kill -CONT $frozen 2>/dev/null || true; }
# Another compiler of the same name, time and size cannot be told by its looks: it makes other objects.
cc1=/usr/lib/gcc/x86_64-linux-gnu/12/cc1
tool_other() {
  lab_exec box1 sh -c 'cd "${1%/*}" && mv cc1 cc1-usual && printf "%s\n" "#!/bin/sh" "exec $1-usual \"\$@\" -fno-asynchronous-unwind-tables" >new && chmod 755 new && mv new cc1' sh $cc1
}
tool_same() { lab_exec box1 mv "$cc1-usual" "$cc1"; }
# Restarting both ends at once: what a person does who has read too much.
restart_all() { hub 'systemctl --user restart cpods-schedd' </dev/null; lab_ssh box1 'systemctl --user restart cpods-workd' </dev/null; }

# In mid-build all pods go, for a minute: the build goes on here, with no more jobs than cores.
cut_them_all() {
  cut_all
  at_cut=$(count_results "$(results_at)")
}
join_them_all() {
  local most done_here
  done_here=$(($(count_results "$(results_at)") - at_cut))
  # (What ran on pods at the cut is known to be lost after some seconds.)
  most=$(tail -n 40 "$log.status" | cut -d ' ' -f 1 | sort -n | tail -n 1)
  say "$project: while all links are cut: $done_here results, at most $most jobs at a time"
  [ "$most" -le 2 ] || also+="$most jobs at a time; "
  if kill -0 $building 2>/dev/null && [ $done_here -lt 3 ]; then also+="the build stands still; "; fi
  join_all
}
