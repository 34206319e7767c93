# cpods as a contender of the launcher benchmark, its pod reached by ssh alone: the worker of
# target/dist is sent there, and sees the files over sshfs.
CPODS_DIST=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../target/dist" 2>/dev/null && pwd)
HUB_SOCKET=$C_DIR/hub.sock
WPORT=2203
FILES=sshfs
c_caps()  { echo remote slow; }
c_need()  { PATH=$PATH:/usr/sbin need gcc sshfs ssh sshd ssh-keygen bwrap "$CPODS_DIST/cpods" \
  "$CPODS_DIST/cpods-cc" "$CPODS_DIST/cpods-schedd" "$CPODS_DIST/cpods-workd"; }
c_ports() { echo "w $WPORT"; }
c_start() {
  local sshd; sshd=$(PATH=$PATH:/usr/sbin command -v sshd)
  mkdir -p "$C_DIR/cache" "$C_DIR/run" /run/sshd
  rm -f "$C_DIR"/key* "$C_DIR"/host*
  ssh-keygen -qt ed25519 -N '' -f "$C_DIR/key"; ssh-keygen -qt ed25519 -N '' -f "$C_DIR/host"
  cat > "$C_DIR/sshd.conf" <<C
Port $WPORT
ListenAddress 0.0.0.0
HostKey $C_DIR/host
AuthorizedKeysFile $C_DIR/key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
SetEnv XDG_CACHE_HOME=$C_DIR/cache XDG_RUNTIME_DIR=$C_DIR/run
C
  cat > "$C_DIR/ssh.conf" <<C
Host wrk
  HostName $W_ADDR
  Port $WPORT
  IdentityFile $C_DIR/key
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
C
  : > "$C_DIR/hub.log"
  printf '[[pods]]\nname = "wrk"\nfiles = "%s"\nslots = %s\n' $FILES "$SLOTS" > "$C_DIR/hub.toml"
  bg wrk "$B_WRK" "$sshd" -D -f "$C_DIR/sshd.conf" -E "$C_DIR/sshd.log"
  wait_for 10 port_open "$B_WRK" 127.0.0.1 $WPORT || return 1
  # The worker's own log comes with what ssh says.
  bg hub "$B_HUB" env "CPODS_SSH=ssh -F $C_DIR/ssh.conf" bash -c 'log=$1; shift; exec "$@" 2>> "$log"' - \
    "$C_DIR/hub.log" "$CPODS_DIST/cpods-schedd" --socket "$HUB_SOCKET" --root "$B_WORK" \
    --log info,cpods::schedd::ssh=debug --config "$C_DIR/hub.toml"
  wait_for 60 pod_up
}
pod_up()  { CPODS_HUB=$HUB_SOCKET "$CPODS_DIST/cpods" status --json | grep -Eq '"up": *true'; }
c_env()   { echo "CPODS_HUB=$HUB_SOCKET"; echo "CPODS_FALLBACK=0"; }
c_wrap()  { echo "$CPODS_DIST/cpods-cc"; }
c_bad()   { echo 'cpods-cc: '; }
c_count() { grep -c 'job done' "$C_DIR/hub.log"; }
