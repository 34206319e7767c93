# Pods of the lab that are machines of their own: Debian with its kernel under QEMU. All that other
# guests have of this machine's kernel they have themselves: the clock above all. Sourced by lab.sh.
# QEMU computes what their processors do (ten times slower): KVM inside of a virtual machine, where it is
# offered at all, was seen to hang.
# shellcheck shell=bash disable=SC2016,SC2154

# lab_machine_can: whether there can be such pods here; says on stdout why not
lab_machine_can() {
  [ "$(dpkg --print-architecture)" = amd64 ] || { echo "the machine is written for amd64"; return 1; }
  need qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs
}

# lab_machine NAME RELEASE [USER]: boots one, with its ordinary user (uid 1000). It takes the place of
# its network namespace's: whoever reaches that by ssh reaches the machine, and it reaches what that
# does.
lab_machine() {
  lab_base "$2"
  lab__begin "$1"
  mkdir -p "$lab/$1"/{upper,work,root}
  : >"$lab/$1/disk"
  lab__host "$1" "$1" "$(cat "$lab/$1/address")" 22 "${3:-dev}"
  lab__start "$1" machine "$2" "${3:-dev}"
  lab__wait "$1" 600
}

lab__in_machine() {
  local name=$1 base=$lab/base-$2 user=$3 dir=$lab/$1 root=$lab/$1/root kernel initrd
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" "$root" \
    || cp -a --reflink=auto "$base/." "$root/"
  lab__tree_of "$name" "$root" "$user"
  lab__home "$name" 1000
  cp -a "$lab/home-$name" "$root/home/$user"
  # A session of systemd's for each login takes ten seconds there.
  echo 'UsePAM no' >>"$root/etc/ssh/sshd_config.d/lab.conf"
  [ "$user" = root ] || chroot "$root" usermod -p '*' "$user"
  # QEMU's own network, in which the machine has a fixed place.
  cat >"$root/etc/systemd/system/lab-network.service" <<'UNIT'
[Unit]
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link set eth0 up
ExecStart=ip address add 10.0.2.15/24 dev eth0
ExecStart=ip route add default via 10.0.2.2
[Install]
WantedBy=multi-user.target
UNIT
  ln -s ../lab-network.service "$root/etc/systemd/system/multi-user.target.wants/"
  kernel=$(echo "$root"/boot/vmlinuz-*) initrd=$(echo "$root"/boot/initrd.img-*)
  truncate -s 8G "$dir/disk"
  mke2fs -q -t ext4 -d "$root" "$dir/disk"
  nsenter --net="/run/netns/$(cat "$dir/link")" nice -n -10 qemu-system-x86_64 -nodefaults \
    -display none -accel tcg,thread=multi -cpu max -smp 2 -m 2G -kernel "$kernel" -initrd "$initrd" \
    -append 'root=/dev/vda rw console=ttyS0 quiet net.ifnames=0' \
    -drive "file=$dir/disk,format=raw,if=virtio,cache=unsafe" -device virtio-rng-pci \
    -netdev user,id=net,hostfwd=tcp::22-:22 -device virtio-net-pci,netdev=net,romfile= -serial stdio
}

# lab__exec_machine NAME CMD...: as root inside
lab__exec_machine() {
  local name=$1; shift
  lab_ssh "root@$name" "$(printf '%q ' "$@")"
}

# lab_clock NAME SECONDS: sets the machine's clock so much on; back, where negative
lab_clock() { lab_exec "$1" sh -c 'date -s "@$(($(date +%s) + $1))" >/dev/null' sh "$2"; }
