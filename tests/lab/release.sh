# A pod of another Debian release that has the hub's very compiler, and other headers; sourced by test.sh.
# (Debian's own compilers differ from release to release, and load that release's libraries.)
# shellcheck shell=bash disable=SC2154,SC2016

sources_othergcc() {
  project_fetch libgit2 "$place/libgit2"
  hub_has cmake:cmake
  tar -C "$place/libgit2" -c src | hub 'tar -C work/othergcc -x'
}
fresh_othergcc() {
  hub "cd work/othergcc && rm -rf build && cmake -G Ninja -S src -B build -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTS=OFF \
    -DUSE_SSH=OFF -DUSE_HTTPS=OFF -DCMAKE_C_COMPILER=/usr/local/bin/gcc -DCMAKE_C_COMPILER_LAUNCHER=$1" \
    >"$log" 2>&1 </dev/null || die "cannot configure libgit2: $(tail -n 3 "$log")"
}

# on_other: jobs that the pod of another release has done
on_other() { hub 'cpods status --json' </dev/null | python3 -c 'import json, sys
print(*[pod["finished"] for pod in json.load(sys.stdin)["pods"] if pod["name"] == "other"])'; }

part_release() {
  local before problem
  back 60
  hub_has ninja:ninja-build patchelf:patchelf
  lab_exec hub bash -s /usr/local <"$top/tests/lab/selfgcc.sh"
  lab_exec hub tar -C /usr/local -c . | lab_exec other tar -C /usr/local -x
  # (Its headers are those of its own release, and only in part there.)
  say "glibc of the hub and of the pod: $(for pod in hub other; do lab_exec $pod dpkg-query -Wf '${Version} ' libc6; done)"
  lab_ssh other 'systemctl --user restart cpods-workd' </dev/null
  hub 'systemctl --user restart cpods-schedd' </dev/null
  back 90
  # (The hub's own pod has that compiler, too.)
  hub 'cpods unmount local' </dev/null
  project=othergcc
  ready
  fresh_othergcc cpods-cc
  hub "rm -f $project/ran"
  before=$(on_other)
  farm_ninja
  problem=$(built)
  say "libgit2 by a compiler that one pod has, of another release:$(ran)"
  [ $(($(on_other) - before)) -ge 200 ] || problem+="the pod has done $(($(on_other) - before)) jobs only; "
  verdict "a pod of another release with the same compiler serves" "$problem"
  hub 'cpods mount local' </dev/null
  for pod in hub other; do
    lab_exec $pod sh -c 'rm -rf /usr/local/bin/gcc /usr/local/lib/gcc /usr/local/lib/own /usr/local/*-linux-gnu'
  done
}
