# shellcheck shell=bash
# Debian packages, and what the machine must have. Sourced.

cluster_packages=(containerd runc containernetworking-plugins iptables conntrack
  iproute2 ethtool socat openssl ca-certificates util-linux jq procps curl)
image_packages=(buildah mmdebstrap jq ca-certificates)

# ensure_packages NAME...: installs what is missing, quietly.
ensure_packages() {
  local p missing=()
  for p in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null || true)" = 'ii ' ] || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "needs ${missing[*]}; this is not Debian: install them by hand"
  need_root
  say "installing Debian packages: ${missing[*]}"
  # A daemon of the distribution must not start: we run our own containerd.
  local policy=/usr/sbin/policy-rc.d made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  local rc=0
  long "installing packages" "$log/apt.log" sh -c \
    'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"' apt "${missing[@]}" || rc=$?
  [ -z "$made" ] || rm -f $policy
  [ "$rc" = 0 ] || die "apt-get could not install ${missing[*]} ($(reason_in "$log/apt.log")); is there a network?"
}

check_go() {
  command -v go >/dev/null || die "Go 1.26 or newer is missing: install it and put it in PATH"
  local v
  v=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
  [ "$(printf '%s\n1.26\n' "$v" | sort -V | head -n 1)" = 1.26 ] ||
    die "Go $v is too old: this cluster is built with Go 1.26 or newer"
}

check_machine() {
  local mem disk
  mem=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
  ((mem >= ${ROOST_MIN_MEMORY_MB:-6144})) || die "only $mem MiB of memory are free, the cluster needs 6 GiB: end something large"
  mkdir -p "$state"
  disk=$(df -Pm "$state" | awk 'NR == 2 {print $4}')
  ((disk >= ${ROOST_MIN_DISK_MB:-12288})) || die "only $disk MiB of disk are free under $state, the cluster needs 12 GiB: delete something"
  [ ${#data} -le 70 ] || die "$repo is too long a path for the kubelet's sockets: clone into a shorter one"
}

# Ports of ours that somebody else holds. The control plane listens on our own
# bridge address, so only loopback ports and wildcard listeners can clash.
check_ports() {
  local port who
  for port in 6443 10250 12379 12380 10248 10249 10256 10257 10259; do
    who=$(ss -Hltnp "sport = :$port" | awk '{print $4, $6}' | head -n 1)
    [ -z "$who" ] || die "port $port is in use by $(sed -n 's/.*users:((\("[^"]*"\),pid=\([0-9]*\).*/\1 pid \2/p' <<<"$who"): end it, then run this again"
  done
}
