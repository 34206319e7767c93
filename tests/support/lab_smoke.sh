#!/bin/bash
# Proves that the lab works on this machine, and leaves nothing behind (but the bases).
# shellcheck disable=SC2086,SC2094,SC2206,SC2317
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=tests/support/lab.sh
. "$top/tests/support/lab.sh"
lab_setup
export lab
failed=0

# check NAME CMD...: a line, with the time it took
check() {
  local name=$1 begin=${EPOCHREALTIME/./} code; shift
  # As a condition, CMD would go on after what fails in it.
  set +e; (set -e; "$@") >"$lab/smoke.log" 2>&1 </dev/null; code=$?; set -e
  printf '%s %s (%d ms)\n' "$([ $code = 0 ] && echo 'ok     ' || echo 'FAILED ')" "$name" \
    $(((${EPOCHREALTIME/./} - begin) / 1000))
  [ $code = 0 ] || { failed=1; tail -n 10 "$lab/smoke.log"; }
  sed -n 's/^== /        /p' "$lab/smoke.log"
}

# jail ROOT CMD...: CMD in a jail that shows ROOT, at its own path, and the system's directories
jail() {
  local root=$1 dir shown=(); shift
  for dir in /lib /lib32 /lib64 /libx32; do
    if [ -L $dir ]; then shown+=(--symlink "$(readlink $dir)" $dir)
    elif [ -d $dir ]; then shown+=(--ro-bind $dir $dir); fi
  done
  # sftp-server wants a user of its number. No /proc, and nothing in bwrap's own environment: in a
  # /proc, that of PID 1, which is bwrap, could be read.
  printf 'jail:x:%s:%s::/:/bin/false\n' "$(id -u)" "$(id -g)" >"$lab/smoke.passwd"
  env -i bwrap --unshare-all --die-with-parent --new-session --ro-bind /usr /usr "${shown[@]}" \
    --ro-bind "$lab/smoke.passwd" /etc/passwd --dev-bind /dev/null /dev/null \
    --ro-bind "$root" "$root" --chdir / "$@"
}

user_namespaces() {
  # shellcheck disable=SC2016
  lab_ssh "$1" 'set -e; [ -w /dev/fuse ]; [ "$(id -un)" = dev ]
    unshare -Urm true; unshare -Urpmf --mount-proc true; unshare -Urmpinf --mount-proc true
    mkdir -p ~/.cache/o/{l,u,w,m}; cd ~/.cache/o
    unshare -Urm mount -t overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr overlay m
    chmod -R u+rwX .; rm -r ~/.cache/o'
}
proc_refused() { # on demand, a guest is like a container
  lab_exec "$1" umount /run/whole-proc
  ! lab_ssh "$1" unshare -Urpmf --mount-proc true || return 1
  lab_exec "$1" systemctl restart 'run-whole\x2dproc.mount'
  lab_ssh "$1" unshare -Urpmf --mount-proc true
}

# reverse NAME ROOT: mounts ROOT of this machine on the pod's ~/mount, over ssh's own connection
reverse() {
  local fifo=$lab/$1/fifo
  mkfifo "$fifo"
  lab_ssh "$1" 'mkdir -p ~/mount'
  (
    lab_ssh "$1" "exec sshfs -f -o passive,dir_cache=no,entry_timeout=0,attr_timeout=0 \
      -o negative_timeout=0 :$2 mount" <"$fifo" | jail "$2" /usr/lib/openssh/sftp-server -R -e >"$fifo"
  ) 2>"$lab/$1/sshfs.log" &
  for _ in {1..50}; do
    ! lab_ssh "$1" 'mountpoint -q ~/mount' || return 0
    sleep 0.1
  done
  cat "$lab/$1/sshfs.log"; return 1
}
same() { [ "$(lab_ssh "$1" "sha256sum <mount/source.c")" = "$(sha256sum <"$lab/smoke/source.c")" ]; }
changed() {
  echo "int changed;" >>"$lab/smoke/source.c"
  same "$1"
}
unwritable() { ! lab_ssh "$1" 'touch mount/new || echo >>mount/source.c || rm -f mount/source.c'; }
overlaid() { # a compile in an overlay over the mount, in a user namespace
  # shellcheck disable=SC2016
  lab_ssh "$1" 'set -e; mkdir -p ~/.cache/s/{upper,work,merged}; cd ~/.cache/s
    unshare -Urmp --fork --mount-proc bash -ec "
      mount -t overlay -o lowerdir=$HOME/mount,upperdir=upper,workdir=work,userxattr overlay merged
      cd merged; gcc -c source.c"
    [ "$(ls upper)" = source.o ]; [ ! -e ~/mount/source.o ]; chmod -R u+rwX .; rm -r ~/.cache/s'
  [ ! -e "$lab/smoke/source.o" ]
}

# away NAME CUT JOIN: nobody answers meanwhile, and a connection that there was goes on
away() {
  local begin=${EPOCHREALTIME/./}
  lab_ssh "$1" 'sleep 0.5; echo here' >"$lab/$1/held" &
  sleep 0.4
  "$2" "$1"
  ! timeout 1.5 ssh -F "$lab/ssh_config" "$1" true || return 1
  [ ! -s "$lab/$1/held" ]
  "$3" "$1"
  lab_ssh "$1" true
  wait $!
  [ "$(cat "$lab/$1/held")" = here ]
  say "the connection that there was took $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
}
rebooted() {
  local before; before=$(lab_ssh "$1" 'echo kept >kept; systemctl show -P UserspaceTimestamp')
  sleep 1
  lab_reboot "$1"
  [ "$(lab_ssh "$1" 'systemctl show -P UserspaceTimestamp')" != "$before" ]
  [ "$(lab_ssh "$1" cat kept)" = kept ]
}

# millis CMD...: how long the quickest of 3 takes
millis() {
  local begin best=999999 took
  for _ in 1 2 3; do
    begin=${EPOCHREALTIME/./}; "$@" >/dev/null; took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    [ $took -gt $best ] || best=$took
  done
  echo $best
}
# banner NAME: what sshd says first; it takes little else than the way, on a busy machine too
banner() {
  local host port
  host=$(ssh -F "$lab/ssh_config" -G "$1" | sed -n 's/^hostname //p')
  port=$(ssh -F "$lab/ssh_config" -G "$1" | sed -n 's/^port //p')
  # shellcheck disable=SC2016
  timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2"; read -r line <&3; [[ $line = SSH-* ]]' - "$host" "$port"
}
far() {
  local near there fast
  lab_far "$1" 50
  say "ssh $1 true: $(millis lab_ssh "$1" true) ms, 50 ms away: $(millis lab_ssh "$1-far" true) ms"
  near=$(millis banner "$1") there=$(millis banner "$1-far")
  fast=$(millis lab_ssh "$1-far" head -c 20000000 /dev/zero)
  say "first words: $near ms, 50 ms away: $there ms; 20 MB from there: $fast ms"
  [ "$there" -ge 100 ] && [ "$near" -lt "$there" ] && [ "$there" -le 1000 ] && [ "$fast" -le 8000 ]
}
narrow() {
  local took
  lab_far "$1" 20 40
  took=$(millis lab_ssh "$1-far" head -c 4000000 /dev/zero)
  say "4 MB at 40 Mbit/s, 20 ms away: $took ms"
  [ "$took" -ge 800 ] && [ "$took" -le 3000 ]
}
probe() {
  python3 "$top/tests/support/sftp_probe.py" --expect-root "$lab/smoke" --file source.c -- "$@" \
    >"$lab/probe.log" || { local code=$?; grep -v '^refused' "$lab/probe.log"; return $code; }
  say "$(tail -n 1 "$lab/probe.log")"
}
jailed() {
  export -f jail
  # shellcheck disable=SC2016
  probe bash -c 'jail "$1" /usr/lib/openssh/sftp-server -R -e' jail "$lab/smoke"
}
unjailed() { # the probe must not be blind
  local code=0
  probe /usr/lib/openssh/sftp-server -e || code=$?
  [ $code = 1 ]
  grep -q '^GOT read, dots: the secret' "$lab/probe.log"
  grep -q '^GOT create .* outside: written' "$lab/probe.log"
  [ ! -e /tmp/sftp-probe ] && [ ! -e /usr/sftp-probe ]
}

# traces LINKS NETS: what is left of these pods: mounts, links, namespaces, cgroups, processes
traces() {
  grep -ls "$lab/" /proc/[0-9]*/mountinfo || true
  ip -o link | grep -F "$1" || true
  ip netns | grep -F "$1" || true
  find "$lab_cgroup2" -maxdepth 1 -name 'lab*' | grep -F "$1" || true
  find /proc -maxdepth 3 -path '*/ns/net' -printf '%l %p\n' 2>/dev/null | grep -F "$2" || true
  grep -lsF "$lab/" /proc/[0-9]*/cmdline || true
}
bases() { find "$lab"/base-* -printf '%p %m %U %s %T@ %C@\n' | sort | sha256sum; }

lab_base bookworm
lab_base trixie
before=$(bases)
lab_trap
mkdir -p "$lab/smoke"
printf '#include <stdio.h>\nint main(void) { return puts("hello"); }\n' >"$lab/smoke/source.c"
check "a guest comes up, bookworm" lab_guest smoke-old bookworm
check "a guest comes up, trixie" lab_guest smoke-new trixie
check "a namespace pod comes up" lab_namespace smoke-net "$target/dist"
pods="smoke-old smoke-new smoke-net"
links=$(cat "$lab"/smoke-*/link)
nets=''
for pod in $pods; do
  # Held open, so that no other namespace gets its number.
  leader=$(lab__leader $pod)
  exec {held}<"/proc/$leader/ns/net"
  nets+=${nets:+$'\n'}$(readlink "/proc/self/fd/$held")
done
[ "$(sort -u <<<"$nets" | grep -vcxF "$(readlink /proc/self/ns/net)")" = 3 ] || die "not every pod is up"
for pod in $pods; do
  check "$pod: ssh" lab_ssh $pod true
  check "$pod: root inside" lab_exec $pod test -d /root/.
  check "$pod: user namespaces, fresh proc, overlay" user_namespaces $pod
  check "$pod: reverse mount out of a jail" reverse $pod "$lab/smoke"
  check "$pod: reading through it" same $pod
  check "$pod: changes are seen" changed $pod
  check "$pod: nothing is written through it" unwritable $pod
  check "$pod: overlay over it" overlaid $pod
  check "$pod: frozen" away $pod lab_freeze lab_thaw
  check "$pod: cut off" away $pod lab_cut lab_join
  check "$pod: the mount has lived through that" same $pod
  check "$pod: far away" far $pod
done
check "bandwidth" narrow smoke-net
for pod in smoke-old smoke-new; do
  check "$pod: systemd is content" lab_exec $pod systemctl is-system-running --wait
  check "$pod: fresh proc refused on demand" proc_refused $pod
  check "$pod: reboot" rebooted $pod
done
check "nothing comes out of the jail" jailed
check "without a jail, much does" unjailed
check "down" lab_down --all
rm -rf "$lab/smoke" "$lab"/smoke.passwd "$lab/probe.log"
left=$(traces "$links" "$nets")
check "nothing is left" test -z "$left"
[ -z "$left" ] || { printf '%s\n' "$left"; ps -eo pid,ppid,lstart,args; }
check "the bases are as before" test "$before" = "$(bases)"
exit $failed
