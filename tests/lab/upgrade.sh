# New programs in mid-build, and pods that speak another protocol than the hub; sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034

# worker_since POD: when the service's worker began there, in seconds since 1970
worker_since() {
  lab_exec "$1" sh -c 'echo $(($(date +%s) - $(ps -o etimes= -p "$(pgrep -u dev -f -- "^[^ ]*cpods-workd --socket" | head -n 1)")))' 2>/dev/null || echo 0
}
# upgraded: upgrade.yml in the middle of a build that is longer than it; prints what is wrong
upgraded() {
  local problem pod began since
  sleep_ms=16000
  build
  began=$(date +%s)
  problem=$(still_building)$(played upgrade)
  say "upgrade.yml: $(($(date +%s) - began)) s"
  kill -0 $building 2>/dev/null || problem+="the build had ended before the playbook; "
  problem+=$(built)
  unset sleep_ms
  for pod in "${farm_pods[@]}"; do
    since=$(worker_since "$pod")
    [ "$since" -ge "$began" ] || problem+="no new worker began on $pod; "
    say "$pod: $(slept "$pod" 0 "$since") jobs before the new worker, $(slept "$pod" "$since" 9e9) after"
    [ "$(slept "$pod" 0 "$since")" != 0 ] || problem+="no job on $pod before; "
    [ "$(slept "$pod" "$since" 9e9)" != 0 ] || problem+="no job on $pod after; "
  done
  say "what ran where:$(ran)"
  echo "$problem" >"$log.upgraded"
}

# part_upgrade: new programs while a build runs, and not a job of it is lost
part_upgrade() {
  local before problem pod
  back 60
  before=$(hub 'sha256sum <.local/bin/cpods-workd')
  # What follows the end of a program is not looked at: another program, that does the same.
  hub 'for program in cpods-workd cpods-schedd cpods; do printf new >>cpods/target/dist/$program; done'
  project=sleepers
  upgraded
  verdict "upgrade.yml in mid-build" "$(cat "$log.upgraded")"
  problem=
  for pod in "${farm_pods[@]}"; do
    lab_exec "$pod" sh -c 'readlink /proc/$(pgrep -x cpods-workd | head -n 1)/exe' | grep -q '(deleted)' && problem+="the old one runs on $pod; "
    [ "$(lab_ssh "$pod" 'sha256sum <.local/bin/cpods-workd')" != "$before" ] || problem+="the old one is on $pod; "
  done
  verdict "the new programs run" "$problem"
  verdict "all pods are in use after it" "$(back 60)"
  problem=$(played upgrade)
  verdict "upgrade.yml again changes nothing" "$problem$(unchanged upgrade)"
}

# by_service: which pods are not served by their own service
by_service() {
  local pod
  for pod in "${farm_pods[@]}"; do
    lab_exec "$pod" pgrep -u dev -f -- '--bridge .*/workd.sock' >/dev/null || echo "$pod is not served by its service"
  done | paste -sd ' '
}

# part_protocol: the hub is of a new version, its pods are old: they are served by workers that the hub
# brings, it says so, builds end well; and after upgrade.yml the services serve again
part_protocol() {
  local old problem pod said
  back 60
  verdict "the services serve" "$(by_service)"
  rm -rf "$lab/old-dist" && mkdir "$lab/old-dist"
  old=$(python3 "$top/tests/lab/other_protocol.py" "$top/src/wire/frame.rs" "$dist/cpods-workd" "$lab/old-dist/cpods-workd") \
    || die "no worker of another protocol"
  chmod 755 "$lab/old-dist/cpods-workd"
  hub 'rm -rf cpods/target/old && cp -a cpods/target/dist cpods/target/old && cat >cpods/target/old/cpods-workd' <"$lab/old-dist/cpods-workd"
  problem=$(played site '-e "cpods_dist=~/cpods/target/old"' --limit cpods_pods)$(back 90)
  verdict "the pods are left behind, with protocol $old" "$problem"
  for pod in "${farm_pods[@]}"; do
    lab_exec "$pod" pgrep -u dev -f -- '--bridge .*/workd.sock' >/dev/null && problem+="$pod is served by the old service; "
  done
  verdict "the hub brings its own workers" "$problem"
  said=$(hub 'cpods status' </dev/null)
  problem=
  for pod in "${farm_pods[@]}"; do
    sed -n "/^pod *$pod /,/^pod *[^ ]/p" <<<"$said" | grep -q "service speaks version $old of the protocol" || problem+="status says nothing of it for $pod; "
  done
  verdict "\`cpods status\` says which services speak protocol $old" "$problem"
  for project in $farm_projects; do
    build
    verdict "$project: a build while the services are of protocol $old" "$(built)"
  done
  project=sleepers
  upgraded
  verdict "upgrade.yml brings them back in mid-build" "$(cat "$log.upgraded")"
  verdict "the services serve again" "$(back 60)$(by_service)"
}
