# Several hubs at one pod; sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# second CMD: as another person on the hub's machine, with a hub of their own: `dev` on box1 lets
# them in, too
second() {
  lab_exec hub runuser -u other -- env HOME=/home/other XDG_RUNTIME_DIR=/home/other/run \
    PATH=/home/dev/.local/bin:/usr/bin:/bin sh -c "cd && $1"
}

# napping: a build of 80 jobs that take a second each, and use no processor. (Of no name that a rule has:
# the farm's own person has one for `sleeper`, by which such a job would run on the hub.)
napping='mkdir -p work/both && cd work/both && rm -f * && printf "%s\n" "#include <unistd.h>" \
  "int main(void) { return usleep(1000000); }" >s.c && gcc s.c -o napper &&
  { echo "rule s"; echo "  command = cpods-cc ./napper && touch \$out"
    for i in $(seq 80); do echo "build o$i: s"; done; } >build.ninja'

part_hubs() {
  local most=0 now had=() first second said problem=
  # What both had done when both were at work, and when one of them was through.
  local before=() after=(0 0)
  back 60
  hub_has ninja:ninja-build
  second 'mkdir -p -m 700 run .ssh && { [ -e .ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519; }'
  second 'cat .ssh/id_ed25519.pub' | lab_ssh box1 'cat >>.ssh/authorized_keys'
  echo "box1 $(cut -d ' ' -f 1,2 "$lab/keys/host-box1.pub")" \
    | lab_exec hub runuser -u other -- sh -c 'cat >/home/other/.ssh/known_hosts'
  # (Both have a copy of the files: jobs over sshfs take longer. The farm's own `box1` has that.)
  hub "$napping" </dev/null
  second "$napping" </dev/null
  hub 'cd work/both && CPODS_FALLBACK=0 exec cpods run --root ~/work --pod both=ssh:box1 -- ninja -k0 -j48' >"$log.one" 2>&1 </dev/null & first=$!
  second 'cd work/both && CPODS_FALLBACK=0 exec cpods run --root ~/work --pod box1=ssh:dev@box1 -- ninja -k0 -j4' >"$log.two" 2>&1 </dev/null & second=$!
  while kill -0 $first 2>/dev/null && kill -0 $second 2>/dev/null; do
    now=$(lab_exec box1 pgrep -cx napper || true)
    [ "$now" -le "$most" ] || most=$now
    after=("$(find "$lab/home-hub/work/both" -name 'o*' | wc -l)" "$(second 'ls work/both | grep -c ^o' || true)")
    [ ${#before[@]} -gt 0 ] || [ "${after[0]}" = 0 ] || [ "${after[1]}" = 0 ] || before=("${after[@]}")
    sleep 0.1
  done
  wait $first || problem+="one hub: $(tail -n 3 "$log.one" | tr '\n' ' ')"
  wait $second || problem+="the other: $(tail -n 3 "$log.two" | tr '\n' ' ')"
  for said in "$log.one" "$log.two"; do
    grep -q '^cpods: 80 jobs on pods' "$said" || problem+="not all on the pod: $(grep '^cpods:' "$said" | tr '\n' ' '); "
  done
  [ "$most" -gt 0 ] && [ "$most" -le 4 ] || problem+="$most jobs at once on 4 slots; "
  had=($((after[0] - ${before[0]:-0})) $((after[1] - ${before[1]:-0})))
  say "two hubs: at most $most jobs at once; while both were at work they had ${had[0]} and ${had[1]} done"
  # Two of five at least, and enough of them to tell.
  if [ $((had[0] + had[1])) -lt 24 ] || [ $((5 * (had[0] < had[1] ? had[0] : had[1]))) -lt $((2 * (had[0] + had[1]))) ]; then
    problem+="unfair: ${had[0]} and ${had[1]}"
  fi
  verdict "two hubs share a pod's slots, each fairly" "$problem"
  # What one hub's jobs may see of the other's.
  hub 'echo private >work/both/private'
  # (Names on the command line would keep it here: they are outside the roots.)
  second 'cd work/both && cat >l.c && gcc l.c -o looker' <<'C'
#include <stdio.h>
int main(int count, char **words) {
  static const char *const names[] = {"l.c", "/home/dev/work", "/home/dev/work/both/private", "/home/dev/.cache/cpods"};
  for (int i = 0; i < 4; i++) if (fopen(names[i], "r")) puts(names[i]);
  return 0;
}
C
  said=$(second 'cd work/both && cpods run --root ~/work --pod box1=ssh:dev@box1 -- env CPODS_FALLBACK=0 CPODS_LOG=log cpods-cc ./looker && grep -c remote log' 2>/dev/null) || said="it fails: $said"
  [ "$said" = $'l.c\n1' ] && said=
  verdict "a job of one hub sees nothing of the other's" "$said"
}
