# The Debian trees that guests of the lab are made of; sourced by lab.sh.
# shellcheck shell=bash disable=SC2154

# lab_base RELEASE: makes $lab/base-RELEASE, a Debian tree, once (2-3 minutes). RELEASE-bare has
# none of what cpods needs: what a person finds on a new machine, and sudo, for Ansible. RELEASE-kernel
# is RELEASE with Debian's kernel for virtual machines.
lab_base() {
  lab_setup
  local base=$lab/base-$1 release=${1%-*} proxy mirror
  local packages=systemd,systemd-sysv,dbus,openssh-server,iproute2,libpam-systemd
  case $1 in
    *-bare) packages+=,python3,python3-apt,sudo,passwd,ca-certificates ;;
    *) packages+=,sshfs,fuse3,python3-minimal,gcc,g++,libc6-dev ;;
  esac
  case $1 in
    *-kernel) packages+=,linux-image-cloud-$(dpkg --print-architecture),initramfs-tools,zstd ;;
  esac
  [ ! -e "$base" ] || return 0
  (
    flock 9
    [ ! -e "$base" ] || exit 0
    say "making $base"
    rm -rf --one-file-system "$base.new"
    # debootstrap downloads with wget: give it the proxy that apt would use.
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "${proxy:-}" ] || export http_proxy=$proxy
    eval "$(apt-config shell proxy Acquire::https::Proxy)"
    [ -z "${proxy:-}" ] || export https_proxy=$proxy
    mirror=$(lab__mirror "$release") || exit 1
    # (It mounts a proc in the tree: not in sight of this machine, should it be killed.)
    quietly unshare -m debootstrap --variant=minbase --include="$packages" "$release" "$base.new" \
      "$mirror" || die "debootstrap of $1 fails"
    lab__trim "$base.new" && mv "$base.new" "$base"
  ) 9>"$lab/lock-$1" || die "no base for $1"
}

# lab__mirror RELEASE: Debian's address in apt's configuration; the same mirrors have every release
lab__mirror() {
  local own; own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' | awk -v wanted="$1" -v own="$own" '
      $4 != "main" { next }
      $2 == wanted || $3 == wanted { print $1; found = 1; exit }
      ($2 == own || $3 == own) && other == "" { other = $1 }
      END { if (!found) print other }' | grep . || die "apt's configuration names no Debian mirror"
}

# lab__trim TREE: what must differ from guest to guest, or only costs time at boot
lab__trim() {
  local unit
  rm -f "$1"/etc/ssh/ssh_host_*_key* "$1"/var/cache/apt/archives/*.deb "$1"/etc/hostname
  rm -f "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id
  : >"$1/etc/machine-id"
  for unit in console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-timesyncd.service systemd-networkd.service systemd-resolved.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
  done
  # The kernel lets a user namespace mount a fresh proc only where a proc is in sight of which nothing
  # is covered ("Mount too revealing", EPERM), and nspawn covers parts of /proc. A second proc is that
  # one. (SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 would uncover the first, but then the guest's sysctl.d and
  # udev change this machine's own settings.)
  cat >"$1/etc/systemd/system/run-whole\\x2dproc.mount" <<'UNIT'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Mount]
What=proc
Where=/run/whole-proc
Type=proc
Options=nosuid,nodev,noexec
UNIT
  mkdir -p "$1/etc/systemd/system/sysinit.target.wants"
  ln -sf '../run-whole\x2dproc.mount' "$1/etc/systemd/system/sysinit.target.wants/"
}
