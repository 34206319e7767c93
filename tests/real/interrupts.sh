#!/usr/bin/env bash
# tests/real/interrupts.sh [ROUNDS]: Ctrl-C at some moment of a build, then the build again; and a
# header edited at some moment of a build, then the build again. Never is anything stale, half
# written or left behind. Needs scripts/build to have run.
. "$(dirname "$0")/../support/real.sh"
need ninja:ninja-build gcc:gcc python3:python3 setsid:util-linux
rounds=${1:-3}
dir=$place/interrupts
rm -rf "$dir"
plain_of() { # the plain build of the sources as they are now
  project_configure lua "$dir"
  quietly ninja -C "$dir/build" || die "the plain build fails"
  project_objects "$dir/build" >"$dir/plain.sums"
  project_configure lua "$dir" "$dist/cpods-cc"
}
mkdir -p "$dir"
project_fetch lua "$dir"
plain_of

# wait_random: up to the time that the build takes
wait_random() { sleep "$((RANDOM % 3)).$((RANDOM % 10))"; }

# leftovers: files that are no build's, and processes that work in this tree
leftovers() {
  find "$dir/build" -type f ! -name '*.o' ! -name '*.d' ! -name '*.a' ! -name build.ninja \
    ! -name .ninja_log ! -name .ninja_deps ! -name .ninja_lock
  local process
  for process in /proc/[0-9]*; do
    case $(readlink "$process/cwd" 2>/dev/null) in "$dir/build"*) echo "process ${process#/proc/}" ;; esac
  done
}

again() { # again NAME: the build once more, and what it has left
  local problem=
  if ! in_cpods "$dir" auto ninja -j8 >"$dir/build.log" 2>&1; then
    problem="the second build fails: $(tail -n 3 "$dir/build.log" | tr '\n' ' ')"
  fi
  problem+=$(differing "$dir")$(idle "$dir" ninja)$(leftovers)
  verdict "$1" "$problem"
}

for round in $(seq "$rounds"); do
  ninja -C "$dir/build" -t clean >"$dir/build.log"
  setsid "$dist/cpods" run -j8 --root "$dir" -- ninja -C "$dir/build" -j8 \
    >"$dir/build.log" 2>&1 </dev/null &
  leader=$!
  wait_random
  # To the whole group, as a terminal does it; it may have ended already.
  kill -INT -- "-$leader" 2>/dev/null || true
  wait "$leader" || true
  again "Ctrl-C, round $round"
done
for round in $(seq "$rounds"); do
  sed -i "s/^#define LUA_IDSIZE.*/#define LUA_IDSIZE 60/" "$dir/src/luaconf.h"
  ninja -C "$dir/build" -t clean >"$dir/build.log"
  in_cpods "$dir" auto ninja -j8 >"$dir/build.log" 2>&1 &
  build=$!
  wait_random
  sed -i "s/^#define LUA_IDSIZE.*/#define LUA_IDSIZE $((61 + round))/" "$dir/src/luaconf.h"
  wait "$build" || true
  in_cpods "$dir" auto ninja -j8 >"$dir/build.log" 2>&1 || true
  # What a plain build of the edited sources has, against what is there now.
  mv "$dir/build" "$dir/cpods-build"
  plain_of
  rm -rf "$dir/build"
  mv "$dir/cpods-build" "$dir/build"
  again "an edit in mid-build, round $round"
done
totals
