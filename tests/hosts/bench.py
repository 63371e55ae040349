"""How long the playbook of the node exporters takes on many hosts, and what it costs the controller."""

import argparse
import configparser
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.errors import InputError
from infra.settings import ROOT
from infra.workload import MIB
from operate import engine, tools
from operate.progress import step
from tests.hosts.fleet import Fleet, Host

GROUPS = ("matching_engines", "databases", "blockchain_nodes", "wallet_hosts")
FIRST_NUMBER = 101
MOST_HOSTS = 254 - FIRST_NUMBER + 1
# All containers of root count as one user here. A systemd holds 5 of them, its services 2 more at most; the rest is for
# whatever else runs on this machine.
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_OF_A_HOST, INSTANCES_OF_OTHERS = 8, 256
BATCHES = ("playbook", "at-once")
# What the recap of Ansible says of one host.
_RECAP = re.compile(r"^(\S+)\s+: (ok=\d+ .*)$", re.MULTILINE)


class RunError(Exception):
    """A run after which a host is not what it should be; the message names the hosts."""


@dataclass(frozen=True)
class Run:
    """What one run of the playbook took. Memory is that of its largest process; each fork is one more."""

    wall: float
    cpu: float
    memory: float


@dataclass
class Figures:
    """What was measured, in the order it is printed in."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str) -> None:
        """One more line."""
        self.rows.append((name, value, unit))

    def show(self, title: str) -> None:
        """Print all of them, if there are any."""
        if self.rows:
            print(f"\n{title}")
        for name, value, unit in self.rows:
            print(f"{name:40} {value:9.2f} {unit}".rstrip())


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `bench`."""
    parser.add_argument("--hosts", type=int, default=50, metavar="N", help=f"how many hosts, 1 to {MOST_HOSTS} (50)")
    parser.add_argument(
        "--forks", type=int, metavar="N", help="how many of them beside each other (as ansible.cfg says)"
    )
    parser.add_argument(
        "--only",
        choices=BATCHES,
        help="measure one way: in the batches of the playbook, or all hosts at once; both unless given",
    )


def run(options: argparse.Namespace) -> int:
    """Start hosts as containers, run the playbook on them twice, print what it took, and remove the hosts."""
    forks = _forks_of_the_project() if options.forks is None else options.forks
    _refuse(options.hosts, forks)
    engine.ensure()
    fleet = Fleet("bench", hosts(options.hosts))
    figures = Figures()
    ways = [options.only] if options.only else list(BATCHES)
    try:
        with _terminated_like_interrupted(), tools.lock("hosts-bench"), _room_for(options.hosts), _removed(fleet):
            for way in ways:
                _measure(fleet, way, forks, figures)
    except RunError as error:
        print(f"failed: {error}", flush=True)
        return 1
    finally:
        # What was measured before it failed or was stopped took long enough to be told.
        figures.show(
            f"node-exporters.yml on {options.hosts} hosts: {forks} forks, {os.cpu_count()} cores for all of it"
        )
    return 0


def hosts(count: int) -> list[Host]:
    """So many hosts, spread over the groups."""
    return [Host(f"host-{place + 1:03}", FIRST_NUMBER + place, GROUPS[place % len(GROUPS)]) for place in range(count)]


def _measure(fleet: Fleet, way: str, forks: int, figures: Figures) -> None:
    """Both runs on hosts that are new."""
    count = len(fleet.hosts)
    at_once = way == "at-once"
    name, batch = ("all at once", (f"--extra-vars=batch={count}",)) if at_once else ("in batches", ())
    start = time.monotonic()
    with step(f"{count} hosts start"):
        fleet.start()
    figures.add(f"{name}: start of the hosts", time.monotonic() - start, "s")
    for what, repeated in (("first run", False), ("second run", True)):
        with step(f"{what}, {name}, {forks} forks"):
            took = _play(fleet, f"{way}-{what.replace(' ', '-')}.log", f"--forks={forks}", *batch, unchanged=repeated)
        figures.add(f"{name}: {what}", took.wall, "s")
        figures.add(f"{name}: {what}, each host", took.wall / count, "s")
        figures.add(f"{name}: {what}, CPU of Ansible", took.cpu, "s")
        figures.add(f"{name}: {what}, largest process", took.memory / MIB, "MiB")


def _play(fleet: Fleet, log_name: str, *arguments: str, unchanged: bool) -> Run:
    """Run the playbook with its output in a file. Raises RunError when a host failed, or changed where none should."""
    log = fleet.folder / log_name
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "--inventory", str(fleet.inventory)]
    start = time.monotonic()
    with log.open("w") as sink:
        process = subprocess.Popen(
            [*command, "playbooks/node-exporters.yml", *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            # Of this process and of those it waited for, and of nothing else.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    wall = time.monotonic() - start
    complaint = verdict(log.read_text(), list(fleet.hosts), process.returncode, unchanged=unchanged)
    if complaint:
        raise RunError(f"{complaint}; {log.relative_to(ROOT)} has the whole run")
    return Run(wall, usage.ru_utime + usage.ru_stime, _bytes(usage))


def verdict(output: str, names: list[str], code: int, *, unchanged: bool) -> str:
    """Which hosts are not what they should be after a run, and why; empty when all are."""
    recap = {name: dict(part.split("=") for part in counts.split()) for name, counts in _RECAP.findall(output)}
    bad: dict[str, list[str]] = {}
    for name in names:
        counts = recap.get(name)
        if counts is None:
            bad.setdefault("not tried", []).append(name)
        elif counts["unreachable"] != "0":
            bad.setdefault("unreachable", []).append(name)
        elif counts["failed"] != "0" or counts.get("rescued", "0") != "0":
            bad.setdefault("failed", []).append(name)
        elif unchanged and counts["changed"] != "0":
            bad.setdefault("changed again", []).append(name)
    if bad:
        return "; ".join(f"{what}: {', '.join(which)}" for what, which in bad.items())
    return f"ansible-playbook ended with status {code}" if code else ""


def _bytes(usage: resource.struct_rusage) -> float:
    # Linux counts it in KiB.
    return usage.ru_maxrss * 1024


def _forks_of_the_project() -> int:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "ansible.cfg")
    # Ansible's own when nothing is said.
    return int(os.environ.get("ANSIBLE_FORKS") or settings["defaults"].get("forks") or 5)


def _refuse(count: int, forks: int) -> None:
    """Raise InputError for what cannot be measured here."""
    if not 1 <= count <= MOST_HOSTS:
        raise InputError(
            f"--hosts is {count}; the network of the tests has room for 1 to {MOST_HOSTS}, give one of these."
        )
    if forks < 1:
        raise InputError(f"--forks is {forks}; give 1 or more.")
    if os.geteuid() != 0:
        raise InputError(
            "the hosts are containers with a systemd of their own, which only root can start; run it as root."
        )


@contextmanager
def _room_for(count: int) -> Iterator[None]:
    """Let so many systemds watch files while they run. Raises InputError where that cannot be.

    The kernel's 128 for a user are enough for about 25 hosts; the others would not come up.
    """
    had = int(INSTANCES.read_text())
    needed = INSTANCES_OF_OTHERS + count * INSTANCES_OF_A_HOST
    if had >= needed:
        yield
        return
    try:
        INSTANCES.write_text(str(needed))
    except OSError as error:
        raise InputError(
            f"fs.inotify.max_user_instances is {had}, {count} hosts need {needed}, and it cannot be set here "
            f"({error.strerror}); run `sysctl fs.inotify.max_user_instances={needed}`, or take fewer hosts."
        ) from None
    try:
        yield
    finally:
        # Unless somebody has set another meanwhile.
        if int(INSTANCES.read_text()) == needed:
            INSTANCES.write_text(str(had))


@contextmanager
def _removed(fleet: Fleet) -> Iterator[None]:
    """Whatever happens, the hosts go."""
    try:
        yield
    finally:
        with step(f"{len(fleet.hosts)} hosts are removed"):
            fleet.stop()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with everything removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
