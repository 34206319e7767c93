# Real projects, built on the farm; sourced by test.sh. Each has, in work/NAME on the hub, what a build
# without cpods gave; `project` is the one that is built, in work/NAME/build, which is made anew each
# time at the same place.
# shellcheck shell=bash disable=SC2154
project=lua

# What is compared, a line for each result: of the literate project all that is not a PDF, which holds
# its date; and a report of proofs without how long each took, in any order.
# shellcheck disable=SC2016
sums='sums() { local file
  if [ -e prd-book.tex ]; then find bin build -type f; else find . -name "*.o"; fi | sort | while read -r file; do
    case $file in
      *.d) ;;
      *.wp) echo "$(sed "s/ (.*//" $file | sort | sha256sum) $file" ;;
      *) sha256sum $file ;;
    esac; done; }'

# ready: the project's sources on the hub, and digests of a plain build there, once
ready() {
  local known=ready_of_$project
  [ -z "${!known:-}" ] || return 0
  hub_has ninja:ninja-build
  # Of an earlier call on the same guests.
  if ! hub "test -e $project/plain.sums" </dev/null; then
    hub "rm -rf $project work/$project; mkdir -p $project work/$project" </dev/null
    "sources_$project"
    "fresh_$project" ''
    hub "cd work/$project/build && CPODS_DISABLE=1 ninja" >"$log" 2>&1 </dev/null \
      || die "the plain build of $project fails: $(tail -n 3 "$log")"
    hub "$sums; cd work/$project/build && sums >~/$project/plain.sums" </dev/null
  fi
  printf -v "$known" %s "$(hub "wc -l <$project/plain.sums" </dev/null)"
}

# hub_has COMMAND:PACKAGE...: on the hub, for builds
hub_has() {
  local pair
  for pair; do
    hub "command -v ${pair%%:*} >/dev/null || { sudo apt-get -q update
      sudo apt-get -qy install --no-install-recommends ${pair#*:}; }" >"$log" 2>&1 </dev/null \
      || die "no ${pair%%:*} for the hub: $(tail -n 3 "$log")"
  done
}

# sources_NAME, fresh_NAME LAUNCHER: in work/NAME on the hub; a new build folder there

sources_lua() {
  project_fetch lua "$place/lua"
  tar -C "$place/lua" -c src | hub 'tar -C work/lua -x'
}
fresh_lua() {
  lua_ninja "$1" "$place/lua/src" | hub 'rm -rf work/lua/build; mkdir work/lua/build; cat >work/lua/build/build.ninja'
}

# (Without HTTPS: its headers would be on the hub alone.)
sources_libgit2() {
  project_fetch libgit2 "$place/libgit2"
  hub_has cmake:cmake
  tar -C "$place/libgit2" -c src | hub 'tar -C work/libgit2 -x'
}
fresh_libgit2() {
  local kept=${1:-plain}
  # Configured once; a copy is as new.
  hub "cd work/libgit2 && rm -rf build && if [ -d ~/libgit2/$kept ]; then cp -a ~/libgit2/$kept build
    else cmake -G Ninja -S src -B build -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTS=OFF -DUSE_SSH=OFF \
      -DUSE_HTTPS=OFF -DCMAKE_C_COMPILER_LAUNCHER=$1 && cp -a build ~/libgit2/$kept; fi" \
    >"$log" 2>&1 </dev/null || die "cannot configure libgit2: $(tail -n 3 "$log")"
}

sources_literate() {
  tar -C "$top/testdata" -c literate | hub 'tar -C literate --strip-components=1 -x && mv literate fresh && mkdir literate && mv fresh literate/'
  hub 'mkdir -p work/literate && cp -a literate/fresh work/literate/build && cd work/literate/build &&
    CPODS_DISABLE=1 cpods-gen context --without verifast prd-book.tex && rm -rf ~/literate/fresh && cp -a . ~/literate/fresh' \
    >"$log" 2>&1 </dev/null || die "no graph of the literate project: $(tail -n 3 "$log")"
}
fresh_literate() { hub 'rm -rf work/literate/build && cp -a literate/fresh work/literate/build' </dev/null; }

# (Jobs that only sleep, for what takes longer than a real project: they are on every pod at any moment.)
sleeping=160
sources_sleepers() {
  hub "mkdir -p work/sleepers/src && for i in \$(seq $sleeping); do echo \"this is \$i\" >work/sleepers/src/\$i; done" </dev/null
}
fresh_sleepers() {
  local ms=1
  [ -z "$1" ] || ms=${sleep_ms:-4000}
  hub "rm -rf work/sleepers/build; mkdir work/sleepers/build; cd work/sleepers/build
    { echo 'rule s'; echo '  command = $1 sleeper -m $ms -o \$out \$in'
      for i in \$(seq $sleeping); do echo \"build \$i.o: s ../src/\$i\"; done; } >build.ninja" </dev/null
}
# slept HOST FROM TO: how many of the sleepers in the last build began there between these times
slept() {
  awk -v host="$1" -v from="$2" -v to="$3" '
    $1 == "ran" && $2 == host && $3 >= from && $3 < to { count++ } END { print count + 0 }' "$log"
}
# slept_nowhere FROM TO POD...: which of these had none of them
slept_nowhere() {
  local pod
  for pod in "${@:3}"; do
    [ "$(slept "$pod" "$1" "$2")" != 0 ] || echo "$pod got no job"
  done | paste -sd ' '
}

# build: a build on the farm begins; the fault may come once it returns. It goes on as `building`
build() {
  local all=ready_of_$project some at
  ready
  for _ in 1 2 3 4 5; do
    "fresh_$project" cpods-cc
    hub "rm -f $project/ran"
    farm_ninja
    # Some results are there, others are not; never the same.
    some=$((RANDOM % (${!all} * 2 / 3) + 2))
    [ $project != sleepers ] || some=$((RANDOM % 8 + 4))
    at=$(results_at)
    for _ in $(seq 4000); do
      [ "$(count_results "$at")" -lt $some ] || break
      kill -0 $building 2>/dev/null || break
      sleep 0.05
    done
    ! kill -0 $building 2>/dev/null || return 0
    # It was too fast for us, or has failed: that is seen by who waits for it.
    [ "$(cat "$log.code")" = 0 ] || return 0
  done
  say "$project: no moment in mid-build was met"
}
# results_at: the build's folder, in sight of the hub's own mounts
results_at() { echo "/proc/$(lab__leader hub)/root/home/dev/work/$project/build"; }
count_results() {
  # (What is not there yet has no results.)
  if [ -e "$1/prd-book.tex" ]; then find "$1/bin" "$1/build" -type f 2>/dev/null || true
  else find "$1" -name '*.o' 2>/dev/null || true; fi | wc -l
}
# still_building: prints what is wrong if the build has ended already
still_building() { kill -0 $building 2>/dev/null || echo "the build had ended before; "; }

# farm_ninja: Ninja on the hub, in the background, as `building`; its exit code will be in $log.code
farm_ninja() {
  rm -f "$log.code"
  { hub "cd work/$project/build && CPODS_LOG=\$HOME/$project/ran exec timeout 400 ninja -j24" >"$log" 2>&1 </dev/null \
    && echo 0 || echo $?; } >"$log.code" &
  building=$!
}

# built: what is wrong with the build that ended
built() {
  tail --pid=$building -f /dev/null
  [ "$(cat "$log.code")" = 0 ] || { cp "$log" "$log.failed"; echo "the build fails ($(cat "$log.code")): $(grep -A 4 FAILED "$log" | head -n 6 | tr '\n' ' ')$(tail -n 2 "$log" | tr '\n' ' ')"; return; }
  hub "$sums; cd work/$project/build && { sums | diff ~/$project/plain.sums - | grep '^[<>]' | head -n 4
    ninja -n -d explain 2>&1 | grep -q 'no work to do' || ninja -n -d explain 2>&1 | head -n 3; }" </dev/null | tr '\n' ' '
}

# ran: what ran where in the build that ended
ran() { hub "sed -E 's/^[^:]*: //; s/: Exited\\(0\\)\$//; s/^(remote|local): .*/\\1/' $project/ran | sort | uniq -c" </dev/null | tr -s ' \n' ' '; }

part_builds() {
  local began problem
  for project in $farm_projects; do
    back 60
    ready
    began=$(date +%s.%N)
    "fresh_$project" cpods-cc
    hub "rm -f $project/ran"
    farm_ninja
    problem=$(built)
    say "$project by ninja -j24: $(seconds "$began") s;$(ran)"
    verdict "$project on the farm" "$problem"
  done
  hub 'cpods status' </dev/null | grep -E '^(jobs|local|pod)' | sed 's/^/        /'
}
