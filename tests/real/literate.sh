#!/usr/bin/env bash
# tests/real/literate.sh: builds the literate project by one ninja on a pod of this machine, then
# again after changes of each kind of source, and looks at which edges run. What ConTeXt's modules
# list is held against strace. Needs scripts/build to have run.
. "$(dirname "$0")/../support/real.sh"
. "$top/scripts/literate.sh"
literate_tools
need strace:strace python3:python3
dir=$place/literate/work
mkdir -p "$place/literate"
# One hub for all builds, and a pod that has joined it before the first.
if [ -z "${CPODS_HUB:-}" ]; then exec "$dist/cpods" run --root "$place/literate" -- "$0"; fi
literate_wait

# build: everything; leaves what was said in DIR.out, and the outputs of the edges that ran in DIR.ran
build() {
  local code=0
  (cd "$dir" && PATH="$dist:$PATH" NINJA_STATUS='@ ' CPODS_LOG=$dir.log ninja -j4) \
    >"$dir.out" 2>&1 </dev/null || code=$?
  # An edge says what it does, and its output.
  sed -nE 's/^@ [A-Z]+ //p' "$dir.out" | sort >"$dir.ran"
  return $code
}

failure() { grep -vE '^(@|mkiv lua|cpods-gen: note)' "$dir.out" | tail -n 8 | tr '\n' ' '; }

# after NAME EDGES: builds after a change; exactly these edges must run, and then nothing is left to do
after() {
  local name=$1 problem=; shift
  if build; then
    if [ $# = 0 ]; then : >"$dir.expected"; else printf '%s\n' "$@" | sort >"$dir.expected"; fi
    problem=$(diff "$dir.expected" "$dir.ran" | grep '^[<>]' | tr '\n' ' ') || true
    problem+=$(left)
  else problem="the build fails: $(failure)"; fi
  verdict "$name" "$problem"
}

left() {
  local said; said=$(cd "$dir" && PATH="$dist:$PATH" ninja -n -d explain 2>&1)
  case $said in *'no work to do'*) ;; *) printf '%s\n' "$said" | head -n 3 | tr '\n' ' ' ;; esac
}

# edit FILE SED: changes a file of the project; it is a defect if that changes nothing
edit() {
  cp "$dir/$1" "$dir.before"
  sed -i -E "$2" "$dir/$1"
  ! cmp -s "$dir/$1" "$dir.before" || die "\`$2\` changes nothing in $1"
}

began=$(date +%s)
literate_fresh "$dir" 2>"$dir.notes"
rm -f "$dir.log"
problem=
build || problem="the build fails: $(failure)"
if [ -z "$problem" ]; then
  read -r proved all < <(literate_proved "$dir")
  [ "$proved" = "$all" ] && [ "$all" -gt 200 ] || problem="$proved of $all goals proved. "
  grep -q '^30 of 30 checks passed$' "$dir/build/test.txt" || problem+="the test program says otherwise. "
  grep -q '^unsat$' "$dir/build/middle.answer" || problem+="no answer. "
  [ "$(wc -l <"$dir/build/language.txt")" = 13 ] || problem+="the language is not tested. "
  file=$(od -An -tx1 -j18 -N1 "$dir/bin/arm64/joylol" | tr -d ' ')
  [ "$file" = b7 ] || problem+="no program for arm64. "
  [ "$(grep -c 'remote: frama-c' "$dir.log")" = 6 ] || problem+="proofs are not made on the pod. "
  [ "$(grep -c 'remote: bin/joylol' "$dir.log")" = 3 ] || problem+="joylol is not used on the pod. "
  [ "$(sort "$dir.ran" | uniq -d)" = "" ] || problem+="something ran twice. "
fi
verdict "literate project, clean build in $(($(date +%s) - began)) s, ${proved:-0} goals proved" "$problem"

after "nothing to do"

edit c-introduction.tex 's/an hour/one hour/'
after "after a change of a text" build.ninja prd-book.pdf

figure=$(cat "$dir/figures/flow.pdf" | wc -c)
printf '%% touched\n' >>"$dir/figures/flow.pdf"
[ "$(wc -c <"$dir/figures/flow.pdf")" -gt "$figure" ] || die "the figure has not changed"
after "after a change of a figure" prd-book.pdf

edit env-joylol.tex 's/width=146mm/width=145mm/'
after "after a change of the environment" build.ninja prd-book.pdf prd-report.pdf

edit t-joylol.mkiv 's/color=darkred/color=darkgreen/'
after "after a change of the module" build.ninja prd-book.pdf prd-report.pdf

programs=(bin/test bin/joylol bin/arm64/joylol build/libjoy.a)
results=(build/table.tex build/hello.txt build/language.txt build/test.txt prd-report.pdf)
edit c-stack.tex 's/(void stack_clear.*) \{ s->size = 0; \}/\1 { s->size = 0; return; }/'
after "after a change of a chunk of code" build.ninja prd-book.pdf build/stack.o build/arm64/stack.o \
  build/stack.wp build/stack.eva "${programs[@]}" "${results[@]}"

# The contract of the sum: what is behind it says the same in other words.
edit c-arithmetic.tex '0,/assumes is_int\(a \+ b\)/s//assumes is_int(b + a)/'
after "after a change of a contract" build.ninja prd-book.pdf build/checked.o build/arm64/checked.o \
  build/joy.o build/arm64/joy.o build/test.o build/checked.wp build/stack.eva \
  "${programs[@]}" "${results[@]}"

edit c-search.tex 's/; Two bounds of a part/; The two bounds of a part/'
after "after a change of a problem" build.ninja prd-book.pdf build/middle.answer build/test.txt \
  prd-report.pdf

edit c-introduction.tex 's/^\[1 2 3 4 5\]/[1 2 3 4 5 6]/'
after "after a change of a script" build.ninja prd-book.pdf build/hello.txt prd-report.pdf
problem=
[ "$(cat "$dir/build/hello.txt")" = '[1 4 9 16 25 36]' ] || problem="it says $(cat "$dir/build/hello.txt")"
verdict "what the script says now" "$problem"

edit c-arithmetic.tex 's/-wp-timeout 60/-wp-timeout 61/'
after "after a change of a step" build.ninja prd-book.pdf build/checked.wp prd-report.pdf

edit c-results.tex 's/^And the first/Also, the first/;s/And the first program/Also the first program/'
after "after a change of the report" build.ninja prd-report.pdf

# A contract that does not hold: the proof fails, and the rest is built all the same.
edit c-arithmetic.tex '0,/\*result == a \+ b/s//*result == a + b + 1/'
problem=
if build; then problem="the build succeeds"; fi
grep -q '^FAILED: build/checked.wp' "$dir.out" || problem+="no failed proof: $(failure)"
[ ! -e "$dir/build/checked.wp" ] || problem+="an old report is left"
verdict "a contract that does not hold" "$problem"
edit c-arithmetic.tex 's/\*result == a \+ b \+ 1/*result == a + b/'
build || true

# reads JOB: what strace sees that a run reads below the folder, and what the module lists
reads() {
  (cd "$dir" && TEXMFCACHE="/var/lib/texmf;$place/texmf-cache" strace -f -s 4096 -e trace=open,openat -o "$dir.trace" \
    context --batchmode --path=.cpods/context --usemodule=cpods-code "$1.tex" >"$dir.out" 2>&1) \
    || { echo "context fails"; return; }
  python3 - "$dir" "$1" <<'PYTHON'
import os, re, sys
folder, job = sys.argv[1:]
own = {f"{job}.{suffix}" for suffix in ("pdf", "log", "tuc", "tua", "dep", "written", "steps")}
# What the document writes is read to be compared, and is none of its sources.
steps = os.path.join(folder, f"{job}.steps")
code = set(re.findall(r'"file": "([^"]*)", "kind"', open(steps).read()))
seen = set()
for line in open(f"{folder}.trace", errors="replace"):
    found = re.search(r'open(?:at)?\([^"]*"([^"]*)", ([A-Z_|]*)', line)
    if not found or " = -1 " in line or re.search("WRONLY|RDWR|DIRECTORY", found[2]):
        continue
    path = os.path.normpath(os.path.join(folder, found[1]))
    name = os.path.relpath(path, folder)
    if name.startswith(("..", ".cpods")) or not os.path.isfile(path) or name.endswith(".part"):
        continue
    seen.add(name)
seen -= own | code
listed = open(os.path.join(folder, f"{job}.dep")).read().replace("\\\n", " ").split()[1:]
more, less = sorted(seen - set(listed)), sorted(set(listed) - seen)
if more or less or len(listed) < 5:
    print("seen only:", *more, "listed only:", *less)
PYTHON
}

for job in prd-book prd-report; do
  verdict "what $job reads is what strace sees" "$(reads $job)"
done
totals
