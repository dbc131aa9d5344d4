#!/bin/bash
# collect_root.sh DEST PROGRAM...: a root file system that holds the programs, the
# libraries that they load, a CA bundle, one user, and nothing else but the
# packages' status entries, which is where scanners look in such images.
# Runs inside the image build; makes the operator's image.
set -euo pipefail
dest=$1
shift
mkdir -p "$dest/usr/bin" "$dest/etc/ssl/certs" "$dest/tmp" "$dest/var/lib/dpkg/status.d"
chmod 1777 "$dest/tmp"
cp "$@" "$dest/usr/bin/"

mapfile -t libraries < <(ldd "$@" | sed -nE 's/.*(=> |^[[:space:]]+)(\/[^ ]+) \(.*/\2/p' | sort -u)
names=(/etc/ssl/certs/ca-certificates.crt)
for f in "${libraries[@]}"; do
  mkdir -p "$dest$(dirname "$f")"
  cp -L "$f" "$dest$f"
  # dpkg knows a file under the name of before the merge of / and /usr, or after.
  real=$(realpath "$f")
  names+=("$real" "${real#/usr}")
done
# A name that dpkg does not know is the other spelling of one that it knows.
owners=$({ dpkg-query -S "${names[@]}" 2>/dev/null || true; } | sed 's/: .*//' | tr -d ',' | tr ' ' '\n' | sort -u)
for p in $owners ca-certificates; do
  dpkg-query -s "$p" >"$dest/var/lib/dpkg/status.d/${p%%:*}"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$dest/etc/ssl/certs/"
echo 'hosts: files dns' >"$dest/etc/nsswitch.conf"
echo 'roost:x:65532:65532::/:' >"$dest/etc/passwd"
echo 'roost:x:65532:' >"$dest/etc/group"
