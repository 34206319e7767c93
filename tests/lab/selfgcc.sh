#!/usr/bin/env bash
# selfgcc.sh PREFIX: this machine's C compiler with all that it loads, in a folder that runs on any
# machine of this kind, as those are that a company hands out
set -euo pipefail
prefix=$1
triple=$(gcc -dumpmachine) version=$(gcc -dumpversion)
own=$prefix/lib/own
mkdir -p "$prefix/bin" "$prefix/lib/gcc/$triple" "$prefix/$triple/bin" "$own"
cp -L "$(command -v gcc)" "$prefix/bin/gcc"
cp -a "/usr/lib/gcc/$triple/$version" "$prefix/lib/gcc/$triple/"
for tool in as ld; do cp -L "$(command -v $tool)" "$prefix/$triple/bin/$tool"; done
for program in "$prefix/bin/gcc" "$prefix/$triple/bin/"* "$prefix/lib/gcc/$triple/$version/"{cc1,collect2,lto1,lto-wrapper}; do
  ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | while read -r library; do cp -nL "$library" "$own/"; done
  loader=$(patchelf --print-interpreter "$program")
  cp -nL "$loader" "$own/"
  patchelf --set-interpreter "$own/${loader##*/}" --force-rpath --set-rpath "$own" "$program"
done
for library in "$own"/*; do
  case $library in */ld-linux* | */libc.so*) ;; *) patchelf --force-rpath --set-rpath "$own" "$library" ;; esac
done
