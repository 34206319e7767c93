#!/usr/bin/env bash
# tests/real/pods.sh: pods that are other machines: booted guests, one of another Debian release, and
# a network namespace, each reached by ssh alone as an ordinary user. Builds real projects on them.
. "$(dirname "$0")/../support/real.sh"
. "$top/tests/support/lab.sh"
export CPODS_LAB=${CPODS_LAB:-$target/lab}
if ! why=$(lab_can); then
  say "no lab on this machine: $why"
  verdict "a lab where there can be none is left out" ""
  totals
  exit
fi
export CPODS_SSH="ssh -F $lab/ssh_config"
lab_trap
lab_setup
lab_base bookworm
lab_base trixie
release=$(. /etc/os-release && echo "$VERSION_CODENAME")

# on_pods DIR PODS RUNARG... -- CMD...: runs CMD in DIR/build with these pods (by commas)
on_pods() {
  local dir=$1 pods=$2 args=(); shift 2
  for pod in ${pods//,/ }; do args+=(--pod "$pod"); done
  while [ "$1" != -- ]; do args+=("$1"); shift; done
  (cd "$dir/build" && "$dist/cpods" run --root "$dir" "${args[@]}" "$@") </dev/null
}

# same_headers POD: gives a pod the very header trees of this machine, and what links in them lead
# to, as installing the same packages would: without them its compilers are not the same
same_headers() {
  local dirs language
  for language in c c++; do
    gcc -E -v -x $language /dev/null 2>&1 | sed -n '/search starts here/,/^End of search/s/^ //p'
  done | xargs -n 1 realpath -q | sort -u >"$lab/headers"
  tr "\n" "\0" <"$lab/headers" | xargs -0 -I DIR find DIR -type l -exec readlink -f "{}" ";" >"$lab/leads"
  mapfile -t dirs < <(sort -u "$lab/headers" "$lab/leads" \
    | awk 'NR == 1 || index($0, last "/") != 1 { print; last = $0 }')
  tar -C / -c "${dirs[@]#/}" | lab_exec "$1" sh -c 'cd / && rm -rf "$@" && tar -x' sh "${dirs[@]#/}"
}

# left POD: what is left on a pod that should not be
left() {
  lab_exec "$1" sh -c 'grep fuse.sshfs /proc/self/mountinfo; pgrep -a "sshfs|cpods"; \
    find /home/dev -mindepth 1 -maxdepth 2 -newer /home/dev/.ssh \
      ! -path "/home/dev/.ssh*" ! -path /home/dev/.cache ! -path /home/dev/.cache/cpods' 2>/dev/null \
    | tr '\n' ';' || true
}

# remote NAME VIEW PODS: builds a project on pods after `plain NAME`, and compares everything
remote() {
  local name=$1 view=$2 pods=$3 dir=$place/$1 problem= wanted
  project_configure "$name" "$dir" "$dist/cpods-cc"
  rm -f "$dir/status.json"
  # shellcheck disable=SC2016
  if on_pods "$dir" "$pods" --view "$view" -- bash -c 'ninja -j16 && "$1" status --json >../status.json' \
    build "$dist/cpods" >"$dir/build.log" 2>&1; then
    wanted=$(project_compiles "$dir/build")
    problem=$(counts "$dir" "$wanted")$(differing "$dir")$(idle "$dir" ninja)
  else
    problem="the build fails: $(grep -v '^\[' "$dir/build.log" | tail -n 5 | tr '\n' ' ')"
  fi
  say "$name, $view view: $(grep '^cpods: ' "$dir/build.log" | head -n 1)"
  verdict "$name on $pods, $view view" "$problem"
}

lab_guest build1 "$release"
lab_guest other "$([ "$release" = trixie ] && echo bookworm || echo trixie)"

same_headers build1

# From nothing to the first job: one command.
first=$target/first
rm -rf "$first"
mkdir -p "$first/build"
printf '#include <stdio.h>\nint main(void) { return puts("x"); }\n' >"$first/a.c"
begun=$(date +%s.%N)
problem=
on_pods "$first" build1 -- env CPODS_FALLBACK=0 cpods-cc gcc -g -c ../a.c -o a.o \
  >"$first/log" 2>&1 || problem=$(tail -n 5 "$first/log" | tr '\n' ' ')
say "the first job on a guest with nothing of cpods: $(awk -v b="$begun" -v e="$(date +%s.%N)" \
  'BEGIN { printf "%.1f s", e - b }')"
(cd "$first/build" && gcc -g -c ../a.c -o b.o)
cmp -s "$first/build/a.o" "$first/build/b.o" || problem+=" the object differs"
verdict "the first job on a booted guest" "$problem"
verdict "nothing but the cache folder is left on it" "$(left build1)"

# Another release: refused by name and reason, and the build goes on here.
problem=
on_pods "$first" other -- cpods-cc gcc -g -c ../a.c -o c.o >"$first/log" 2>&1 || problem="it fails"
cmp -s "$first/build/c.o" "$first/build/b.o" || problem+=" the object differs"
grep -q "\`other\` offers another gcc" "$first/log" || problem+=" the summary says: $(tail -n 4 "$first/log")"
verdict "a pod of another Debian release is refused by name and reason" "$problem"

lab_namespace ns1 "$place" "$top"
# A sample; CPODS_SOAK=1 asks for everything.
views=(libgit2:overlay zstd:rewrite leveldb:overlay)
[ -z "${CPODS_SOAK:-}" ] || views=({libgit2,zstd,leveldb}:{overlay,rewrite})
for each in "${views[@]}"; do
  [ "${each%:*}" != "${done_last:-}" ] && plain "${each%:*}"
  done_last=${each%:*}
  remote "${each%:*}" "${each#*:}" build1,ns1,other
done
# A pod whose link is cut in mid-build is given up, and its jobs run elsewhere; a frozen one, too.
lua=$place/lua
plain lua
for fault in cut freeze; do
  lab_guest build2 "$release"
  same_headers build2
  project_configure lua "$lua" "$dist/cpods-cc"
  on_pods "$lua" build2 -- ninja -j8 >"$lua/build.log" 2>&1 & build=$!
  # In the middle: some objects are there, others are not.
  for _ in $(seq 600); do
    [ "$(find "$lua/build" -name '*.o' | wc -l)" -lt 3 ] || break
    sleep 0.05
  done
  begun=$(date +%s)
  "lab_$fault" build2
  problem=
  wait $build || problem="the build fails: $(tail -n 3 "$lua/build.log" | tr '\n' ' ')"
  say "a pod hit by a $fault: the build ended $(($(date +%s) - begun)) s after it"
  grep -q 'pod `build2` is not in use' "$lua/build.log" || problem+=" the summary says nothing of it"
  verdict "$fault of a pod in mid-build" "$problem$(differing "$lua")$(idle "$lua" ninja)"
  lab_down build2
done

for pod in build1 ns1; do verdict "nothing is left on $pod" "$(left "$pod")"; done
totals
