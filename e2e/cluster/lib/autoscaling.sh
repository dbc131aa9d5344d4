# shellcheck shell=bash
# KEDA, kwok and Karpenter, from the manifests of their own modules with images
# of our making. Sourced.

ca_bundle=/etc/ssl/certs/ca-certificates.crt

# overlay NAME SOURCE-DIR: a writable copy for kubectl kustomize, which takes no
# absolute paths; prints the directory.
overlay() {
  local dir=$state/parts/$1
  rm -rf "$dir"
  mkdir -p "$dir"
  cp -r "$2" "$dir/base"
  chmod -R u+w "$dir"
  echo "$dir"
}

# Server-side: KEDA's CRDs are too large for the annotation of a client's apply.
apply_server_side() {
  kube apply --server-side --force-conflicts -f - >"$log/apply.log" 2>&1 ||
    die "kubectl apply failed: $(reason_in "$log/apply.log")"
}

apply_overlay() {
  local out=$state/parts/rendered.yaml
  kube kustomize "$1" >"$out" 2>"$log/kustomize.log" || die "kubectl kustomize $1 failed: $(reason_in "$log/kustomize.log")"
  # A CRD and its objects may be in one file: what fails for lack of the other
  # is accepted a moment later.
  kube apply --server-side --force-conflicts -f "$out" >"$log/apply.log" 2>&1 || {
    kube wait --for=condition=Established crd --all --timeout=30s >/dev/null 2>&1 || true
    apply_server_side <"$out"
  }
}

part_keda() {
  local dir module
  build_tool keda-operator
  build_tool keda-adapter
  tool_image roost/keda-operator:1 keda-operator=keda "$ca_bundle"
  tool_image roost/keda-adapter:1 keda-adapter "$ca_bundle"
  module=$(module_dir go-keda github.com/kedacore/keda/v2)
  dir=$(overlay keda "$module/config")
  cat >"$dir/kustomization.yaml" <<'EOF'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [base/minimal]
images:
- {name: ghcr.io/kedacore/keda, newName: roost/keda-operator, newTag: "1"}
- {name: ghcr.io/kedacore/keda-metrics-apiserver, newName: roost/keda-adapter, newTag: "1"}
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: replace, path: /spec/template/spec/containers/0/imagePullPolicy, value: Never}
    - {op: add, path: /spec/template/spec/securityContext/runAsUser, value: 65532}
EOF
  apply_overlay "$dir"
  # The adapter waits for the certificate that the operator makes.
  rolled_out keda deployment/keda-operator
  rolled_out keda deployment/keda-metrics-apiserver
  wait_for 60 kube get --raw /apis/external.metrics.k8s.io/v1beta1 || die "the API server does not reach KEDA's metrics adapter; see e2e/cluster/kubectl -n keda logs deploy/keda-metrics-apiserver"
  say "KEDA 2.21.0 runs in namespace keda"
}

part_kwok() {
  local dir module
  build_tool kwok
  tool_image roost/kwok:1 kwok "$ca_bundle"
  module=$(module_dir go-kwok sigs.k8s.io/kwok)
  dir=$(overlay kwok "$module/kustomize")
  cat >"$dir/kustomization.yaml" <<'EOF'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [base/kwok, base/stage/fast]
images: [{name: registry.k8s.io/kwok/kwok, newName: roost/kwok, newTag: "1"}]
EOF
  apply_overlay "$dir"
  rolled_out kube-system deployment/kwok-controller
  say "kwok keeps nodes with the annotation kwok.x-k8s.io/node=fake"
}

# Karpenter with its kwok provider: NodePools make nodes that exist in the API
# only. ROOST_INSTANCE_TYPES names a file of instance types of one's own.
part_karpenter() {
  local module aws values=$state/parts/karpenter.yaml
  part_kwok
  build_tool karpenter
  build_tool helm
  tool_image roost/karpenter:1 karpenter "$ca_bundle"
  module=$(module_dir go-karpenter sigs.k8s.io/karpenter)
  cat "$module"/kwok/charts/crds/*.yaml "$module"/kwok/apis/crds/*.yaml | apply_server_side
  # The CRD of the AWS provider, so that its objects can be checked by a real API server.
  aws=$(GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json github.com/aws/karpenter-provider-aws@v1.14.1 2>/dev/null | jq -r .Dir)
  if [ -d "$aws/pkg/apis/crds" ]; then
    apply_server_side <"$aws/pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml"
  else
    say "note: the EC2NodeClass CRD is not there (Go module proxy not reachable)"
  fi
  cat >"$values" <<'EOF'
imagePullPolicy: Never
replicas: 1
controller:
  image: {repository: roost/karpenter, tag: "1"}
  resources: {requests: {cpu: 50m, memory: 256Mi}, limits: {memory: 1Gi}}
  env: [{name: DISABLE_LEADER_ELECTION, value: "true"}]
settings: {featureGates: {staticCapacity: false, capacityBuffer: false}}
EOF
  if [ -n "${ROOST_INSTANCE_TYPES:-}" ]; then
    instance_types >>"$values"
  fi
  KUBECONFIG=$kubeconfig "$bin/helm" upgrade --install karpenter "$module/kwok/charts" -n karpenter --create-namespace \
    --skip-crds -f "$values" >"$log/karpenter.log" 2>&1 || die "helm cannot install Karpenter: $(reason_in "$log/karpenter.log")"
  rolled_out karpenter deployment/karpenter
  say "Karpenter 1.14.1 runs in namespace karpenter, with nodes by kwok"
}

instance_types() {
  [ -s "$ROOST_INSTANCE_TYPES" ] || die "ROOST_INSTANCE_TYPES=$ROOST_INSTANCE_TYPES is not a file"
  kube create namespace karpenter --dry-run=client -o yaml | apply
  kube -n karpenter create configmap instance-types --from-file=types.json="$ROOST_INSTANCE_TYPES" --dry-run=client -o yaml | apply
  cat <<'EOF'
extraVolumes: [{name: types, configMap: {name: instance-types}}]
EOF
  sed -i 's|^  env: .*|  env: [{name: DISABLE_LEADER_ELECTION, value: "true"}, {name: INSTANCE_TYPES_FILE_PATH, value: /types/types.json}]\n  extraVolumeMounts: [{name: types, mountPath: /types}]|' "$state/parts/karpenter.yaml"
}
