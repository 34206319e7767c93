# Run by the pod's sh at the other end of ssh: puts the hub's worker into the cache folder if it is
# not there, and becomes it. The arguments are for the worker. Holds no single quote, since it
# travels in a pair of them; speaks in lines that begin with "cpods-", as a login shell may print
# others before.
umask 077
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cpods
runtime=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
# Where all workers of this user count their jobs; not every sshd says so.
[ ! -d "$runtime" ] || export XDG_RUNTIME_DIR="$runtime"
fail() { echo "$*" >&2; exit 1; }
echo
echo "cpods-pod $(uname -s) $(uname -m)"
read -r name size || exit 1
worker=$cache/bin/$name
if [ -x "$worker" ] && [ "$(wc -c <"$worker")" -eq "$size" ]; then
  echo "cpods-have"
else
  mkdir -p "$cache/bin" || fail "cannot make $cache/bin on this pod"
  part=$cache/bin/.part.$$
  trap "rm -f \"$part\"" 0
  echo "cpods-send"
  head -c "$size" >"$part" || fail "cannot write the worker to $part"
  [ "$(wc -c <"$part")" -eq "$size" ] || fail "the worker did not arrive whole; is the disk full?"
  chmod 700 "$part" && "$part" --version >/dev/null || fail "the worker $name does not run on this pod"
  mv -f "$part" "$worker" || fail "cannot write $worker"
  trap - 0
  echo "cpods-have"
fi
# A report is of the machine, whoever works there.
if [ "$1" = "--report" ]; then
  echo "cpods-by report"
  exec "$worker" "$@"
fi
# A service that is enabled may just be starting: it was killed, ended after its jobs, or the machine
# was booted. A socket may be left of one that was killed, or be that of another version: then the
# pod is served without it, until it is there.
service=$runtime/cpods/workd.sock
unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/default.target.wants/cpods-workd.service
if [ -e "$unit" ]; then enabled=enabled wait=10; else enabled=unknown wait=0; fi
found=$("$worker" --meet "$service" --wait "$wait")
echo "cpods-by ${found:-nobody} $enabled"
[ "$found" != "service" ] || exec "$worker" --bridge "$service"
exec "$worker" "$@" --service "$service"
