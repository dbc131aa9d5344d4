# shellcheck shell=bash
# Building images from the project's Dockerfile, without a container engine and
# without a registry. Sourced.

images=$repo/build/images
builder=$state/builder           # buildah's storage, kept by `down`
base_name=docker.io/library/debian:bookworm-slim

# The command line of the builder, in the array `buildah`. chroot isolation needs
# no container runtime; the own storage keeps us out of the user's images. In
# namespaces of its own an interrupted build leaves no mount and no process.
buildah_command() {
  buildah=(env BUILDAH_ISOLATION=chroot "STORAGE_DRIVER=$(builder_driver)" "TMPDIR=$builder/tmp"
    unshare --mount --pid --fork --kill-child=KILL --mount-proc
    nice -n 5 buildah --root "$builder/storage" --runroot "$builder/run")
}

# overlay is many times quicker than vfs, which copies whole file systems, but
# does not work on every file system.
builder_driver() {
  if [ ! -s "$builder/driver" ]; then
    mkdir -p "$builder/tmp" "$builder/probe"/{l,u,w,m}
    if mount -t overlay overlay -o "lowerdir=$builder/probe/l,upperdir=$builder/probe/u,workdir=$builder/probe/w" \
      "$builder/probe/m" 2>/dev/null; then
      umount "$builder/probe/m"
      echo overlay >"$builder/driver"
    else
      echo vfs >"$builder/driver"
    fi
    rm -rf "$builder/probe"
  fi
  cat "$builder/driver"
}

# Interrupted builds leave working containers, and every changed source a layer:
# past a size the storage is made anew.
builder_storage() {
  local size
  mkdir -p "$builder/tmp" "$builder/storage"
  size=$(du -sm "$builder/storage" 2>/dev/null | cut -f 1)
  if ((size > 15000)); then
    say "the builder's storage has grown to $size MiB: starting anew"
    rm -rf --one-file-system "$builder/storage" "$builder/run" "$builder/tmp"
    mkdir -p "$builder/tmp"
  fi
}

# The image that the Dockerfile's FROM names, made from Debian packages: no
# registry is reachable. Made once; delete build/cluster/cache to renew it.
base_image() {
  local root=$cache/bookworm.tar buildah
  builder_storage
  buildah_command
  if [ ! -s "$root" ]; then
    say "making the Debian base image (mmdebstrap, 1 min)"
    # The date makes two runs on the same packages give the same bytes.
    long "making the base image" "$log/mmdebstrap.log" env SOURCE_DATE_EPOCH=1700000000 "TMPDIR=$builder/tmp" \
      unshare --mount --pid --fork --kill-child=KILL --mount-proc \
      mmdebstrap --variant=minbase --include=ca-certificates bookworm "$cache/new.tar" ||
      die "mmdebstrap failed: $(reason_in "$log/mmdebstrap.log"); see $log/mmdebstrap.log"
    mv "$cache/new.tar" "$root"
  fi
  # The image in the builder's storage is the one of this tar, or is made again.
  if [ "$root" -nt "$builder/base.mark" ] || ! "${buildah[@]}" inspect --type image "$base_name" >/dev/null 2>&1; then
    say "importing the base image"
    rm -rf "$builder/base"
    mkdir -p "$builder/base"
    ln "$root" "$builder/base/rootfs.tar"
    printf 'FROM scratch\nADD rootfs.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["bash"]\n' \
      >"$builder/base/Dockerfile"
    long "importing the base image" "$log/base-image.log" "${buildah[@]}" bud -q -t "$base_name" "$builder/base" ||
      die "the base image cannot be made: $(reason_in "$log/base-image.log")"
    rm -rf "$builder/base"
    touch "$builder/base.mark"
  fi
}

# The base image itself, for pods of tests that need only a shell.
export_base() {
  local out=$images/base.tar
  [ "$out" -nt "$cache/bookworm.tar" ] || export_image "$base_name" "$out"
}

export_image() { # NAME FILE
  local buildah
  buildah_command
  rm -f "$2.new"
  "${buildah[@]}" push -q "$1" "docker-archive:$2.new:$1" >"$log/push.log" 2>&1 ||
    die "the image $1 cannot be exported: $(reason_in "$log/push.log")"
  mv "$2.new" "$2"
  sha256sum <"$2" | cut -d ' ' -f 1 >"$2.sha256"
}

# MinIO for manifests that need an S3 server, from the program alone.
minio_image() {
  build_tool minio
  local out=$images/minio.tar
  [ "$out" -nt "$bin/minio" ] && return 0
  scratch_image docker.io/roost/minio:1 "$out" "$bin/minio"
  sha256sum <"$out" | cut -d ' ' -f 1 >"$out.sha256"
}

# Everything that can change what an image contains.
image_inputs() {
  (
    cd "$repo"
    {
      find Dockerfile .dockerignore Makefile e2e/tools lib engine operator scaler crds \
        -type f ! -name '*.pyc' ! -name '*_test.c' ! -name '*_fuzz.c' ! -name '*.md' -print0 2>/dev/null
      find build/third_party -type f -print0 2>/dev/null
    } | sort -z | xargs -0 sha256sum
    sha256sum "$cache/bookworm.tar"
  ) | sha256sum | cut -d ' ' -f 1
}

# build_image TARGET: into build/images/TARGET.tar, unless nothing changed.
build_image() {
  local target=$1 want out=$images/$1.tar buildah
  buildah_command
  want=$(image_inputs)
  if [ -s "$out" ] && [ "$(cat "$images/.$target.inputs" 2>/dev/null)" = "$want" ]; then
    say "roost/$target:dev is up to date"
    return 0
  fi
  say "building roost/$target:dev (Dockerfile, 4 min when cold)"
  "${buildah[@]}" rm --all >/dev/null 2>&1 || true
  rm -f "$images/.$target.inputs"
  long "building the $target image" "$log/image-$target.log" "${buildah[@]}" bud --layers --pull-never \
    --timestamp 0 --target "$target" -t "docker.io/roost/$target:dev" -f "$repo/Dockerfile" "$repo" ||
    die "the $target image does not build: $(reason_in "$log/image-$target.log"); see $log/image-$target.log"
  export_image "docker.io/roost/$target:dev" "$out"
  echo "$want" >"$images/.$target.inputs"
}
