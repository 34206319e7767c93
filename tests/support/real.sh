# Builds of real projects through cpods, each compared with a plain one; to be sourced.
# A check prints one line, and `totals` the closing line.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
. "$top/scripts/projects.sh"
place=$target/projects
passed=0 failed=0

# verdict NAME PROBLEM: a check's line; it has passed if there is no problem
verdict() {
  if [ -z "$2" ]; then passed=$((passed + 1)); printf 'ok      %s\n' "$1"
  else failed=$((failed + 1)); printf 'FAILED  %s: %s\n' "$1" "$2"; fi
}

totals() {
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

# plain NAME: builds without cpods, once; leaves the objects' digests in DIR/plain.sums
plain() {
  local dir=$place/$1
  mkdir -p "$dir"
  project_fetch "$1" "$dir"
  project_configure "$1" "$dir"
  quietly ninja -C "$dir/build" || die "the plain build of $1 fails"
  project_objects "$dir/build" >"$dir/plain.sums"
  [ -s "$dir/plain.sums" ] || die "the plain build of $1 has no objects"
}

# in_cpods DIR VIEW CMD...: runs CMD in DIR/build with a hub and a pod of its own
in_cpods() {
  local dir=$1 view=$2; shift 2
  (cd "$dir/build" && "$dist/cpods" run -j8 --root "$dir" --view "$view" -- "$@") </dev/null
}

# differing DIR: how the objects differ from the plain build's; nothing if they do not
differing() {
  project_objects "$1/build" | diff "$1/plain.sums" - >"$1/differ" && return
  echo "$(grep -c '^>' "$1/differ") of $(wc -l <"$1/plain.sums") objects differ, or more or fewer"
}

# idle DIR NINJA: what there is left to do; nothing if nothing is
idle() {
  local left; left=$("$2" -C "$1/build" -n -d explain 2>&1)
  case $left in *'no work to do'*) ;; *) printf '%s\n' "$left" | head -n 4 | tr '\n' ' ' ;; esac
}

# counts DIR COMPILES: what is wrong with where jobs ran, by the hub's status in DIR/status.json
counts() {
  python3 - "$1/status.json" "$2" <<'PYTHON'
import json, sys
status, wanted = json.load(open(sys.argv[1])), int(sys.argv[2])
if status["finished"] != wanted or status["failed"] or status["local"]:
    print(f'{status["finished"]} of {wanted} jobs on the pod, {status["failed"]} of them failed,',
          "local:", status["local"])
PYTHON
}

# through NAME VIEW NINJA: builds a project with cpods after `plain NAME`, and compares everything
through() {
  local name=$1 view=$2 ninja=$3 dir=$place/$1 label problem
  label="$name, $view view, ninja $("$ninja" --version)"
  project_configure "$name" "$dir" "$dist/cpods-cc"
  rm -f "$dir/status.json"
  # shellcheck disable=SC2016
  if in_cpods "$dir" "$view" bash -c '"$1" -j8 && "$2" status --json >../status.json' \
    build "$ninja" "$dist/cpods" >"$dir/build.log" 2>&1; then
    problem=$(counts "$dir" "$(project_compiles "$dir/build")")
    problem+=$(differing "$dir")
    problem+=$(idle "$dir" "$ninja")
  else
    problem="the build fails: $(grep -v '^\[' "$dir/build.log" | tail -n 5 | tr '\n' ' ')"
  fi
  verdict "$label" "$problem"
}
