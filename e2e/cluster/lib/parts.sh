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

s3_user=roostadmin
s3_endpoint() { echo "http://$(kube -n roost-s3 get service minio -o 'jsonpath={.spec.clusterIP}'):9000"; }

# Creating a bucket that exists answers 409, which is as good.
s3_make_bucket() {
  local code
  code=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 10 -X PUT --aws-sigv4 aws:amz:us-east-1:s3 \
    --user "$s3_user:$s3_user" "$(s3_endpoint)/roost" 2>/dev/null) || true
  [ "$code" = 200 ] || [ "$code" = 409 ]
}

part_s3() {
  mkdir -p "$images"
  minio_image
  import_once "$images/minio.tar"
  apply <"$here/manifests/s3.yaml"
  rolled_out roost-s3 deployment/minio
  wait_for 60 s3_make_bucket || die "the bucket roost cannot be made at $(s3_endpoint); see e2e/cluster/kubectl -n roost-s3 logs deploy/minio"
  say "S3: http://minio.roost-s3.svc:9000 (from this machine $(s3_endpoint)), bucket roost, keys $s3_user / $s3_user"
}
