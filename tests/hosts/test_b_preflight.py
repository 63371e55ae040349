"""What is wrong before anything is done: one sentence each, and no host is changed. Also which hosts a run is for."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import certificates, releases
from tests.hosts.conftest import BULLSEYE, FIREWALLD, FRESH, MAIN, PLAIN, UFW
from tests.hosts.releases import VERSION
from tests.hosts.scene import Room, Run, differences, picture, write_inventory

OLD_SYSTEM, SKEWED, FULL = FRESH
NOBODY = "10.89.64.29"
PROGRAM = releases.name(VERSION)
SKEW = "/usr/local/lib/skew"
PREPARED = {
    OLD_SYSTEM: """
      cp /usr/lib/os-release /etc/debian_version /root
      sed -i 's/^VERSION_ID=.*/VERSION_ID="10"/; s/12 (bookworm)/10 (buster)/; s/bookworm/buster/' /usr/lib/os-release
      echo 10.13 > /etc/debian_version
    """,
    # A clock of its own for the Python that Ansible is told to use.
    SKEWED: f"""
      mkdir {SKEW}
      printf 'import time\\nreal = time.time\\ntime.time = lambda: real() + 7200\\n' > {SKEW}/sitecustomize.py
      printf '#!/bin/sh\\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH={SKEW} exec /usr/bin/python3 "$@"\\n' > {SKEW}/python
      chmod 0755 {SKEW}/python
      systemd-run --quiet --unit=squatter python3 -m http.server 9999
      until ss -Hltn | grep -q :9999; do sleep 0.1; done
    """,
    FULL: "mount -t tmpfs -o size=1m full /opt && head -c 900K /dev/zero > /opt/data",
    PLAIN: "true",
}
UNDONE = {
    OLD_SYSTEM: "mv /root/os-release /usr/lib/os-release && mv /root/debian_version /etc/debian_version",
    SKEWED: f"systemctl stop squatter && rm -r {SKEW}",
    FULL: "umount /opt",
}
# What the sentence of each host says: what is wrong, and what to do.
SENTENCES = {
    OLD_SYSTEM: ("Debian 10", "is not supported", "take the host out of the inventory or upgrade it"),
    PLAIN: ("systemd does not run here (process 1 is sshd)", "take the host out of the inventory"),
    FULL: ("/opt", "free and needs 64.00 MB", "make room on its file system"),
    "clock": (r"/the clock is 7[12]\d\d s ahead of the controller's", "set it, for example by starting chrony"),
    "address": (f"node_exporter_address is {NOBODY}, which is none of this host's addresses", "set it to the address"),
    "port": (r"/port 9999 is taken by python3 \(process \d+\)", "stop that, or set node_exporter_port to another"),
    "unpinned": ("no SHA-256 is pinned for node_exporter-8.8.8.linux-amd64", "add one to node_exporter_checksums"),
    "missing": (f"/nowhere/{PROGRAM} is not there", "build it with `make node-exporter`, or set node_exporter_source"),
    "corrupt": (
        PROGRAM,
        r"/has SHA-256 [0-9a-f]{64}, and [0-9a-f]{64} is pinned",
        "do not use it, and bring the right",
    ),
    "unknown": ("unknown setting node_exporter_prot", "correct its spelling or remove it"),
    "type": ("node_exporter_port", "'high'", "int"),
    "key": (r"/other\.key is not the key of \S+own\.crt", "give the one that belongs to it"),
    "names": (r"/other\.crt is not for 10\.89\.64\.13", "the address that Prometheus asks", "give one that names it"),
}


def faults(folder: Path) -> dict[str, dict[str, Any]]:
    """What the inventory says wrong, of hosts that are well: by a name of its own for each fault."""
    (folder / PROGRAM).write_bytes(releases.flipped(releases.program()))
    own, other = certificates.made(None, "10.89.64.13", days=90), certificates.made(None, NOBODY, days=90)
    for name, pair in (("own", own), ("other", other)):
        (folder / f"{name}.crt").write_bytes(pair.certificate)
        (folder / f"{name}.key").write_bytes(pair.key)
    pairs = {
        key: {
            "node_exporter_certificate": f"{folder}/{first}.crt",
            "node_exporter_certificate_key": f"{folder}/other.key",
        }
        for key, first in (("key", "own"), ("names", "other"))
    }
    return {
        "clock": {"ansible_python_interpreter": f"{SKEW}/python"},
        "address": {"node_exporter_address": NOBODY},
        "port": {"node_exporter_port": 9999},
        "unpinned": {"node_exporter_version": "8.8.8"},
        "missing": {"node_exporter_source": "/nowhere"},
        "corrupt": {"node_exporter_source": str(folder)},
        "unknown": {"node_exporter_prot": 9100},
        "type": {"node_exporter_port": "high"},
        **pairs,
    }


@pytest.fixture(scope="module")
def refused(installed: Room, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """One run with every fault, and in what the hosts differ after it."""
    room, folder = installed, tmp_path_factory.mktemp("faults")
    hosts = faults(folder)
    for name, said in hosts.items():
        on_fresh = name in ("clock", "address", "port", "unpinned")
        said["ansible_host"] = room.address(SKEWED if on_fresh else BULLSEYE)
    inventory = write_inventory(folder / "faulty.yml", "faulty", hosts)
    for name, script in PREPARED.items():
        room.on(name, script)
    # Of the one that is installed too: it serves on as it is.
    names = (*PREPARED, BULLSEYE, UFW)
    before = {name: (picture(room, name), pids(room, name)) for name in names}
    limit = ",".join(["faulty", UFW, *(name for name in PREPARED if name != SKEWED)])
    run = room.install("--inventory", str(inventory), "--limit", limit)
    after = {name: (picture(room, name), pids(room, name)) for name in names}
    changes = [f"{name}: {change}" for name in names for change in differences(before[name][0], after[name][0])] + [
        name for name in names if before[name][1] != after[name][1]
    ]
    for name, script in UNDONE.items():
        room.on(name, script)
    return run, changes


def pids(room: Room, name: str) -> str:
    """The exporter's processes of a host."""
    return room.fleet.on(name, "pgrep node_exporter", check=False).stdout


@pytest.mark.parametrize("host", SENTENCES)
def test_one_sentence_says_what_is_wrong_and_what_to_do(refused: tuple[Run, list[str]], host: str) -> None:
    run, _ = refused
    assert run.outcomes[host] == "failed"
    reason = run.reasons[host]
    for phrase in SENTENCES[host]:
        assert re.search(phrase[1:] if phrase.startswith("/") else re.escape(phrase), reason), reason
    assert not re.search(r"[.!?] +[A-Z]", reason), f"more than one sentence: {reason}"
    assert "no_log" not in reason


def test_nothing_is_changed_where_something_is_wrong(refused: tuple[Run, list[str]]) -> None:
    run, changes = refused
    assert run.code != 0
    # One is well, and nothing is left to do there after its upgrade.
    assert run.outcomes == {UFW: "unchanged", **dict.fromkeys(SENTENCES, "failed")}
    assert run.changed == dict.fromkeys((UFW, *SENTENCES), 0)
    assert [change for change in changes if "/textfile/playbook.prom" not in change] == []


def test_first_failure_stops_the_rest_where_no_failure_is_allowed(installed: Room) -> None:
    room = installed
    room.set(UFW, prot=9100)
    run = room.play("node-exporters", "-e", "batch=1", "-e", "max_fail=0", "--limit", ",".join(MAIN))
    room.set(UFW, prot=None)
    assert run.code != 0
    assert run.outcomes == {UFW: "failed", FIREWALLD: "not done", BULLSEYE: "not done"}
    assert "the run ended before" in run.reasons[FIREWALLD]
    # No task came to the others.
    assert list(run.changed) == [UFW]


def test_one_host_is_verified_and_nothing_else_done(installed: Room) -> None:
    room = installed
    before = room.service(BULLSEYE)
    run = room.play("node-exporters", "--limit", BULLSEYE, "--tags", "verify")
    assert run.code == 0, run.text[-3000:]
    assert run.changed == {BULLSEYE: 0}
    assert run.outcomes == {BULLSEYE: "unchanged"}
    assert room.service(BULLSEYE) == before
    tasks = re.findall(r"^TASK \[node_exporter : (.*)\]", run.text, re.MULTILINE)
    assert "Ask the exporter with the password, without it, and without TLS" in tasks
    assert not {"Create the user", "Write the unit", "Start the service anew"} & set(tasks)
    assert re.search(r"\d{3,} series by TLS with the password, none without", run.text)
