# cpods as a contender of the launcher benchmark: hub and worker of this checkout's target/dist
# (scripts/build), joined by a unix socket; the files are shared.
CPODS_DIST=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../target/dist" 2>/dev/null && pwd)
HUB_SOCKET=$C_DIR/hub.sock
c_caps()  { echo remote; }
c_need()  { need gcc "$CPODS_DIST/cpods" "$CPODS_DIST/cpods-cc" "$CPODS_DIST/cpods-schedd" "$CPODS_DIST/cpods-workd"; }
c_start() {
  : > "$C_DIR/worker.log"
  bg wrk "$B_WRK" bash -c 'log=$1; shift; exec "$@" 2>> "$log"' - "$C_DIR/worker.log" \
    "$CPODS_DIST/cpods-workd" --socket "$C_DIR/workd.sock" --slots "$SLOTS" --name wrk --log info
  bg hub "$B_HUB" "$CPODS_DIST/cpods-schedd" --socket "$HUB_SOCKET" --root "$B_WORK" \
    --pod "wrk=unix:$C_DIR/workd.sock"
  wait_for 30 pod_up
}
pod_up()  { CPODS_HUB=$HUB_SOCKET "$CPODS_DIST/cpods" status --json | grep -Eq '"up": *true'; }
c_env()   { echo "CPODS_HUB=$HUB_SOCKET"; echo "CPODS_FALLBACK=0"; }
c_wrap()  { echo "$CPODS_DIST/cpods-cc"; }
c_bad()   { echo 'cpods-cc: '; }
c_count() { grep -c 'job done' "$C_DIR/worker.log"; }
