"""The room of the hosts: real systemd hosts, started once, reached over SSH, and removed at the end."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from operate import hosts, tools
from tests.hosts.fleet import Fleet, Host
from tests.hosts.scene import GATEWAY, Room, picture
from tests.running import after_starts

KEPT = bool(os.environ.get("KEEP"))
# One of each release, each with another firewall; the exporter's own filter is the only one on the third.
UFW, FIREWALLD, BULLSEYE = MAIN = ("ufw", "firewalld", "bullseye")
# For what goes wrong at a first install.
FRESH = ("fresh-1", "fresh-2", "fresh-3")
# A host that runs something else as its process 1.
PLAIN = "plain"
SSHD = ("sh", "-c", "ssh-keygen -A && mkdir -p /run/sshd && exec /usr/sbin/sshd -D")


def _limited(**more: str) -> dict[str, Any]:
    return {"node_exporter_allowed_from": [GATEWAY], **more}


HOSTS = (
    Host(UFW, 11, "matching_engines", variables=_limited(node_exporter_firewall="ufw")),
    Host(FIREWALLD, 12, "blockchain_nodes", "trixie", _limited(node_exporter_firewall="firewalld")),
    Host(BULLSEYE, 13, "databases", "bullseye", _limited()),
    *(Host(name, 14 + place, "wallet_hosts") for place, name in enumerate(FRESH)),
    Host(PLAIN, 17, "wallet_hosts", init=SSHD),
)


@pytest.fixture(scope="session")
def room() -> Iterator[Room]:
    """Bare hosts, whose firewalls let nobody in but SSH."""
    after_starts()
    hosts.build(tools.speak, ("amd64",))
    # What they do may take its time: the live stacks beside them have alerts to deliver.
    fleet = Fleet("tests", HOSTS, shares=256)
    made = Room(fleet)
    # The names and addresses of the hosts are the same for every checkout on this machine.
    with tools.lock("hosts-tests"):
        try:
            fleet.start()
            shutil.rmtree(fleet.secrets, ignore_errors=True)
            made.on(UFW, "ufw allow 22/tcp && ufw --force enable && systemctl enable --now ufw")
            made.on(FIREWALLD, "systemctl enable --now firewalld && firewall-cmd --state")
            yield made
        finally:
            if not KEPT:
                fleet.stop()


@pytest.fixture(scope="session")
def installed(room: Room) -> Room:
    """The same hosts with the exporter on the three main ones, which the story of the first file does otherwise."""
    if not room.before:
        room.before.update({name: picture(room, name) for name in MAIN})
        done = room.install("-vvv", "--diff", "--limit", ",".join(MAIN))
        assert done.code == 0, done.text[-3000:]
        room.learn_secrets(*MAIN)
    return room
