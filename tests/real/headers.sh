#!/usr/bin/env bash
# tests/real/headers.sh: pods that have the compiler and no headers, or are of another release: booted
# guests whose files are a mirror. Builds a real project on them.
. "$(dirname "$0")/../support/real.sh"
. "$top/tests/support/lab.sh"
export CPODS_LAB=${CPODS_LAB:-$target/lab}
if ! why=$(lab_can); then
  say "no lab on this machine: $why"
  verdict "a lab where there can be none is left out" ""
  totals
  exit
fi
lab_trap
lab_setup
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
lab_base "$release"
export XDG_CONFIG_HOME=$target/headers
mkdir -p "$XDG_CONFIG_HOME/cpods"

# configure NAME [LINE...]: the one pod
configure() {
  local name=$1; shift
  {
    printf 'ssh = "ssh -F %s"\n' "$lab/ssh_config"
    printf '[[pods]]\nname = "%s"\nfiles = "mirror"\nview = "overlay"\n' "$name"
    printf '%s\n' "$@"
  } >"$XDG_CONFIG_HOME/cpods/hub.toml"
}

# remote NAME POD: builds a project on a pod after `plain NAME`, and compares everything
remote() {
  local name=$1 pod=$2 dir=$place/$1 problem=
  project_configure "$name" "$dir" "$dist/cpods-cc"
  rm -f "$dir/status.json"
  # shellcheck disable=SC2016
  if (cd "$dir/build" && "$dist/cpods" run --root "$dir" --pod "$pod" -- \
    bash -c 'ninja -j8 && "$1" status --json >../status.json' build "$dist/cpods") \
    >"$dir/build.log" 2>&1 </dev/null; then
    problem=$(counts "$dir" "$(project_compiles "$dir/build")")$(differing "$dir")$(idle "$dir" ninja)
  else
    problem="the build fails: $(grep -v '^\[' "$dir/build.log" | tail -n 5 | tr '\n' ' ')"
  fi
  say "$name: $(grep '^cpods: ' "$dir/build.log" | head -n 1)"
  verdict "$name on $pod" "$problem"
}

plain libgit2
lab_guest noheaders "$release"
lab_exec noheaders sh -c 'exec 2>&1; dpkg --purge --force-depends libc6-dev linux-libc-dev \
  && rm -rf /usr/include /usr/local/include' >"$lab/noheaders/purge.log" || die "cannot remove headers"
configure noheaders
remote libgit2 noheaders

# Another release, with another compiler: it is sent this machine's.
other=$([ "$release" = trixie ] && echo bookworm || echo trixie)
lab_base "$other"
lab_guest other "$other"
configure other 'toolchain = "send"'
remote libgit2 other
totals
