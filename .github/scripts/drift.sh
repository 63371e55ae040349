#!/usr/bin/env bash
# Looks whether a stack has drifted: drift.sh STACK FILE. FILE gets the engine's words, the step's output `state` is
# `same` or `drift`. Fails where the engine could not look.
set -euo pipefail

status=0
"$(dirname "$0")/engine.sh" drift "$1" |& tee "$2" || status=$?
case $status in
  0) state=same ;;
  7) state=drift ;;
  *) exit "$status" ;;
esac
echo "state=$state" >>"$GITHUB_OUTPUT"
