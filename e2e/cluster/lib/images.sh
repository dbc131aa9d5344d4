# shellcheck shell=bash
# One-binary images without a builder, and handing images to the node. Sourced.

# scratch_image NAME FILE BINARY[=CALLED] [PATH...]: an image with one layer that
# holds the binary as entry point /CALLED (else its own name), and copies of the
# other paths as they are.
scratch_image() {
  local name=$1 out=$2 binary=${3%%=*} called tmp layer digest
  called=$(basename "$binary")
  case $3 in *=*) called=${3#*=} ;; esac
  shift 3
  tmp=$(mktemp -d "$cache/image.XXXXXX")
  mkdir -p "$tmp/root/tmp" "$tmp/root/etc" "$tmp/out"
  chmod 1777 "$tmp/root/tmp"
  cp "$binary" "$tmp/root/$called"
  printf 'root:x:0:0::/:\nnonroot:x:65532:65532::/:\n' >"$tmp/root/etc/passwd"
  local p
  for p in "$@"; do
    mkdir -p "$tmp/root$(dirname "$p")"
    cp -L "$p" "$tmp/root$p"
  done
  layer=$tmp/out/layer.tar
  tar -C "$tmp/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$layer" .
  digest=$(sha256sum "$layer" | cut -d ' ' -f 1)
  jq -n --arg d "sha256:$digest" --arg e "/$called" --arg a "$(go env GOARCH)" \
    '{architecture: $a, os: "linux", config: {Entrypoint: [$e], Env: ["PATH=/"]}, rootfs: {type: "layers", diff_ids: [$d]}}' \
    >"$tmp/out/config.json"
  jq -n --arg n "$name" '[{Config: "config.json", RepoTags: [$n], Layers: ["layer.tar"]}]' >"$tmp/out/manifest.json"
  tar -C "$tmp/out" --sort=name --mtime=@0 -cf "$out.new" manifest.json config.json layer.tar
  mv "$out.new" "$out"
  rm -rf "$tmp"
}

# tool_image NAME TOOL[=CALLED] [PATH...]: makes the image when its binary changed, and
# hands it to the node when the node has not got this one.
tool_image() {
  local name=$1 tool=$2 file=${2%%=*} out
  out=$cache/$file.tar
  shift 2
  mkdir -p "$cache"
  if [ ! -s "$out" ] || [ "$bin/$file" -nt "$out" ]; then
    scratch_image "$name" "$out" "$bin/$tool" "$@"
  fi
  import_once "$out"
}

# import_once FILE: the mark lies beside containerd's data and goes with it.
import_once() {
  local mark
  mark=$data/imported-$(basename "$1")
  [ "$mark" -nt "$1" ] && return 0
  import_image "$1"
  touch "$mark"
}

import_image() {
  ctr_k8s images import "$1" >"$log/import.log" 2>&1 ||
    die "the node cannot import $1: $(reason_in "$log/import.log")"
}
