# Who can do what to whom, tried from inside; sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# refused WHAT POD CMD: CMD, as another ordinary user of that machine, must fail, and not because there is
# nothing: its owner (or root, who is asked where the kernel refuses the owner, too) can
refused() {
  local said owner=dev
  case $1 in *environment*|*"a job's"*) owner=root ;; esac
  said=$(as $owner "$2" "$3" 2>&1) || { verdict "another user of $2 cannot $1" "nor can $owner: ${said:0:200}"; return; }
  if said=$(as other "$2" "$3" 2>/dev/null); then
    verdict "another user of $2 cannot $1" "it could: ${said:0:200}"
  else
    verdict "another user of $2 cannot $1" ""
  fi
}
# as USER MACHINE CMD
as() { lab_exec "$2" setpriv --reuid "$1" --regid "$1" --clear-groups sh -c "$3" </dev/null; }
connects='python3 -c "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"'

# sleeps_on POD: starts jobs that sleep until `wake`, with a variable that their rule lists and with some
# that it does not; prints the number of one of the processes on that pod
sleeps_on() {
  local pid
  # (A connection of its own, whose environment is not the service's.)
  hub "mkdir -p work/try && cd work/try && echo content >in && rm -f asleep.* && for i in \$(seq 14); do
    SLEEPER_LISTED=listed-$marker TRY_UNLISTED=unlisted-$marker AWS_SECRET_ACCESS_KEY=unlisted-$marker \
      cpods-cc sleeper -m 12000 -o asleep.\$i in >/dev/null & done; wait" >/dev/null 2>&1 </dev/null & sleepers=$!
  for _ in $(seq 50); do
    pid=$(lab_exec "$1" pgrep -x sleeper | head -n 1) || true
    [ -z "$pid" ] || break
    sleep 0.2
  done
  echo "$pid" >"$log.pid"
}

# environments: what another user, and the pod itself, sees of the environment of jobs
environments() {
  local marker=$RANDOM$RANDOM pod=$1 pid sleepers said
  sleeps_on "$pod"
  pid=$(cat "$log.pid")
  [ -n "$pid" ] || { verdict "a job sleeps on $pod" "there is none"; return; }
  refused "read a job's environment" "$pod" "tr '\\0' '\\n' </proc/$pid/environ | grep ."
  refused "see a job's files" "$pod" "cat /proc/$pid/cwd/in"
  refused "look into a job's root" "$pod" "ls /proc/$pid/root/"
  refused "see a job's open files" "$pod" "ls /proc/$pid/fd/"
  said=$(lab_exec "$pod" sh -c "tr '\\0' '\\n' </proc/$pid/environ")
  say "the environment of a job on $pod: $(cut -d = -f 1 <<<"$said" | sort | paste -sd ' ')"
  verdict "a variable that the rule lists reaches a job on $pod" \
    "$(grep -qx "SLEEPER_LISTED=listed-$marker" <<<"$said" || echo "it does not")"
  # Neither in what any process of that machine was started with, nor in any file. (Whoever looks for it
  # does not find himself.)
  said=$(lab_exec "$pod" sh -c "grep -ls [u]nlisted-$marker /proc/[0-9]*/environ /proc/[0-9]*/cmdline
    grep -rls [u]nlisted-$marker /home/dev /tmp /var/tmp /run/user 2>/dev/null" | head -n 3 | tr '\n' ' ') || true
  verdict "a variable that no rule lists reaches nothing on $pod" "$said"
  # The search finds what is there.
  said=$(lab_exec "$pod" sh -c "grep -ls =[l]isted-$marker /proc/[0-9]*/environ" | wc -l) || true
  verdict "what is listed is found there so" "$([ "$said" != 0 ] || echo "it is not")"
  wait $sleepers || true
}

part_security() {
  local pod said
  back 60
  refused "connect to the hub's socket" hub "$connects /run/user/1000/cpods/hub.sock"
  refused "connect to a worker's socket" box1 "$connects /run/user/1000/cpods/workd.sock"
  refused "look into the worker's folder" box1 "ls /home/dev/.cache/cpods"
  refused "look into the mirror of the hub's files" box2 "ls /home/dev/.cache/cpods/mirror"
  refused "look into the mount of the hub's files" box1 \
    "ls \$(awk '/fuse.sshfs/ { print \$5; exit }' /proc/self/mountinfo)"
  refused "read the hub's configuration" hub "cat /home/dev/.config/cpods/hub.toml"
  for pod in "${farm_pods[@]}"; do environments "$pod"; done
  # A job that tries, and says what it could do.
  hub 'mkdir -p work/try && cat >work/try/try.c && cd work/try && gcc -O1 try.c -o try' <"$top/tests/lab/try.c"
  said=$(hub 'cd work/try && echo secret >~/secret && echo secret >/tmp/secret && TRY_SECRET=1 AWS_SECRET=2 CPODS_FALLBACK=0 cpods-cc ./try' 2>&1 </dev/null) \
    || said="it does not run: $said"
  verdict "a job cannot leave its view, nor see the environment" "$(grep -v '^tried ' <<<"$said" | tr '\n' ' ')"
  grep '^tried ' <<<"$said" | sed 's/^/        /' || verdict "the job that tries says so" "$said"
  # The pod's user, with all that is there: the mount, and what ssh lets through.
  # shellcheck disable=SC2016
  said=$(lab_ssh box1 'at=$(awk "/fuse.sshfs/ { print \$5; exit }" /proc/self/mountinfo)
    [ -n "$at" ] || { echo "there is no mount"; exit; }
    ls "$at/0/try/try.c" >/dev/null 2>&1 || echo "the roots are not there"
    for file in etc/shadow etc/ssh/sshd_config home/dev/secret home/dev/.ssh/id_ed25519 0/../secret tmp/secret; do
      ! cat "$at/$file" 2>/dev/null || echo "could read $file"
    done
    ! touch "$at/0/try/new" 2>/dev/null || echo "could write"
    ! rm -f "$at/0/try/try.c" 2>/dev/null || echo "could remove"
    ! ssh -oBatchMode=yes -oStrictHostKeyChecking=no hub true 2>/dev/null || echo "could log in on the hub"' 2>&1 </dev/null)
  verdict "a pod's user cannot reach the hub's files outside the roots, nor write" "$said"
  for pod in hub "${farm_pods[@]}"; do
    said=$(lab_exec "$pod" ss -Hltunp | grep -vE ':22 |"systemd"|sshd' || true)
    verdict "nobody but sshd listens on $pod" "$said"
  done
}
