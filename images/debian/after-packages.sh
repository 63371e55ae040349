#!/bin/sh
# $1: the root file system, with all packages configured.
set -eu
# Secrets that the packages made while they were installed would be the same in every container.
rm -rf "$1/var/lib/rabbitmq/.erlang.cookie" "$1/etc/ssl/private"/* "$1/etc/ssl/certs/ssl-cert-snakeoil.pem"
rm -rf "$1/var/lib/rabbitmq/mnesia" "$1/var/log"/*.log "$1/var/log/apt" "$1/var/cache/debconf"/*-old
: >"$1/etc/machine-id"
ln -sf busybox "$1/bin/wget"
