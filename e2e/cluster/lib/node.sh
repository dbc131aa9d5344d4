# shellcheck shell=bash
# The control plane and the node, as host processes. Sourced.

start_etcd() {
  mkdir -p "$data/etcd"
  chmod 700 "$data/etcd"
  # unsafe-no-fsync: the data is thrown away by `down`, and the disk is shared
  # with builds whose writes would otherwise stall the API server.
  start etcd "$bin/etcd" --name roost --data-dir "$data/etcd" --log-level warn --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
    --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
    --initial-cluster roost=http://127.0.0.1:12380 --quota-backend-bytes 4294967296 \
    --auto-compaction-mode periodic --auto-compaction-retention 10m
}

start_apiserver() {
  start kube-apiserver "$bin/kube-apiserver" \
    --etcd-servers http://127.0.0.1:12379 \
    --bind-address "$node_ip" --advertise-address "$node_ip" --secure-port 6443 \
    --service-cluster-ip-range "$service_cidr" --allow-privileged=true \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-client-certificate "$pki/apiserver-kubelet.crt" --kubelet-client-key "$pki/apiserver-kubelet.key" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key" \
    --enable-aggregator-routing=true --feature-gates HPAConfigurableTolerance=true \
    --profiling=false
}

start_controllers() {
  local kc
  kc=$pki/controller-manager.kubeconfig
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$kc" \
    --authentication-kubeconfig "$kc" --authorization-kubeconfig "$kc" \
    --bind-address 127.0.0.1 --use-service-account-credentials=true --leader-elect=false \
    --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
    --tls-cert-file "$pki/controller-manager.crt" --tls-private-key-file "$pki/controller-manager.key" \
    --allocate-node-cidrs=false --cluster-cidr "$pod_cidr" --service-cluster-ip-range "$service_cidr" \
    --feature-gates HPAConfigurableTolerance=true --profiling=false
  kc=$pki/scheduler.kubeconfig
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$kc" \
    --authentication-kubeconfig "$kc" --authorization-kubeconfig "$kc" \
    --tls-cert-file "$pki/scheduler.crt" --tls-private-key-file "$pki/scheduler.key" \
    --bind-address 127.0.0.1 --leader-elect=false --profiling=false
}

write_cni() {
  mkdir -p "$state/cni" "$data/cni"
  write_file "$state/cni/10-roost.conflist" <<EOF
{ "cniVersion": "0.4.0", "name": "roost",
  "plugins": [
    { "type": "bridge", "bridge": "$pod_bridge", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": { "type": "host-local", "dataDir": "$data/cni",
        "ranges": [[ { "subnet": "$pod_cidr", "gateway": "$pod_gateway" } ]],
        "routes": [ { "dst": "0.0.0.0/0" } ] } },
    { "type": "portmap", "capabilities": { "portMappings": true } } ] }
EOF
}

start_containerd() {
  mkdir -p "$data/containerd"
  # restrict_oom_score_adj: a virtual machine may lack CAP_SYS_RESOURCE, and runc
  # then dies when it lowers a pod's score.
  write_file "$state/containerd.toml" <<EOF
version = 2
root = "$data/containerd"
state = "$run/containerd"
[grpc]
  address = "$containerd_sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "roost/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter)"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
  path = "$data/opt"
EOF
  start containerd containerd --config "$state/containerd.toml" --log-level warn
  wait_for 30 ctr_k8s version
}

# overlayfs does not stack on itself, for example inside a container.
snapshotter() {
  case $(stat -f -c %T "$data") in overlayfs) echo native ;; *) echo overlayfs ;; esac
}

start_kubelet() {
  mkdir -p "$data/kubelet" "$data/manifests"
  local resolv=/etc/resolv.conf
  # CoreDNS reads the node's resolv.conf; a loopback resolver there is not
  # reachable from its pod.
  if grep -qE '^nameserver (127\.|::1)' $resolv; then
    grep -vE '^nameserver (127\.|::1)' $resolv >"$state/resolv.conf" || true
    resolv=$state/resolv.conf
  fi
  write_file "$state/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
port: 10250
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
containerRuntimeEndpoint: unix://$containerd_sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup_name
failCgroupV1: false
failSwapOn: false
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
resolvConf: $resolv
podLogsDir: $data/pod-logs
volumePluginDir: $data/volume-plugins
staticPodPath: ""
maxPods: 200
# Images are imported, never pulled: a collected image would be lost.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMaximumGCAge: 0s
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi, nodefs.inodesFree: 2%}
syncFrequency: 30s
nodeStatusUpdateFrequency: 10s
EOF
  start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" \
    --root-dir "$data/kubelet" --cert-dir "$data/kubelet/pki" --hostname-override "$node_name" --node-ip "$node_ip"
}

start_proxy() {
  write_file "$state/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
mode: iptables
hostnameOverride: $node_name
clusterCIDR: $pod_cidr
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: ["$node_ip/32"]
conntrack: {maxPerCore: 0, min: 0}
EOF
  start kube-proxy "$bin/kube-proxy" --config "$state/proxy.yaml"
}

apiserver_ready() { [ "$(kube get --raw /readyz 2>/dev/null)" = ok ]; }

node_ready() {
  [ "$(kube get node "$node_name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

# Programs in the order in which they need each other.
host_processes=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy)

# The first program that has ended, with its last words.
why_down() {
  local p
  for p in "${host_processes[@]}"; do
    is_running "$p" && continue
    echo "$p ended: $(reason_in "$log/$p.log"); see $log/$p.log"
    return
  done
  echo "$(reason_in "$log/kubelet.log"); see $log/kubelet.log"
}
