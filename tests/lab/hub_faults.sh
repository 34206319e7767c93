# What may happen to the hub itself, and to the ways from it; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034

# A laptop that is shut for a minute: it is off the network meanwhile, and its pods hear nothing.
hub_sleeps() {
  farm_cut "${farm_pods[@]}"
  lab_freeze hub
  sleep 60
  lab_thaw hub
  farm_join "${farm_pods[@]}"
  woke=$(date +%s.%N)
}

# A pod that moves to another network, as the hub learns where it learns names.
pod_moves() { farm_move box1 203.0.113 1; moved=$(date +%s.%N); }
pod_moves_back() { farm_move box1 198.51.100 0; }
# farm_move POD NET NUMBER: the ends of its cable have other addresses from now on
farm_move() {
  local hub pod
  hub=$(cat "$lab/hub/link") pod=$(cat "$lab/$1/link")
  ip -n "$hub" addr flush dev "to-$1"
  ip -n "$pod" addr flush dev to-hub
  ip -n "$hub" addr add "$2.$(($3 * 4 + 1))/30" dev "to-$1"
  ip -n "$pod" addr add "$2.$(($3 * 4 + 2))/30" dev to-hub
  lab_exec hub sh -c "sed '/ $1\$/d' /etc/hosts >/run/hosts; echo $2.$(($3 * 4 + 2)) $1 >>/run/hosts; cat /run/hosts >/etc/hosts"
}

# The hub reboots, and its build ends with it: all pods are in use after that, and the person begins anew.
hub_reboots() {
  local problem began now before
  problem=$(back 60)
  build
  problem+=$(still_building)
  lab_reboot hub
  tail --pid=$building -f /dev/null
  began=$(date +%s.%N)
  problem+=$(back 90)
  say "$project: all pods in use again $(seconds "$began") s after the hub's reboot"
  before=$(done_by_pod)
  farm_ninja
  problem+=$(built)
  now=$(done_since "$before")
  say "$project: jobs of the build after it: $(tr '\n' ',' <<<"$now")"
  verdict "$project: the hub reboots in mid-build, and all is well after it" "$problem"
}

# The hub's disk is full: the build fails as it would without pods, and nothing wrong is left; with room
# again it goes on. The roots lie on a small disk meanwhile.
hub_disk() {
  local problem said all=ready_of_$project
  ready
  hub 'systemctl --user stop cpods-schedd' </dev/null
  lab_exec hub sh -ec 'mkdir -p /var/usual && mount --bind --make-private /home/dev/work /var/usual
    mount -t tmpfs -o size=1g,uid=1000,gid=1000,mode=755 small /home/dev/work && cp -a "/var/usual/$1" /home/dev/work/' sh "$project"
  hub 'systemctl --user start cpods-schedd' </dev/null
  problem=$(back 60)
  build
  problem+=$(still_building)
  lab_exec hub sh -c 'cat /dev/zero >/home/dev/work/filler' 2>/dev/null || true
  tail --pid=$building -f /dev/null
  [ "$(cat "$log.code")" != 0 ] || problem+="the build ends well; "
  grep -qi 'no space left' "$log" || problem+="nobody says that the disk is full; "
  said=$(hub "$sums; cd work/$project/build && sums | grep -vxFf ~/$project/plain.sums" </dev/null | head -n 3 | tr '\n' ' ') || true
  [ -z "$said" ] || problem+="wrong results: $said; "
  say "$project: with a full disk there are $(count_results "$(results_at)") of ${!all} results"
  verdict "$project: the hub's disk becomes full in mid-build: it is said, and nothing wrong is left" "$problem"
  lab_exec hub rm /home/dev/work/filler
  problem=$(back 60)
  farm_ninja
  verdict "$project: with room again the build ends well" "$problem$(built)"
  hub 'systemctl --user stop cpods-schedd' </dev/null
  lab_exec hub sh -c 'umount -l /home/dev/work && umount -l /var/usual'
  hub 'systemctl --user start cpods-schedd' </dev/null
  back 60
}

part_hub() {
  local woke moved sleep_ms=9000
  project=sleepers
  fault "the hub asleep for a minute" hub_sleeps
  verdict "$project: the same build returns to the pods" "$(slept_nowhere "${woke:-0}" 9e9 "${farm_pods[@]}")"
  sleep_ms=4000
  fault "a pod with another address" pod_moves
  verdict "$project: the pod gets jobs at its new address" "$([ "$(slept box1 "${moved:-0}" 9e9)" != 0 ] || echo "box1 got no job")"
  pod_moves_back
  for project in $farm_projects; do
    fault "the hub asleep for a minute" hub_sleeps
    hub_reboots
    hub_disk
  done
}
