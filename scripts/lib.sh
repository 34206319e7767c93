# Helpers for the scripts beside this file; to be sourced.
# Set-up is done where something is missing, and says nothing where nothing is.
# shellcheck shell=bash
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}
dist=${CPODS_DIST:-$target/dist}
if [ -d "${CARGO_HOME:-${HOME:-/}/.cargo}/bin" ]; then
  PATH="$PATH:${CARGO_HOME:-${HOME:-/}/.cargo}/bin"
fi

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# quietly CMD...: its output is shown only if it fails
quietly() {
  local log; log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; return 0; fi
  tail -n 40 "$log" >&2; rm -f "$log"
  return 1
}

# stubbornly CMD...: a download, tried three times
stubbornly() { quietly "$@" || { sleep 3; quietly "$@"; } || { sleep 10; quietly "$@"; }; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else die "needs root or sudo for: $*"; fi
}

install_packages() {
  has apt-get || die "please install: $*"
  say "installing $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
  quietly as_root "${apt[@]}" install --no-install-recommends "$@" && return
  quietly as_root "${apt[@]}" update || die "apt-get update failed"
  quietly as_root "${apt[@]}" install --no-install-recommends "$@" || die "cannot install $*"
}

# need COMMAND:PACKAGE...: installs the Debian packages of the commands that are missing
need() {
  local pair missing=()
  for pair; do has "${pair%%:*}" || missing+=("${pair#*:}"); done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# at_least VERSION WANTED
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# candidate PACKAGE: the version that apt would install; empty if there is none
candidate() {
  apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'
}

# cargo_version: nothing if there is no cargo
cargo_version() { (cd "$top" && cargo --version 2>/dev/null || true) | cut -d ' ' -f 2; }

# need_rust: a toolchain that can build this package, with rustfmt and clippy
need_rust() {
  local wanted version
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$top/Cargo.toml")
  # Rust links by the C compiler, with the C library's own files.
  if has dpkg-query && ! dpkg-query -s gcc libc6-dev >/dev/null 2>&1; then
    install_packages gcc libc6-dev
  fi
  need gcc:gcc
  version=$(cargo_version)
  if [ -z "$version" ] || ! at_least "$version" "$wanted"; then
    install_rust "$wanted"
    version=$(cargo_version)
    [ -n "$version" ] && at_least "$version" "$wanted" \
      || die "needs Rust $wanted or newer, has ${version:-none}: please install it with rustup"
  fi
}

install_rust() {
  local package
  if ! has rustup && has apt-cache; then
    # Which versions there are is worth an up-to-date answer.
    quietly as_root apt-get -q update || say "apt-get update failed, going on with what is known"
    # Debian carries a newer Rust beside its own for programs that need it.
    for package in cargo cargo-web; do
      at_least "$(candidate $package)" "$1" || continue
      if [ $package = cargo ]; then install_packages cargo rustfmt rust-clippy
      else install_packages cargo-web rustfmt-web rust-web-clippy; fi
      return
    done
    [ -z "$(candidate rustup)" ] || install_packages rustup
  fi
  if has rustup; then
    say "installing the stable Rust toolchain"
    stubbornly rustup toolchain install stable --profile minimal -c rustfmt -c clippy \
      || die "rustup cannot install the stable toolchain"
    export RUSTUP_TOOLCHAIN=stable
  fi
}

# musl_target MACHINE: prints the target for static programs; nothing if this toolchain has none
musl_target() {
  local triple=$1-unknown-linux-musl sysroot
  sysroot=$(cd "$top" && rustc --print sysroot)
  if [ ! -d "$sysroot/lib/rustlib/$triple" ]; then
    has rustup && (cd "$top" && quietly rustup target add "$triple" 2>/dev/null) || return 0
  fi
  echo "$triple"
}

# need_venv: a Python environment of this folder's own
need_venv() {
  [ ! -x "$target/venv/bin/pip" ] || return 0
  need python3:python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  quietly python3 -m venv "$target/venv" || die "cannot make a Python environment"
}

# need_ninja_1_13: sets ninja_1_13 to a ninja of that version
need_ninja_1_13() {
  local venv=$target/venv
  if ! "$venv/bin/ninja" --version 2>/dev/null | grep -q '^1\.13\.'; then
    need_venv
    say "fetching ninja 1.13"
    stubbornly "$venv/bin/pip" install -q 'ninja==1.13.*' || die "cannot install ninja 1.13"
  fi
  ninja_1_13=$venv/bin/ninja
}

# need_meson: sets meson to one; to nothing, with a line that says so, where none can be had
need_meson() {
  meson=$target/venv/bin/meson
  "$meson" --version >/dev/null 2>&1 && return
  need_venv
  say "fetching meson"
  stubbornly "$target/venv/bin/pip" install -q meson && return
  meson=$(command -v meson || true)
  [ -n "$meson" ] || say "there is no meson: its test is skipped"
}
