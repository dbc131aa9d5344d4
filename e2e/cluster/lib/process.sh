# shellcheck shell=bash
# Starting and finding the cluster's host processes. Every one lives in its own
# control group, so that `down` finds it even when its pid file is lost. Sourced.

# The hierarchies that hold our groups: one on cgroup v2, all on v1.
cgroup_roots() {
  local d
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
    return
  fi
  for d in /sys/fs/cgroup/*/; do
    d=${d%/}
    # cpu and cpuacct may be links to one joint mount.
    if [ ! -L "$d" ] && { [ -e "$d/cgroup.procs" ] || [ -e "$d/tasks" ]; }; then echo "$d"; fi
  done
}

cgroup_up() {
  local r
  for r in $(cgroup_roots); do
    case $r in */pids | */systemd | */freezer | */memory | */fs/cgroup) ;; *) continue ;; esac
    echo "$r/$cgroup_name/host/cgroup.procs"
  done >"$run/groups"
  for r in $(cgroup_roots); do
    mkdir -p "$r/$cgroup_name"
    # An empty cpuset accepts no process: inherit the whole machine.
    if [ -e "$r/$cgroup_name/cpuset.cpus" ] && [ ! -e "$r/cgroup.controllers" ]; then
      cat "$r/cpuset.cpus" >"$r/$cgroup_name/cpuset.cpus"
      cat "$r/cpuset.mems" >"$r/$cgroup_name/cpuset.mems"
    fi
    mkdir -p "$r/$cgroup_name/host"
    if [ -e "$r/$cgroup_name/host/cpuset.cpus" ] && [ ! -e "$r/cgroup.controllers" ]; then
      cat "$r/cpuset.cpus" >"$r/$cgroup_name/host/cpuset.cpus"
      cat "$r/cpuset.mems" >"$r/$cgroup_name/host/cpuset.mems"
    fi
  done
}

# Pids of everything of ours: what is in our groups (host processes, shims,
# containers), and what runs our programs outside of them, which a fault in the
# first rule would otherwise hide.
our_pids() {
  local r
  {
    for r in $(cgroup_roots); do
      [ -d "$r/$cgroup_name" ] || continue
      find "$r/$cgroup_name" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done
    stray_pids
  } | sort -un
}

stray_pids() {
  local d exe args
  for d in /proc/[0-9]*; do
    exe=$(readlink "$d/exe" 2>/dev/null) || continue
    case $exe in
      "$bin"/hyperkube* | "$bin"/etcd*)
        # kubectl is the same file: a user's own call is not the cluster.
        args=$(tr '\0' ' ' <"$d/cmdline" 2>/dev/null) || continue
        case ${args%% *} in */kube-* | */kubelet | */etcd) echo "${d#/proc/}" ;; esac
        ;;
      */containerd | */containerd-shim*)
        args=$(tr '\0' ' ' <"$d/cmdline" 2>/dev/null) || continue
        case $args in *"$state/containerd.toml"* | *"$containerd_sock"*) echo "${d#/proc/}" ;; esac
        ;;
    esac
  done
}

pid_of() { cat "$run/$1.pid" 2>/dev/null || true; }

# A pid file alone proves nothing: after a crash the number may be another's.
is_running() {
  local pid
  pid=$(pid_of "$1")
  [ -n "$pid" ] && grep -q "/$cgroup_name/host" "/proc/$pid/cgroup" 2>/dev/null
}

# start NAME COMMAND...: detached, in our control group, unless it runs already.
start() {
  local name=$1
  shift
  ! is_running "$name" || return 0
  mkdir -p "$log"
  # Logs of earlier lives are kept for looking back, but not for ever.
  if [ -n "$(find "$log/$name.log" -size +20M 2>/dev/null)" ]; then : >"$log/$name.log"; fi
  # The shell moves itself, then becomes the program: no moment outside.
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid bash -c '
    while read -r g; do echo $$ >"$g"; done <"$1/groups"
    echo $$ >"$1/$2.pid"
    name=$2
    shift 2
    exec "$@"' start "$run" "$name" "$@" >>"$log/$name.log" 2>&1 </dev/null 9>&- &
  disown
}
