"""Bare hosts beside the live stack: exporters put there by the playbook, watched by the stack's Prometheus."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from operate import hosts, tools
from tests.hosts.fleet import SUBNET, Fleet, Host
from tests.running import succeeded

# The stack's inventory, as Pulumi.test.yaml names it, is this fleet's.
NAME = "stack"
SILENT, FULL, LEAVING = "match-1", "db-1", "wallet-1"
DATA = "/srv/data"
DISK_BYTES = 64 * 1024 * 1024


def _host(name: str, number: int, group: str, release: str, team: str, *docker: str) -> Host:
    # Prometheus' packets come from the network's gateway: Docker translates them between its networks.
    limited = {"node_exporter_allowed_from": [f"{SUBNET}.1"], "node_exporter_team": team}
    return Host(name, number, group, release, limited, docker)


@contextmanager
def fleet(kept: bool) -> Iterator[Fleet]:
    """Three hosts, one with a disk of its own; `kept` ones stay, and those of an earlier run are taken as they are."""
    folder = Fleet(NAME, []).folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as undoing:
        try:
            device = _disk(folder / "disk.img", undoing)
            _let_containers_reach_them(undoing)
            made = Fleet(
                NAME,
                (
                    _host(SILENT, 31, "matching_engines", "bookworm", "trading"),
                    _host(FULL, 32, "databases", "trixie", "database", f"--device={device}"),
                    _host(LEAVING, 33, "wallet_hosts", "bullseye", "finance"),
                ),
            )
            undoing.callback(made.stop)
            if not (kept and made.runs()):
                made.start()
                shutil.rmtree(made.secrets, ignore_errors=True)
                made.on(FULL, f"mkdir -p {DATA} && mount {device} {DATA}")
                hosts.build(tools.speak, ("amd64",))
                succeeded(made.play("node-exporters", "-e", "batch=3"))
            yield made
        finally:
            if kept:
                undoing.pop_all()


def _disk(image: Path, undoing: ExitStack) -> str:
    """A block device with an empty file system, which this machine itself does not mount."""
    before = subprocess.run(["losetup", "-j", image], capture_output=True, text=True, check=True).stdout
    if before:
        return before.partition(":")[0]
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    shown = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True).stdout
    device = shown.strip()
    undoing.callback(subprocess.run, ["losetup", "--detach", device], check=False)
    return device


def _let_containers_reach_them(undoing: ExitStack) -> None:
    """Docker keeps its networks apart; hosts in a data centre are not."""
    for side in ("-s", "-d"):
        rule = ("DOCKER-USER", side, f"{SUBNET}.0/24", "-j", "ACCEPT")
        if subprocess.run(["iptables", "-C", *rule], capture_output=True, check=False).returncode:
            subprocess.run(["iptables", "-I", *rule], check=True)
        undoing.callback(subprocess.run, ["iptables", "-D", *rule], capture_output=True, check=False)
