#!/usr/bin/env bash
# Runs the Pulumi engine on a stack: engine.sh preview|drift|up STACK
#
# From the environment, all optional: PULUMI_BACKEND_URL and PULUMI_ACCESS_TOKEN, without which the state is the local
# one of `make up`; PULUMI_CONFIG_PASSPHRASE; KUBECONFIG_CONTENT, the text of a kubeconfig.
# Exit status 7 of `drift`: what runs is not what the program declares.
set -euo pipefail
cd "$(dirname "$0")/../.."
command=$1 stack=$2

# A secret that is not set arrives as an empty variable, which the engine would take for a value.
[[ -n ${PULUMI_ACCESS_TOKEN:-} ]] || unset PULUMI_ACCESS_TOKEN
if [[ -z ${PULUMI_BACKEND_URL:-} ]]; then
  if [[ -n ${PULUMI_ACCESS_TOKEN:-} ]]; then
    PULUMI_BACKEND_URL=https://api.pulumi.com
  else
    mkdir -p -m 700 .pulumi-state
    PULUMI_BACKEND_URL=file://$PWD/.pulumi-state
  fi
fi
export PULUMI_BACKEND_URL PULUMI_SKIP_UPDATE_CHECK=1

if [[ -n ${KUBECONFIG_CONTENT:-} ]]; then
  KUBECONFIG=$(mktemp) # of mode 0600
  export KUBECONFIG
  trap 'rm -f "$KUBECONFIG"' EXIT
  printf '%s\n' "$KUBECONFIG_CONTENT" >"$KUBECONFIG"
fi
unset KUBECONFIG_CONTENT

# The policy pack is run by the python3 of the PATH.
PATH=$PWD/.venv/bin:$PATH
look=(pulumi preview --stack "$stack" --diff --non-interactive --suppress-progress --color never)
case $command in
  preview) "${look[@]}" --policy-pack policies ;;
  drift) "${look[@]}" --refresh --expect-no-changes ;;
  up)
    make policies STACK="$stack"
    # `pulumi up --stack STACK`, and the wait until everything is well.
    make up STACK="$stack"
    ;;
  *) echo "error: engine.sh knows no command '$command'; it knows preview, drift and up." >&2; exit 2 ;;
esac
