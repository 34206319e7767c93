# The literate project, a book whose code is extracted, built, proved and used; to be sourced after
# lib.sh.
# shellcheck shell=bash

literate_tools() {
  need context:context luatex:texlive-binaries frama-c:frama-c-base why3:why3 z3:z3 ninja:ninja-build \
    gcc:gcc aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu
  # Static programs need the C library's own.
  [ -e /usr/aarch64-linux-gnu/lib/libc.a ] || install_packages libc6-dev-arm64-cross
}

# literate_fresh DIR: the project as it is in the repository, and its graph
literate_fresh() {
  local without=()
  rm -rf "$1"
  mkdir -p "$1"
  # A fresh clone holds what git knows, and nothing that a build has made.
  (cd "$top" && git ls-files -z testdata/literate 2>/dev/null | xargs -0r tar -c) \
    | tar -x -C "$1" --strip-components=2
  [ -e "$1/prd-book.tex" ] || cp -r "$top/testdata/literate/." "$1"
  # No package carries VeriFast.
  has verifast || without=(--without verifast)
  (cd "$1" && PATH="$dist:$PATH" cpods-gen context "${without[@]}" prd-book.tex)
}

# literate_wait: until a pod has joined the hub; where the machine is busy that takes a while
literate_wait() {
  local i
  for ((i = 0; i < 120; i++)); do
    "$dist/cpods" status --json 2>/dev/null | grep -q '"up": *true' && return
    sleep 1
  done
  die "no pod has joined"
}

# literate_build DIR NINJA ARGUMENT...: by one ninja, with a hub and a pod of its own
literate_build() {
  local dir=$1; shift
  export -f literate_wait die
  # shellcheck disable=SC2016
  (cd "$dir" && PATH="$dist:$PATH" CPODS_LOG=$dir.log dist=$dist "$dist/cpods" run --root "$dir" -- \
    bash -c 'literate_wait && exec "$@"' build "$@") </dev/null
}

# literate_ran DIR: what ran where, by the wrappers' log
literate_ran() { sed -E 's/^[^:]*: //; s/: Exited\(0\)$//' "$1.log" | sort | uniq -c | sort -k2,2 -k1,1nr; }

# literate_proved DIR: goals proved, and all
literate_proved() {
  awk '/Proved goals:/ { proved += $4; all += $6 } END { print proved + 0, all + 0 }' "$1"/build/*.wp
}
