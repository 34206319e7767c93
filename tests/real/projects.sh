#!/usr/bin/env bash
# tests/real/projects.sh [PROJECT...]: builds real projects on a pod and compares every object with
# a plain build's, with debugging information, byte for byte. Needs scripts/build to have run.
. "$(dirname "$0")/../support/real.sh"
need cmake:cmake ninja:ninja-build gcc:gcc g++:g++ python3:python3
need_ninja_1_13
[ $# -gt 0 ] || set -- "${projects[@]}"
for name; do
  plain "$name"
  ninja=ninja
  # Both versions of Ninja are at work; every project with both would take twice the time.
  [ "$name" != lua ] || ninja=$ninja_1_13
  through "$name" overlay "$ninja"
  # The largest is as good a test of the other view as the smaller ones, and takes longest.
  [ "$name" = leveldb ] && [ -z "${CPODS_SOAK:-}" ] || through "$name" rewrite ninja
done
totals
