# shellcheck shell=bash
# Builds the programs from their pinned Go modules into build/cluster/bin. A
# stamp per program (module files, sources, flags, Go version) skips warm runs.
# Sourced.

# tool_info NAME -> "module-dir|package|ldflags|what and how long when cold"
tool_info() {
  local kv="-X k8s.io/component-base/version.gitVersion=$kube_version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34 -X k8s.io/component-base/version.gitTreeState=clean"
  case $1 in
    hyperkube) echo "go|./hyperkube|$kv|kubernetes $kube_version (go, 6 min on 2 cores when cold)" ;;
    hyperkube-1.29) echo "go-kube-1.29|./hyperkube|-X k8s.io/component-base/version.gitVersion=v1.29.15 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=29 -X k8s.io/component-base/version.gitTreeState=clean|the control plane of kubernetes v1.29.15 (go, 5 min on 2 cores when cold)" ;;
    etcd) echo "go|./etcd||etcd (go, 30 s when cold)" ;;
    coredns) echo "go|./coredns||CoreDNS (go, 1 min when cold)" ;;
    storage) echo "go|./storage||the storage provisioner (go, 1 min when cold)" ;;
    pause) echo "go|./pause||the pause program (go)" ;;
    helm) echo "go|helm.sh/helm/v3/cmd/helm|-X helm.sh/helm/v3/internal/version.version=v3.19.5|helm (go, 1 min when cold)" ;;
    minio) echo "go-minio|github.com/minio/minio||MinIO (go, 3 min when cold)" ;;
    keda-operator) echo "go-keda|github.com/kedacore/keda/v2/cmd/operator|-X github.com/kedacore/keda/v2/version.Version=2.21.0|KEDA's operator (go, 8 min when cold)" ;;
    keda-adapter) echo "go-keda|github.com/kedacore/keda/v2/cmd/adapter|-X github.com/kedacore/keda/v2/version.Version=2.21.0|KEDA's metrics adapter (go, 2 min when cold)" ;;
    scalerclient) echo "go-keda|./scalerclient||KEDA's scaler code as a client (go, 1 min after keda-operator, 8 min when cold)" ;;
    kstatus) echo "go-kstatus|./kstatus||kstatus as a program (go, 1 min when cold)" ;;
    kwok) echo "go-kwok|sigs.k8s.io/kwok/cmd/kwok||kwok (go, 2 min when cold)" ;;
    karpenter) echo "go-karpenter|sigs.k8s.io/karpenter/kwok||Karpenter with its kwok provider (go, 3 min when cold)" ;;
    *) return 1 ;;
  esac
}

tools='hyperkube hyperkube-1.29 etcd coredns storage pause helm minio keda-operator keda-adapter kstatus kwok karpenter kubectl'

# module_dir GO-DIR MODULE: where the module's files lie; its manifests are used
# from there, so that they always fit the program.
module_dir() {
  env -C "$here/$1" GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off go list -m -f '{{.Dir}}' "$2"
}

tool_stamp() { # NAME DIR PACKAGE LDFLAGS
  local src=$here/$2/${3#./}
  {
    printf '%s\n' "$3" "$4" "$(go env GOVERSION GOARCH)"
    cat "$here/$2/go.mod" "$here/$2/go.sum"
    [ ! -d "$src" ] || find "$src" -type f -print0 | sort -z | xargs -0 cat
  } | sha256sum | cut -d ' ' -f 1
}

# build_tool NAME: builds one program when it is missing or out of date.
build_tool() {
  local name=$1 info dir pkg ld what want
  info=$(tool_info "$name") || die "no tool called $name; have: $tools"
  IFS='|' read -r dir pkg ld what <<<"$info"
  check_go
  want=$(tool_stamp "$name" "$dir" "$pkg" "$ld")
  mkdir -p "$bin/.stamp" "$log"
  if ! is_built "$name" "$want"; then
    # `up`, `make engine` and a test may want the same program at once.
    exec 7>"$bin/.stamp/$name.lock"
    flock 7
    is_built "$name" "$want" || compile_tool "$name" "$want"
    exec 7>&-
  fi
  [ "$name" != hyperkube ] || link_kubernetes
}

is_built() { # NAME STAMP
  [ -x "$bin/$1" ] && [ "$(cat "$bin/.stamp/$1" 2>/dev/null)" = "$2" ]
}

# Reads build_tool's dir, pkg, ld and what.
compile_tool() { # NAME STAMP
  say "building $what"
  rm -f "$bin/.stamp/$1"
  long "building $1" "$log/build-$1.log" env -C "$here/$dir" \
    CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off \
    nice -n 10 go build -buildvcs=false -trimpath -ldflags "-s -w $ld" -o "$bin/.new.$1" "$pkg" ||
    build_failed "$1"
  # A running program cannot be written to, but it can be replaced.
  mv -f "$bin/.new.$1" "$bin/$1"
  echo "$2" >"$bin/.stamp/$1"
}

link_kubernetes() {
  local p
  for p in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    [ "$(readlink "$bin/$p")" = hyperkube ] || ln -sfn hyperkube "$bin/$p"
  done
}

build_failed() {
  local file=$log/build-$1.log
  if grep -qE 'dial tcp|no such host|i/o timeout|TLS handshake|proxyconnect' "$file"; then
    die "building $1 needs the Go module proxy and cannot reach it: $(reason_in "$file"); check the network, then run this again"
  fi
  if grep -q 'no space left' "$file"; then
    die "building $1 ran out of disk: free some, then run this again"
  fi
  die "building $1 failed: $(reason_in "$file"); see $file"
}
