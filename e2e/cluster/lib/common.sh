# shellcheck shell=bash
# Paths, messages and small helpers shared by every command in this folder.
# Sourced, never run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
repo=$(cd "$here/../.." && pwd -P)
state=$repo/build/cluster        # everything that may be deleted
bin=$state/bin                   # kept by `down`
cache=$state/cache               # kept by `down`: images, root file systems
data=$state/data                 # etcd, containerd, kubelet, volumes
log=$state/log
pki=$state/pki
run=/run/roost-cluster           # sockets need short paths; one cluster per machine
kubeconfig=$state/kubeconfig
containerd_sock=$run/containerd.sock

node_name=roost
node_ip=10.243.0.1               # on a bridge without ports: reachable from here only
pod_cidr=10.244.0.0/24
pod_gateway=10.244.0.1
service_cidr=10.96.0.0/16
service_first=10.96.0.1
dns_ip=10.96.0.10
node_bridge=roost-node
pod_bridge=roost-pods
cgroup_name=roost-cluster
kube_version=v1.34.4

started=$SECONDS

say() { printf '[%4ds] %s\n' "$((SECONDS - started))" "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The last line of a log that looks like a reason, for a one-line error.
reason_in() {
  local line
  line=$(grep -aiE 'error|fail|cannot|denied|refused|no such|not found|timeout' "$1" 2>/dev/null | tail -n 1 || true)
  [ -n "$line" ] || line=$(tail -n 1 "$1" 2>/dev/null || true)
  printf '%.300s' "$line"
}

# long LABEL LOGFILE COMMAND...: runs a long command with a heartbeat, its
# output in LOGFILE. An interrupt ends the command with all its children.
long() {
  local label=$1 file=$2 pid rc=0 begun=$SECONDS beat=$SECONDS
  shift 2
  mkdir -p "$(dirname "$file")"
  setsid "$@" >"$file" 2>&1 </dev/null 9>&- &
  pid=$!
  # shellcheck disable=SC2064  # the pid of now is meant
  trap "kill -TERM -- -$pid 2>/dev/null; exit 130" INT TERM HUP
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    if ((SECONDS - beat >= 20)); then
      beat=$SECONDS
      say "    still $label ($((SECONDS - begun)) s)"
    fi
  done
  wait "$pid" || rc=$?
  trap - INT TERM HUP
  return "$rc"
}

# wait_for SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.3
  done
}

# write_file PATH: standard input to a file, which is left alone when it would be
# the same: kube-proxy ends when its configuration file is touched.
write_file() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm -f "$1.new"; else mv "$1.new" "$1"; fi
}

# lock_or_wait FILE WHAT: holds descriptor 9 until this process ends.
lock_or_wait() {
  exec 9>"$1"
  flock -n 9 && return 0
  say "another $2 is at work, waiting for it"
  flock -w 3600 9 || die "another $2 holds $1 for an hour; see: fuser -v $1"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "needs root for containers and networking; run it again with sudo"
}

# One command at a time changes the cluster; the lock goes with this process.
take_lock() {
  mkdir -p "$run"
  lock_or_wait "$run/lock" "up or down"
}

kube() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

ctr_k8s() { ctr --address "$containerd_sock" --namespace k8s.io "$@"; }

# True when tests shall use a cluster of the user's instead of ours.
use_foreign() { [ "${ROOST_USE_KUBECONFIG:-}" = 1 ] && [ -n "${KUBECONFIG:-}" ]; }

# A kubectl for the user's cluster: the user's own, else the one built here.
foreign_kubectl() {
  command -v kubectl || { [ -x "$bin/kubectl" ] && echo "$bin/kubectl"; } ||
    die "ROOST_USE_KUBECONFIG=1 needs kubectl in PATH"
}

check_foreign() {
  local k
  k=$(foreign_kubectl) || exit 1
  "$k" --request-timeout=10s get --raw /readyz >/dev/null 2>&1 ||
    die "ROOST_USE_KUBECONFIG=1: the cluster of KUBECONFIG=$KUBECONFIG does not answer; unset it to use the local one"
  say "using the cluster of $KUBECONFIG; nothing is started or stopped here"
}
