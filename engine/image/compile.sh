#!/bin/bash
# compile.sh [FRESH]: `make release` in the image build's first stage, and the programs into
# /out. Object files of earlier builds lie in a cache, but the builder gives every
# source the same time stamp, so make cannot see what changed: the sources' sums do.
set -euo pipefail
trap 'echo "compile.sh: error at line $LINENO" >&2' ERR
cache=build/obj
sums=$cache/.sources.sha256

mkdir -p "$cache" build
if [ $# -gt 0 ]; then find "$cache" -mindepth 1 -delete; fi
# Sources come from the context beside Makefile; see the Dockerfile.
if [ -d third_party ]; then
  mv third_party/Makefile .
  mv third_party build/third_party
fi

find Makefile lib engine operator scaler crds e2e/tools -type f -print0 |
  sort -z | xargs -0 sha256sum >/tmp/sources.sha256
cat build/third_party/*/stamp >>/tmp/sources.sha256 2>/dev/null || true
changed=$(comm -13 <(sort "$sums" 2>/dev/null) <(sort /tmp/sources.sha256) | sed 's/^[0-9a-f]*  //')
case $'\n'$changed$'\n' in
  # Other flags, or another library: nothing old can be trusted.
  *$'\nMakefile\n'* | *layout*) find "$cache" -mindepth 1 -delete ;;
esac
while read -r file; do
  [ ! -f "$file" ] || touch "$file"
done <<<"$changed"
# A file that is gone may live on in an archive: link again.
find "$cache" -name '*.a' -delete

make CC=gcc release
# Only now: after a failure the same files count as changed again.
cp /tmp/sources.sha256 "$sums"

mkdir -p /out/duckdb
cp build/roost-{operator,scaler,fe,be,duck} /out/
cp -P build/third_party/duckdb/lib/* /out/duckdb/
strip --strip-debug /out/roost-*
sha256sum /out/roost-*
