#!/usr/bin/env bash
# Runs command lines as root on Debian with a Docker engine of its own: debian.sh 'make lint' ... The tests need what
# only Debian has, and put hosts and a cluster on the machine they run on.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$(python3 -c 'from infra.versions import PYTHON_BASE; print(PYTHON_BASE)')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mycrypto-monitoring
mkdir -p "$cache"
# Another root's files would be of no use to the step that keeps the cache.
trap 'sudo chown -R "$(id -u):$(id -g)" "$cache" .' EXIT

docker run --rm --privileged --cgroupns=host --volume /var/lib/docker --volume /var/lib/containerd \
  --volume "$PWD:/monitoring" --volume "$cache:/root/.cache/mycrypto-monitoring" --workdir /monitoring \
  --env CI=true "$image" bash -euc '
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq curl git iproute2 make procps >/dev/null
    git config --global --add safe.directory /monitoring
    for line; do bash -c "$line"; done
  ' bash "$@"
