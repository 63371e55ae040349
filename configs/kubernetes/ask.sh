#!/bin/sh
# One HTTP request to a tool of this pod: sh ask.sh METHOD PORT PATH
#
# Prints the body; ends with 0 for a status 2xx, else with 1 and the status line on stderr. It runs in the
# tool's own image, whose busybox has no HTTP client that reads a password from a file: it would stand among
# the arguments, which every process of the pod can read. Here it only passes through builtins and pipes.
#
# AUTHORIZATION_FILE  holds base64 of user:password; without the file the request carries no credentials
# ANSWER_SECONDS      silence after which the request is given up
#
# The sending side closes after the request, which cancels a handler that minds its client's departure: good
# for pages, probes and reloads, not for long queries.
# shellcheck disable=SC3045 # busybox's `read` has -t
set -u

method=$1 port=$2 path=$3 seconds=${ANSWER_SECONDS:-4}
cr=$(printf '\r')

request() {
  printf '%s %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\nContent-Length: 0\r\n' "$method" "$path" "$port"
  # printf is a builtin: what it prints is no process's argument.
  [ ! -s "${AUTHORIZATION_FILE:-}" ] || printf 'Authorization: Basic %s\r\n' "$(cat "$AUTHORIZATION_FILE")"
  printf '\r\n'
}

# nc says its process id first, so that it can be ended: its own -w bounds the connecting only, and the
# applet `timeout` leaves an orphan that a tool as process 1 of its container never reaps.
# shellcheck disable=SC2016 # the inner shell expands it
request 2>/dev/null | sh -c 'echo $$; exec nc 127.0.0.1 "$0"' "$port" 2>/dev/null | {
  read -r nc
  IFS= read -r -t "$seconds" status || status=
  if [ -n "$status" ]; then
    while IFS= read -r -t "$seconds" line && [ "$line" != "$cr" ]; do :; done
    while IFS= read -r -t "$seconds" line; do printf '%s\n' "$line"; done
    printf %s "$line"
  fi
  kill "$nc" 2>/dev/null
  case $status in
    'HTTP/1.'?' 2'*) exit 0 ;;
    '') echo "nothing answered $method $path on 127.0.0.1:$port within $seconds s" >&2 ;;
    *) printf '%s\n' "${status%"$cr"}" >&2 ;;
  esac
  exit 1
}
