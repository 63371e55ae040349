"""A run that is killed at any point: the next one ends right, and the one after it changes nothing.

`HOSTS=full` takes every task of the role as such a point, on a bare host and on one that changes; the short form some.
"""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.hosts import ROLE
from infra.settings import ROOT
from tests.conftest import Figure
from tests.hosts import releases
from tests.hosts.conftest import BULLSEYE, FIREWALLD, FRESH, MAIN, UFW
from tests.hosts.fleet import ENVIRON, SUBNET
from tests.hosts.releases import VERSION
from tests.hosts.scene import ALL, GATEWAY, Room

FULL = os.environ.get("HOSTS") == "full"
Round = tuple[tuple[str, tuple[str, ...]], ...]
# Hosts, and the points at which run after run is killed there. The first was never installed, and has what a failed
# install left; the last has its new unit then, and the process of the old one.
SHORT: Round = (
    (
        FRESH[0],
        (
            "Copy the file from the controller",
            "Keep the configuration that was verified",
        ),
    ),
    (UFW, ("Start the service anew", "Keep the name of the release that was verified")),
    (FIREWALLD, ("Point at the release",)),
)
PARTS = ("preflight", "install", "configure", "service", "verify", "remember")


def tasks() -> list[str]:
    """Every task of the role that a run comes to, in its order."""

    def names(entries: list[dict[str, Any]]) -> list[str]:
        return [name for entry in entries for name in (names(entry["block"]) if "block" in entry else [entry["name"]])]

    return [name for part in PARTS for name in names(yaml.safe_load((ROOT / ROLE / f"tasks/{part}.yml").read_text()))]


def rounds() -> list[Round]:
    """Short, or each task once on a host that is bare and once on one that changes."""
    if not FULL:
        return [SHORT]
    every = tasks()
    threes = [every[place : place + 3] for place in range(0, len(every), 3)]
    return [
        tuple((host, (point,)) for hosts in (FRESH, MAIN) for host, point in zip(hosts, three, strict=False))
        for three in threes
    ]


def test_points_are_tasks_of_the_role() -> None:
    every = tasks()
    assert {point for _, points in SHORT for point in points} <= set(every)
    unit, point, restart = (every.index(name) for name in ("Write the unit", SHORT[2][1][0], "Start the service anew"))
    assert unit < point < restart


def descendants(pid: int) -> list[int]:
    """The process and all it started; Ansible's forks have process groups of their own."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def killed(room: Room, name: str, point: str) -> str:
    """Run the playbook on a host and kill it, with all its forks, when it comes to a task."""
    process = subprocess.Popen(
        room.fleet.command("node-exporters", *ALL, "--diff", "--limit", name),
        cwd=ROOT,
        env={**os.environ, **ENVIRON, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(f"TASK [node_exporter : {point}]"):
            break
    # Stopped first, so that nothing is started while it is looked for.
    process.send_signal(signal.SIGSTOP)
    for pid in descendants(process.pid)[::-1]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    # Whoever still holds its output is not waited for.
    process.stdout.close()
    text = "".join(said)
    assert process.wait() == -signal.SIGKILL, f"{name} did not come to {point!r}: {text[-3000:]}"
    return text


def change(room: Room, turn: int) -> dict[str, int]:
    """Have the inventory say something else of each host that serves; their new ports."""
    more = ["processes"] if turn % 2 == 0 else []
    ports = {UFW: 9101 + turn, FIREWALLD: 9101 + turn, BULLSEYE: 9100}
    # From the mirror's archive to the file that the role itself has: another release.
    room.set(UFW, port=ports[UFW], collectors=more, **releases.DEFAULT)
    room.set(FIREWALLD, port=ports[FIREWALLD], allowed_from=[GATEWAY, f"{SUBNET}.{96 + turn}"])
    room.set(BULLSEYE, collectors=more)
    return ports


@pytest.mark.parametrize("turn", range(len(rounds())))
def test_run_after_a_killed_one_ends_right(installed: Room, turn: int, figure: Figure) -> None:
    room, killings = installed, rounds()[turn]
    hosts = [name for name, _ in killings]
    if FULL:
        room.fleet.renew(FRESH)
    changing = [name for name in hosts if name in MAIN]
    old_ports = {name: room.fleet.hosts[name].variables.get("node_exporter_port", 9100) for name in changing}
    before = {name: room.service(name) for name in changing}
    ports = {**change(room, turn), **dict.fromkeys(FRESH, 9100)}
    with ThreadPoolExecutor(len(hosts)) as pool:
        room.said += pool.map(
            lambda killing: "".join(killed(room, killing[0], point) for point in killing[1]), killings
        )
    second = room.install("--diff", "--limit", ",".join(hosts))
    assert second.code == 0, second.text[-3000:]
    assert set(second.outcomes.values()) <= {"installed", "upgraded", "changed", "unchanged"}
    after = {name: room.service(name) for name in hosts}
    for name, service in after.items():
        assert (service.active, service.enabled) == (True, True), name
        # The process was started from what is written now.
        assert service.running == service.written != "", name
        release = room.on(name, "readlink /opt/node_exporter/current").strip()
        assert service.program == f"/opt/node_exporter/{release}/node_exporter", name
        assert room.version(name, ports[name]) == VERSION
        assert room.get(name, password=None, port=ports[name]).status_code == 401
        halves = "find /opt/node_exporter /etc/node_exporter /var/lib/node_exporter /etc/systemd/system"
        assert room.on(name, f"{halves} -name '*.partial*' -o -name '.ansible*' -o -name '*.tmp*'") == ""
        if name in changing:
            assert service.pid != before[name].pid, name
            assert service.running != before[name].running, name
    for name in {UFW, FIREWALLD} & {*changing}:
        rules = room.firewall(name)
        assert str(ports[name]) in rules
        assert str(old_ports[name]) not in rules
    room.learn_secrets(*hosts)
    third = room.install("--limit", ",".join(hosts))
    assert third.code == 0, third.text[-3000:]
    assert third.changed == dict.fromkeys(hosts, 0)
    assert third.outcomes == dict.fromkeys(hosts, "unchanged")
    assert {name: room.service(name) for name in hosts} == after
    points = "; ".join(f"{name}: {', '.join(points)}" for name, points in killings)
    figure(f"hosts: right after {second.seconds:.0f} s, no change in {third.seconds:.0f} s, once killed at {points}")
