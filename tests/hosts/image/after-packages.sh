#!/bin/sh
# $1: the root file system, with all packages configured.
set -eu
chroot "$1" useradd --create-home --shell /bin/bash deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/deploy"
chmod 0440 "$1/etc/sudoers.d/deploy"
# Keys that the package made would be the same on every host; each makes its own when it starts.
rm -f "$1"/etc/ssh/ssh_host_*
mkdir -p "$1/etc/systemd/system/ssh.service.d"
printf '[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n' \
  >"$1/etc/systemd/system/ssh.service.d/keys.conf"
# Closes what Docker opens for it, and ssh's own service is asked for instead.
rm -f "$1/etc/systemd/system/sockets.target.wants/ssh.socket"
chroot "$1" systemctl mask systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
  systemd-logind.service getty.target console-getty.service 2>/dev/null
chroot "$1" systemctl disable ufw.service firewalld.service 2>/dev/null || true
: >"$1/etc/machine-id"
rm -rf "$1/var/log/apt" "$1/var/cache/debconf"/*-old "$1/var/lib/apt/lists"/*
