#!/bin/bash
# Runs the front end in the foreground. Options as StarRocks': --host_type and
# --logconsole are understood; --helper needs more than one voter.
set -u
part=fe
# shellcheck source=common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"

self=
while [ $# -gt 0 ]; do
  case $1 in
    --self) self=${2:?--self needs a host} && shift 2 ;;
    --host_type) HOST_TYPE=${2:?--host_type needs FQDN or IP} && shift 2 ;;
    --logconsole) LOG_CONSOLE=1 && shift ;;
    --helper) fail "--helper: more than one front end is not supported by this version" ;;
    *) fail "unknown option $1" ;;
  esac
done
self=${self:-$(self_address)} || exit 1
conf=$(effective_conf "$self") || exit 1
echo $$ >"$(runtime_dir)/$part.pid"
if [ "${LOG_CONSOLE:-0}" != 1 ] && can_write "$home/log"; then exec >>"$home/log/fe.log" 2>&1; fi
exec "$code/fe/lib/roost-fe" --conf "$conf"
