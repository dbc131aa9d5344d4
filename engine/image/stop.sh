#!/bin/bash
# stop_fe.sh, stop_be.sh, stop_cn.sh: ends the program and waits until it has
# ended. With -g it finishes what runs: SIGUSR1 for FE, SIGTERM for BE and CN.
set -u
part=$(basename "$0" .sh)
part=${part#stop_}
# shellcheck source=common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"

graceful=
while [ $# -gt 0 ]; do
  case $1 in
    -g | --graceful) graceful=1 ;;
    *) fail "unknown option $1; usage: stop_$part.sh [-g]" ;;
  esac
  shift
done
case $part$graceful in
  fe1) signal=USR1 ;;
  fe | be1 | cn1) signal=TERM ;;
  *) signal=KILL ;;
esac
pid=$(cat "$(runtime_dir)/$part.pid" 2>/dev/null)
# After a restart of the container the number may be another program's.
case $(readlink "/proc/${pid:-none}/exe" 2>/dev/null) in
  */roost-fe | */roost-be) ;;
  *) fail "roost-$part does not run" ;;
esac
kill -s $signal "$pid" || exit 1
while kill -0 "$pid" 2>/dev/null; do
  # A zombie that its parent has not yet collected has ended, too.
  case $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) in Z | '') break ;; esac
  sleep 0.2
done
rm -f "$(runtime_dir)/$part.pid"
