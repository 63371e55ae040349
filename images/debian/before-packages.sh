#!/bin/sh
# $1: the root file system, before the packages are unpacked.
set -eu
mkdir -p "$1/etc/postgresql-common"
# The package would otherwise make a cluster of its own, 40 MB that no image uses.
echo 'create_main_cluster = false' >"$1/etc/postgresql-common/createcluster.conf"
