# Real projects to build, out of the sources that Cargo packages carry; to be sourced after lib.sh.
# shellcheck shell=bash
projects=(libgit2 zstd lua leveldb)

# project_crate NAME: the package, its version, and the folder in it
project_crate() {
  case $1 in
    libgit2) echo libgit2-sys 0.18.8+1.9.7 libgit2 ;;
    zstd) echo zstd-sys 2.1.2+zstd.1.5.7 zstd ;;
    lua) echo lua-src 551.1.0 lua-5.4.9 ;;
    leveldb) echo leveldb-sys 2.0.9 deps/leveldb-1.22 ;;
    *) die "no project \`$1\`; there are: ${projects[*]}" ;;
  esac
}

# project_fetch NAME DIR: its sources in DIR/src
project_fetch() {
  local crate version folder made from
  read -r crate version folder < <(project_crate "$1")
  [ -n "$crate" ] || return 1
  if [ "$(cat "$2/src.version" 2>/dev/null)" = "$crate $version" ]; then return 0; fi
  need_rust
  made=$target/projects/crates/$1
  mkdir -p "$made/src" "$2"
  : >"$made/src/lib.rs"
  printf '%s\n' '[package]' "name = \"fetch-$1\"" 'version = "0.0.0"' 'edition = "2021"' \
    '[workspace]' '[dependencies]' "$crate = \"=${version%%+*}\"" >"$made/Cargo.toml"
  (cd "$made" && { cargo fetch -q --offline 2>/dev/null || stubbornly cargo fetch; }) \
    || die "cannot fetch $crate"
  from=$(cd "$made" && cargo metadata -q --offline --format-version 1 \
    | grep -o "\"manifest_path\":\"[^\"]*/$crate-$version/Cargo.toml\"" \
    | head -n 1 | cut -d '"' -f 4) || true
  [ -n "$from" ] || die "no package $crate $version"
  rm -rf "$2/src"
  cp -r "$(dirname "$from")/$folder" "$2/src"
  echo "$crate $version" >"$2/src.version"
}

# project_configure NAME DIR [LAUNCHER]: a Ninja build of DIR/src in DIR/build, anew, with
# debugging information, and with LAUNCHER in front of every compiler
project_configure() {
  local src=$2/src build=$2/build launcher=${3:-} options=(-DCMAKE_BUILD_TYPE=Debug)
  rm -rf "$build"
  mkdir -p "$build"
  case $1 in
    lua) lua_ninja "$launcher" "$src" >"$build/build.ninja"; return ;;
    libgit2) options+=(-DBUILD_TESTS=OFF -DUSE_SSH=OFF) ;;
    zstd)
      src=$src/build/cmake
      options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DZSTD_BUILD_PROGRAMS=OFF
        -DZSTD_BUILD_TESTS=OFF -DZSTD_BUILD_SHARED=OFF) ;;
    leveldb) options+=(-DLEVELDB_BUILD_BENCHMARKS=OFF) ;;
  esac
  if [ -n "$launcher" ]; then
    # CMake 3.25 knows no launcher for assembler files; a masquerade does as well.
    mkdir -p "$2/masquerade"
    ln -sf "$(command -v "$launcher")" "$2/masquerade/gcc"
    options+=("-DCMAKE_ASM_COMPILER=$2/masquerade/gcc")
  fi
  need cmake:cmake ninja:ninja-build gcc:gcc g++:g++
  quietly cmake -G Ninja -S "$src" -B "$build" "${options[@]}" \
    "-DCMAKE_C_COMPILER_LAUNCHER=$launcher" "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" \
    || die "cannot configure $1"
}

# lua_ninja LAUNCHER SRC: Lua has no build of its own for Ninja. Depfiles are kept as they are, so that
# `ninja -n` reads them again.
lua_ninja() {
  local source
  cat <<'NINJA'
rule cc
  command = $launcher gcc -std=gnu99 -O2 -g -Wall -Wextra -DLUA_USE_LINUX -I../src -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  description = CC $out
rule ar
  command = rm -f $out && ar rcs $out $in
  description = AR $out
NINJA
  printf 'launcher = %s\n' "$1"
  local objects=()
  for source in "$2"/*.c; do
    source=${source##*/}
    printf 'build %s.o: cc ../src/%s\n' "${source%.c}" "$source"
    objects+=("${source%.c}.o")
  done
  printf 'build liblua.a: ar %s\n' "${objects[*]}"
}

# project_compiles BUILD: how many compile commands it has
project_compiles() { (cd "$1" && ninja -t commands) | grep -c -- ' -c '; }

# project_objects BUILD: digests of all objects
project_objects() { (cd "$1" && find . -name '*.o' -print0 | sort -z | xargs -0 sha256sum); }
