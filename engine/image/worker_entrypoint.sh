#!/bin/bash
# Starts a BE or a CN in a pod; be_entrypoint.sh and cn_entrypoint.sh are links
# to this file. Registers with the front end, then becomes the program.
# Argument: the FE service's name.
set -u
part=$(basename "$0" _entrypoint.sh)
# shellcheck source=common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
case $part in
  be) kind=BACKEND list='SHOW BACKENDS' ;;
  cn) kind='COMPUTE NODE' list='SHOW COMPUTE NODES' ;;
  *) fail "call me be_entrypoint.sh or cn_entrypoint.sh" ;;
esac

fe=${1:-${FE_SERVICE_NAME:-}}
[ -n "$fe" ] || fail "usage: ${part}_entrypoint.sh FE_SERVICE"
port=${FE_QUERY_PORT:-9030}
self=$(self_address) || exit 1
heartbeat=$(conf_value "$(conf_source)" heartbeat_service_port 9050)
case $self in *:*) address="[$self]:$heartbeat" ;; *) address="$self:$heartbeat" ;; esac
give_up=$((SECONDS + ${REGISTER_TIMEOUT:-300}))

# Columns 2 and 3 of the list are host and heartbeat port.
registered() {
  sql "$fe" "$port" "$list" | awk -F '\t' -v h="$self" -v p="$heartbeat" '$2 == h && $3 == p {f = 1} END {exit !f}'
}

leader_known() { sql "$fe" "$port" 'SHOW FRONTENDS' | grep -qw LEADER; }

until leader_known; do
  [ $SECONDS -lt "$give_up" ] || fail "no leader answers at $fe:$port: $(sql "$fe" "$port" 'SHOW FRONTENDS' | tail -n 1)"
  note "waiting for the front end at $fe:$port"
  sleep 2
done
# Adding a node twice is normal: a restarted pod is already in the list, and
# two answers may cross. The list decides, not the answer.
until registered; do
  [ $SECONDS -lt "$give_up" ] || fail "$fe:$port does not accept $address: ${answer:-}"
  warehouse=
  if [ "$part" = cn ] && [ -n "${KUBE_STARROCKS_MULTI_WAREHOUSE:-}" ]; then
    sql "$fe" "$port" "CREATE WAREHOUSE IF NOT EXISTS $KUBE_STARROCKS_MULTI_WAREHOUSE" >&2
    warehouse=" INTO WAREHOUSE $KUBE_STARROCKS_MULTI_WAREHOUSE"
  fi
  note "adding $address"
  answer=$(sql "$fe" "$port" "ALTER SYSTEM ADD $kind \"$address\"$warehouse" | tail -n 1)
  registered && break
  [ -z "$answer" ] || note "$answer"
  sleep 2
done
note "$address is a member"
exec "$code/$part/bin/start_$part.sh" --self "$self"
