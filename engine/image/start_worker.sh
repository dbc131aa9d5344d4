#!/bin/bash
# Runs a BE or a CN in the foreground; start_be.sh and start_cn.sh are links.
set -u
part=$(basename "$0" .sh)
part=${part#start_}
# shellcheck source=common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"

self=
while [ $# -gt 0 ]; do
  case $1 in
    --self) self=${2:?--self needs a host} && shift 2 ;;
    --logconsole) LOG_CONSOLE=1 && shift ;;
    --be | --cn) shift ;;
    *) fail "unknown option $1" ;;
  esac
done
self=${self:-$(self_address)} || exit 1
# The operator gives a CN no volume for its cache; mounted or not, it is made.
mkdir -p "$home/storage" 2>/dev/null || true
conf=$(effective_conf "$self") || exit 1
echo $$ >"$(runtime_dir)/$part.pid"
if [ "${LOG_CONSOLE:-0}" != 1 ] && can_write "$home/log"; then exec >>"$home/log/$part.log" 2>&1; fi
exec "$code/$part/lib/roost-be" --role "$part" --conf "$conf"
