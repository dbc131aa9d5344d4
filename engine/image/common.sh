# shellcheck shell=bash
# What the entrypoints and the start and stop scripts of FE, BE and CN share.
# Sourced, after `part=fe|be|cn` is set. All scripts lie in $code/scripts; the
# names that a user knows are links to them.

STARROCKS_ROOT=${STARROCKS_ROOT:-/opt/starrocks}
code=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P) # where the image's files lie
home=$STARROCKS_ROOT/${part:?}                          # where volumes are mounted
export STARROCKS_HOME=$home                             # conf files say ${STARROCKS_HOME}

note() { printf '[%(%F %T)T] %s: %s\n' -1 "$(basename "$0")" "$*" >&2; }

fail() {
  note "$*"
  exit 1
}

can_write() { [ -d "$1" ] && [ -w "$1" ] && : 2>/dev/null >"$1/.roost-probe" && rm -f "$1/.roost-probe"; }

# The first writable place for the pid file and the effective configuration:
# with a read-only root only mounted volumes are writable.
runtime_dir() {
  local d
  for d in "$home/log" "${TMPDIR:-/tmp}"; do
    if can_write "$d"; then
      echo "$d"
      return
    fi
  done
  fail "neither $home/log nor ${TMPDIR:-/tmp} is writable: mount an emptyDir at one of them"
}

# conf_value FILE KEY DEFAULT: the last `key = value` wins, as in the programs.
conf_value() {
  local v
  v=$(sed -nE "s/^[[:space:]]*$2[[:space:]]*=[[:space:]]*//p" "$1" 2>/dev/null | tail -n 1 | sed -E 's/[[:space:]]+$//')
  echo "${v:-$3}"
}

# The files of the mounted ConfigMap take the place of the image's, as links
# where the conf directory is writable, which is what users of StarRocks see.
conf_source() {
  local file=$home/conf/$part.conf f
  [ -e "$file" ] || file=$code/$part/conf/$part.conf
  if [ -n "${CONFIGMAP_MOUNT_PATH:-}" ] && [ -d "$CONFIGMAP_MOUNT_PATH" ]; then
    for f in "$CONFIGMAP_MOUNT_PATH"/*; do
      [ -f "$f" ] || continue
      if can_write "$home/conf"; then ln -sfn "$f" "$home/conf/$(basename "$f")"; fi
      if [ "$(basename "$f")" = "$part.conf" ]; then file=$f; fi
    done
  fi
  echo "$file"
}

# effective_conf SELF: one file with everything: the user's lines, then what
# this pod adds where the user is silent. Prints its path.
effective_conf() {
  local self=$1 src dir out
  src=$(conf_source)
  dir=$(runtime_dir)
  out=$dir/$part.effective.conf
  {
    cat "$src"
    echo
    echo "# added by the entrypoint"
    case $part in
      fe)
        add_default "$src" roost_fe_host "$self"
        add_default "$src" meta_dir "$home/meta"
        ;;
      *) add_default "$src" storage_root_path "$home/storage" ;;
    esac
    add_default "$src" sys_log_dir "$home/log"
  } >"$out.new"
  mv "$out.new" "$out"
  echo "$out"
}

add_default() { [ -n "$(conf_value "$1" "$2" '')" ] || echo "$2 = $3"; }

# The name under which the others reach this pod.
self_address() {
  case ${HOST_TYPE:-FQDN} in
    IP) echo "${POD_IP:-$(hostname -i | cut -d ' ' -f 1)}" ;;
    FQDN) hostname -f ;;
    *) fail "HOST_TYPE=$HOST_TYPE: use FQDN or IP" ;;
  esac
}

# sql HOST PORT STATEMENT: the client reads the password from MYSQL_PWD.
sql() {
  timeout 15 mysql --connect-timeout 2 -h "$1" -P "$2" -u root --skip-column-names --batch -e "$3" 2>&1
}
