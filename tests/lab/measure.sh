# Figures of a farm: shown, not judged, since they are the machine's as much as the farm's; sourced by
# test.sh.
# shellcheck shell=bash disable=SC2154

# asleep JOBS MS: how long jobs that use no processor take on all slots that have the very same
# libraries (two boxes of four, and the hub's two), and the best that is possible
asleep() {
  # shellcheck disable=SC2016
  hub "jobs=$1 ms=$2;"' mkdir -p work/sleep && cd work/sleep && rm -f * && printf "%s\n" "#include <unistd.h>" \
    "#include <stdlib.h>" "int main(int n, char **a) { return usleep(atoi(a[1]) * 1000); }" >s.c && gcc s.c -o s
    { echo "rule s"; echo "  command = cpods-cc ./s $ms && touch \$out"
      for i in $(seq $jobs); do echo "build o$i: s"; done; } >build.ninja
    cpods-cc ./s 1; date +%s.%N >../begun; CPODS_FALLBACK=0 ninja -j24 >log || tail -n 3 log
    date +%s.%N | paste ../begun -' </dev/null | awk -v jobs="$1" -v ms="$2" '
    { best = jobs * ms / 10 / 1000
      printf "%d jobs of %d ms on 10 slots: %.2f s, the best possible is %.2f s (%.0f%% of slots busy)\n", jobs, ms, $2 - $1, best, best * 100 / ($2 - $1) }'
}

part_measure() {
  hub_has ninja:ninja-build
  back 60
  say "$(asleep 50 2000)"
  say "$(asleep 400 250)"
  say "$(asleep 1000 10)"
}
