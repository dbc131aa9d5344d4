# shellcheck shell=bash
# What runs inside the cluster. Sourced.

# rolled_out NAMESPACE KIND/NAME: waits for it, or says why it does not come.
rolled_out() {
  kube -n "$1" rollout status "$2" --timeout=120s >"$log/rollout.log" 2>&1 && return 0
  die "$2 in $1 does not become ready: $(kube -n "$1" get events --sort-by=.lastTimestamp \
    -o 'jsonpath={range .items[-1:]}{.reason}: {.message}{end}' 2>/dev/null)"
}

apply() {
  kube apply -f - >"$log/apply.log" 2>&1 || die "kubectl apply failed: $(reason_in "$log/apply.log")"
}

part_dns() {
  tool_image roost/coredns:1 coredns
  apply <"$here/manifests/dns.yaml"
  rolled_out kube-system deployment/coredns
  say "DNS answers on $dns_ip"
}

part_storage() {
  mkdir -p "$data/volumes"
  tool_image roost/storage:1 storage
  sed "s|@VOLUMES@|$data/volumes|g" "$here/manifests/storage.yaml" | apply
  rolled_out roost-storage deployment/storage
  say "StorageClass standard makes volumes under $data/volumes"
}
