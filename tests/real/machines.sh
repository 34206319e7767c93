#!/usr/bin/env bash
# tests/real/machines.sh: an x86_64 and an arm64 worker in one farm, the latter emulated. Each offers
# what it has; jobs go wherever their tool is the same. The compiler that the arm64 worker knows as
# `gcc` is this machine's cross compiler, and equal to it by all that counts.
. "$(dirname "$0")/../support/real.sh"
[ "$(uname -m)" = x86_64 ] || { say "left out: this machine is $(uname -m)"; totals; exit; }
[ -x "$dist/cpods-workd-aarch64" ] || { say "left out: no arm64 worker was built"; totals; exit; }
need qemu-aarch64-static:qemu-user-static aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu z3:z3
emulator=/proc/sys/fs/binfmt_misc/qemu-aarch64
[ -e /proc/sys/fs/binfmt_misc/register ] \
  || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e $emulator ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register

dir=$target/machines
rm -rf "$dir"
mkdir -p "$dir"/{tools,build,told,config/cpods}
printf '[tools.z3]\nidentical = false\n' >"$dir/config/cpods/hub.toml"
export XDG_CONFIG_HOME=$dir/config
for tool in sh env z3; do ln -s "$(command -v $tool)" "$dir/tools/$tool"; done
ln -s "$(command -v aarch64-linux-gnu-gcc)" "$dir/tools/gcc"
printf 'int add(int a, int b) { return a + b; }\n' >"$dir/a.c"
printf '(declare-const p Bool)(assert (and p (not p)))(check-sat)\n' >"$dir/a.smt2"

# worker NAME PROGRAM PATH ARG...: with a home, and slots, of its own
workers=()
worker() {
  mkdir -p "$dir/$1/run"
  env -i HOME="$dir/$1" PATH="$3" XDG_RUNTIME_DIR="$dir/$1/run" \
    "$2" --socket "$dir/$1/sock" --name "$1" --slots 1 "${@:4}" >"$dir/$1/log" 2>&1 &
  workers+=($!)
}
trap 'kill "${workers[@]}" 2>/dev/null || true' EXIT
# An emulated worker cannot make the sandbox. Without one there is no overlay view: so no
# debugging information, no paths to differ in, and z3, whose messages name files, by permission.
worker arm "$dist/cpods-workd-aarch64" "$dir/tools" --unsandboxed
worker box "$dist/cpods-workd" /usr/bin:/bin --unsandboxed
for pod in arm box; do
  for _ in $(seq 600); do [ ! -S "$dir/$pod/sock" ] || break; sleep 0.1; done
done

# The build: all of one tool's jobs, then what the hub says.
cat >"$dir/build.sh" <<'BUILD'
cpods=$1
for _ in $(seq 600); do
  [ "$("$cpods" status --json | grep -c '"up": true')" != 2 ] || break
  sleep 0.1
done
"$cpods" status --json >../told/offers
for n in $(seq 4); do echo "gcc -O2 -c ../a.c -o x$n.o"; done >jobs-gcc
for n in $(seq 8); do echo "aarch64-linux-gnu-gcc -O2 -c ../a.c -o a$n.o"; done >jobs-cross
for n in $(seq 8); do echo "z3 ../a.smt2"; done >jobs-z3
export CPODS_FALLBACK=0
for tool in gcc cross z3; do
  xargs -P 8 -L 1 cpods-cc <jobs-$tool >said-$tool || exit 1
  "$cpods" status --json >../told/$tool
done
BUILD
problem=
(cd "$dir/build" && "$dist/cpods" run --root "$dir" --pod arm=unix:"$dir/arm/sock" \
  --pod box=unix:"$dir/box/sock" -- bash "$dir/build.sh" "$dist/cpods") </dev/null >"$dir/log" 2>&1 \
  || problem="the jobs fail: $(tail -n 4 "$dir/log" "$dir"/*/log | tr '\n' ' ')"
verdict "jobs on an x86_64 and an emulated arm64 worker" "$problem"
[ -n "$problem" ] || problem=$(python3 - "$dir/told" <<'PYTHON'
import json, sys
def pods(name): return {pod["name"]: pod for pod in json.load(open(f"{sys.argv[1]}/{name}"))["pods"]}
offers = pods("offers")
for name, machine in (("arm", "aarch64"), ("box", "x86_64")):
    if offers[name]["machine"] != machine: print(f'{name} is {offers[name]["machine"]};')
tools = {name: {tool["program"]: tool["identity"] for tool in pod["tools"]} for name, pod in offers.items()}
arm, box = tools["arm"], tools["box"]
for name, program in (("arm", "gcc"), ("arm", "z3"), ("box", "gcc"), ("box", "z3"), ("box", "aarch64-linux-gnu-gcc")):
    if program not in tools[name]: print(f"{name} offers no {program}: {sorted(tools[name])};")
if arm.get("gcc") == box.get("gcc"): print("their gcc is the same;")
if arm.get("gcc") != box.get("aarch64-linux-gnu-gcc"): print("the cross compilers differ;")
if arm.get("z3") != box.get("z3"): print("z3 differs;")
before = offers
for name, wanted in (("gcc", 4), ("cross", 8), ("z3", 8)):
    after = pods(name)
    arm, box = (after[pod]["finished"] - before[pod]["finished"] for pod in ("arm", "box"))
    if arm + box != wanted: print(f"{arm} + {box} of {wanted} jobs of {name};")
    if (arm != 0) if name == "gcc" else (0 in (arm, box)): print(f"{arm} jobs of {name} on arm, {box} on box;")
    before = after
PYTHON
)
verdict "each offers its own, and jobs go where their tool is the same" "$problem"
problem=
cd "$dir/build"
gcc -O2 -c ../a.c -o x.o
aarch64-linux-gnu-gcc -O2 -c ../a.c -o a.o
for n in $(seq 4); do cmp -s x.o "x$n.o" || problem+="x$n.o differs "; done
for n in $(seq 8); do cmp -s a.o "a$n.o" || problem+="a$n.o differs "; done
[ "$(sort said-z3 | uniq -c | awk '{ print $1, $2 }')" = "8 unsat" ] || problem+="z3 says $(sort -u said-z3)"
verdict "what they make is the same" "$problem"
totals
