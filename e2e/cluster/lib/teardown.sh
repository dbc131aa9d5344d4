# shellcheck shell=bash
# Ending the cluster, and counting what is left of it. Sourced.

# Two clones share one machine: the second must not take the first one down.
check_owner() {
  local owner
  owner=$(cat "$run/owner" 2>/dev/null || true)
  if [ -n "$owner" ] && [ "$owner" != "$repo" ] && [ -n "$(our_pids)" ]; then
    die "the cluster of $owner runs on this machine; end it with $owner/e2e/cluster/down"
  fi
}

all_running() {
  local p
  for p in "${host_processes[@]}"; do
    is_running "$p" || return 1
  done
}

anything_left() {
  [ -n "$(our_pids)" ] || [ -n "$(mounts_left)" ] || [ -n "$(interfaces_left)" ] || [ -d "$data" ]
}

# Mount points of ours, the deepest first; an interrupted image build leaves some.
mounts_left() {
  awk -v a="$data/" -v b="$run/" -v c="$builder/" '{
    gsub(/\\040/, " ", $5)
    if (index($5, a) == 1 || index($5, b) == 1 || index($5, c) == 1) print $5
  }' /proc/self/mountinfo | sort -r
}

# Network namespaces whose name the CNI made. Ours lie in our state directory
# and are counted there as mounts; these are what an older run may have left.
netns_left() {
  { mounts_left | grep '/netns/' || true; }
  find /run/netns -maxdepth 1 -name 'cni-*' 2>/dev/null || true
}

cgroups_left() {
  local r
  for r in $(cgroup_roots); do
    [ -d "$r/$cgroup_name" ] && find "$r/$cgroup_name" -type d
  done
  true
}

# Ends processes by group: first the node's managers, so that nothing is
# started again, then every process that is left in our control groups.
kill_all() {
  local p pid end
  for p in kubelet kube-proxy kube-scheduler kube-controller-manager; do
    if is_running "$p"; then kill -TERM "$(pid_of "$p")" 2>/dev/null || true; fi
  done
  end=$((SECONDS + 5))
  while is_running kubelet && ((SECONDS < end)); do sleep 0.1; done
  end=$((SECONDS + 30))
  while [ -n "$(our_pids)" ] && ((SECONDS < end)); do
    for pid in $(our_pids); do kill -KILL "$pid" 2>/dev/null || true; done
    sleep 0.2
  done
}

unmount_all() {
  local m i
  for i in 1 2 3 4 5; do
    [ -n "$(mounts_left)" ] || return 0
    while read -r m; do
      umount "$m" 2>/dev/null || { ((i > 2)) && umount -l "$m" 2>/dev/null; } || true
    done < <(mounts_left)
    sleep 0.1
  done
}

remove_cgroups() {
  local d i
  for i in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$(cgroups_left)" ] || return 0
    while read -r d; do rmdir "$d" 2>/dev/null || true; done < <(cgroups_left | sort -r)
    sleep 0.2
  done
  : "$i"
}

# Files that the node's programs put at places which no flag moves.
remove_strays() {
  local f
  if [ -d /var/log/containers ]; then
    find /var/log/containers -maxdepth 1 -type l -lname "$data/*" -delete
    rmdir /var/log/containers 2>/dev/null || true
  fi
  find /var/lib/cni/results /var/lib/cni/cache -name 'roost-*' -delete 2>/dev/null || true
  for f in /var/lib/cni/results /var/lib/cni/cache /var/lib/cni; do rmdir "$f" 2>/dev/null || true; done
  rm -f /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/kubelet/device-plugins/DEPRECATION
  rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
  for f in /run/netns/cni-*; do
    [ -e "$f" ] || continue
    umount "$f" 2>/dev/null || true
    rm -f "$f"
  done
}

tear_down() {
  kill_all
  unmount_all
  net_down
  remove_cgroups
  remove_strays
  # Never into a mount: --one-file-system keeps a missed one from being emptied.
  rm -rf --one-file-system "$data" "$pki" "$state/cni"
  rm -f "$kubeconfig" "$state"/{containerd.toml,kubelet.yaml,proxy.yaml,resolv.conf}
  find "$run" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf --one-file-system {} + 2>/dev/null || true
}

count() { grep -c . || true; }

# The listing that `down` ends with; fails when anything is left.
report_left() {
  local procs mounts ns ifs rules cgroups
  procs=$(our_pids | count)
  mounts=$(mounts_left | count)
  ns=$(netns_left | count)
  ifs=$(interfaces_left | count)
  rules=$({ rules_left iptables; rules_left ip6tables; } | count)
  cgroups=$(cgroups_left | count)
  echo "left: processes $procs, mounts $mounts, netns $ns, interfaces $ifs, iptables rules $rules, cgroups $cgroups"
  ((procs + mounts + ns + ifs + rules + cgroups == 0)) && return 0
  {
    our_pids | xargs -r ps -o pid=,args= -p 2>/dev/null || true
    mounts_left
    interfaces_left
    rules_left iptables
    rules_left ip6tables
    cgroups_left
  } | head -n 40 >&2
  return 1
}
