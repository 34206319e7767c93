# Who can do what to whom, tried from inside; sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# refused WHAT POD CMD: CMD, as another ordinary user of that machine, must fail
refused() {
  local said
  # shellcheck disable=SC2016
  if said=$(lab_exec "$2" setpriv --reuid other --regid other --clear-groups sh -c "$3" 2>/dev/null); then
    verdict "another user of $2 cannot $1" "it could: $said"
  else
    verdict "another user of $2 cannot $1" ""
  fi
}
connects='python3 -c "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"'

part_security() {
  local pod said
  back 60
  refused "connect to the hub's socket" hub "$connects /run/user/1000/cpods/hub.sock"
  refused "connect to a worker's socket" box1 "$connects /run/user/1000/cpods/workd.sock"
  refused "look into the worker's folder" box1 "ls /home/dev/.cache/cpods"
  refused "look into the mount of the hub's files" box1 \
    "ls \$(awk '/fuse.sshfs/ { print \$5; exit }' /proc/self/mountinfo)"
  refused "read the hub's configuration" hub "cat /home/dev/.config/cpods/hub.toml"
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
