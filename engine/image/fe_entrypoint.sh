#!/bin/bash
# Starts a front end in a pod. Argument: the FE service's name, as the operator
# passes it; the first pod founds the cluster and does not need it.
set -u
part=fe
# shellcheck source=common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"

pod=${POD_NAME:-$(hostname)}
ordinal=${pod##*-}
case $ordinal in
  '' | *[!0-9]*) fail "pod name '$pod' does not end in -NUMBER: front ends run in a StatefulSet" ;;
esac
if [ "$ordinal" -gt 0 ]; then
  fail "more than one front end is not supported by this version: set starRocksFeSpec.replicas to 1 (this is pod number $ordinal)"
fi
self=$(self_address) || exit 1
note "$pod founds or continues the cluster as $self"
exec "$code/fe/bin/start_fe.sh" --self "$self"
