#!/usr/bin/env bash
# tests/real/tools.sh: what cpods-gen makes of a real project that knows nothing of cpods. libgit2's
# own Ninja file is wrapped and gives the same objects, and back again to the byte; Frama-C reads its
# utilities on a pod, with the project's flags, and says what it says here. Needs scripts/build.
. "$(dirname "$0")/../support/real.sh"
need cmake:cmake ninja:ninja-build gcc:gcc python3:python3 frama-c:frama-c-base
dir=$place/libgit2
export CMAKE_EXPORT_COMPILE_COMMANDS=ON

# wrapped: what is wrong with a wrapped build, if anything
wrapped() {
  local before; before=$(sha256sum <"$dir/build/build.ninja")
  (cd "$dir/build" && "$dist/cpods-gen" wrap build.ninja) >"$dir/build.log" 2>&1 \
    || { echo "cannot be wrapped: $(tail -n 3 "$dir/build.log")"; return; }
  rm -f "$dir/status.json"
  # shellcheck disable=SC2016
  if in_cpods "$dir" overlay bash -c 'ninja -j8 && "$1" status --json >../status.json' build \
    "$dist/cpods" >>"$dir/build.log" 2>&1; then
    counts "$dir" "$(project_compiles "$dir/build")"
    differing "$dir"
    idle "$dir" ninja
  else
    echo "the build fails: $(grep -v '^\[' "$dir/build.log" | tail -n 5 | tr '\n' ' ')"
  fi
  (cd "$dir/build" && "$dist/cpods-gen" wrap --undo build.ninja) >>"$dir/build.log" 2>&1
  [ "$before" = "$(sha256sum <"$dir/build/build.ninja")" ] || echo "the Ninja file is not as it was"
}

# logs_of FOLDER: what Frama-C said of each source, in FOLDER.sums
logs_of() { (cd "$1" && find . -name '*.log' -print0 | sort -z | xargs -0 -r sha256sum) >"$1.sums"; }

# parsed: what is wrong with Frama-C's reading of the utilities, if anything. Its own C library lacks
# what three of the 37 need (zlib.h, st_mtim); those must fail on a pod as they fail here.
parsed() {
  # Without OpenSSL, whose headers Frama-C is not shown; nothing is built there.
  quietly cmake -G Ninja -S "$dir/src" -B "$dir/framac" -DUSE_HTTPS=OFF -DUSE_SSH=OFF \
    -DBUILD_TESTS=OFF || { echo "cannot be configured"; return; }
  cd "$dir/framac" || return
  rm -rf logs logs.sums plain-logs plain-logs.sums ../status.json
  "$dist/cpods-gen" compdb --tool framac --only '**/util/**' --logs logs -o framac.ninja \
    --flags '-c11 -machdep gcc_x86_64 -cpp-extra-args=-D_POSIX_THREADS' 2>/dev/null
  sed 's/^cpods = .*/cpods =/' framac.ninja >plain.ninja
  ninja -k0 -f plain.ninja >"$dir/plain.log" 2>&1 || true
  logs_of logs
  mv logs plain-logs; mv logs.sums plain-logs.sums
  rm -f .ninja_deps .ninja_log
  # shellcheck disable=SC2016
  in_cpods "$dir" overlay bash -c 'cd ../framac && CPODS_FALLBACK=0 ninja -k0 -f framac.ninja -j8 || true
    "$1" status --json >../status.json' framac "$dist/cpods" >"$dir/build.log" 2>&1
  logs_of logs
  diff plain-logs.sums logs.sums >/dev/null || echo "Frama-C says other things on a pod"
  local count; count=$(wc -l <logs.sums)
  [ "$count" -ge 34 ] || echo "only $count files are parsed"
  python3 - "$dir/status.json" "$(grep -c '^build' framac.ninja)" <<'PYTHON'
import json, sys
status, wanted = json.load(open(sys.argv[1])), int(sys.argv[2])
if status["finished"] != wanted or status["local"]:
    print(f'{status["finished"]} of {wanted} runs on the pod, local:', status["local"])
PYTHON
}

plain libgit2
project_configure libgit2 "$dir"
verdict "libgit2's Ninja file, wrapped" "$(wrapped)"
verdict "Frama-C on libgit2's utilities" "$(parsed)"
totals
