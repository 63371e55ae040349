#!/bin/sh
# Runs a tool for as long as its volume takes what it writes: sh start.sh FOLDER COMMAND [ARGUMENT...]
#
# A Prometheus that cannot record goes on evaluating what it last recorded: it tells of alerts that ended, and
# never of those that begin. Stopped, it leaves the telling to the other one, whose alerts say that it is gone.
# It starts once there is space again. Ends with the tool's own status, 0 for a signal while it waits.
set -u

folder=$1
shift
# MiB that must fit: more to start than to go on, so that it does not start and stop every few seconds. What is
# tried is freed before the node's kernel would write it to the disk.
START=${START:-16} GO_ON=${GO_ON:-1} INTERVAL=${INTERVAL:-5}
NEWLINE='
'
FULL=75 # the watcher's exit status: EX_TEMPFAIL
stopped='' sleeping='' tool=''

say() { printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$folder" "$*"; }
# A signal interrupts `wait`; the end of any other command would be waited for.
pause() { sleep "$INTERVAL" & sleeping=$!; wait "$sleeping"; sleeping=; }

# MIB; 1 where they do not fit, or nothing can be written; $words says why.
takes() {
  words=$(dd if=/dev/zero of="$folder/.takes-writes" bs=64k count=$((16 * $1)) 2>&1)
  fits=$?
  words=${words#dd: } words=${words%%"$NEWLINE"*}
  rm -f "$folder/.takes-writes"
  return "$fits"
}

# PID; ends the process and itself where the volume refuses writes twice in a row.
watch() {
  trap '[ -z "$sleeping" ] || kill "$sleeping"; exit 0' TERM
  refusals=0
  while [ "$refusals" -lt 2 ]; do
    pause
    if takes "$GO_ON"; then refusals=0; else : $((refusals += 1)); fi
  done
  say "takes no more writes; what reads it is stopped until $START MiB fit: $words"
  kill "$1"
  exit "$FULL"
}

# Ends the tool and the waiting. Twice: what reaches a tool between its fork and its exec is lost.
stop() {
  stopped=yes
  kill $tool $sleeping 2>/dev/null
  [ -z "$tool" ] || { sleep 1; kill "$tool"; } 2>/dev/null &
}

trap stop TERM INT
while [ -z "$stopped" ]; do
  waited=''
  until [ -n "$stopped" ] || takes "$START"; do
    [ -n "$waited" ] || say "has no room for $START MiB; nothing starts until it has: $words"
    waited=yes
    [ -n "$stopped" ] || pause
  done
  [ -z "$stopped" ] || exit 0
  [ -z "$waited" ] || say "has room again"
  "$@" & tool=$!
  # The signal came before the tool had a name.
  [ -z "$stopped" ] || stop
  watch "$tool" & watcher=$!
  wait "$tool"; status=$?
  # A signal ended the waiting, and was handed on.
  while kill -0 "$tool" 2>/dev/null; do wait "$tool"; status=$?; done
  tool=''
  kill "$watcher" 2>/dev/null
  # Where the signal came before the watcher's own trap, the shell would say "Terminated".
  wait "$watcher" 2>/dev/null
  [ $? = "$FULL" ] || exit "$status"
done
exit "$status"
