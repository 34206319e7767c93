# cpods as a contender of the launcher benchmark, as cpods-sshfs, but the pod keeps a copy of the files.
. "$(dirname "${BASH_SOURCE[0]}")/cpods-sshfs.sh"
WPORT=2204
FILES=mirror
c_caps()  { echo remote; }
c_need()  { PATH=$PATH:/usr/sbin need gcc ssh sshd ssh-keygen "$CPODS_DIST/cpods" \
  "$CPODS_DIST/cpods-cc" "$CPODS_DIST/cpods-schedd" "$CPODS_DIST/cpods-workd"; }
