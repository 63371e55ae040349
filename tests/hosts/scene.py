"""What the tests of the hosts share: runs of the playbooks, and what a host, its exporter and its firewall say."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.hosts.fleet import SUBNET, Fleet

GATEWAY = f"{SUBNET}.1"
# All hosts at once, and each is told of, however many fail.
ALL = ("-e", "batch=20", "-e", "max_fail=100")
OUTCOME = re.compile(
    r"^  (unchanged|installed|upgraded|changed|removed|not done|unreachable|failed) +(\S.*)$", re.MULTILINE
)
RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a run said and how long it took."""

    code: int
    text: str
    seconds: float
    outcomes: dict[str, str]
    reasons: dict[str, str]
    changed: dict[str, int]


def parsed(done: subprocess.CompletedProcess[str], seconds: float = 0) -> Run:
    """What the recap and the closing summary say of each host."""
    text = done.stdout + done.stderr
    outcomes, reasons = {}, {}
    summary = done.stdout.rpartition("\nnode exporters on ")[2]
    for outcome, rest in OUTCOME.findall(summary):
        told = [rest] if outcome in ("not done", "unreachable", "failed") else rest.split(", ")
        for item in told:
            name, _, reason = item.partition(" ")
            outcomes[name.removesuffix(":")], reasons[name.removesuffix(":")] = outcome, reason
    changed = {name: int(count) for name, count in RECAP.findall(done.stdout)}
    return Run(done.returncode, text, seconds, outcomes, reasons, changed)


@dataclass
class Service:
    """The exporter's unit on a host."""

    active: bool
    enabled: bool
    pid: int
    user: str
    program: str
    written: str
    running: str


@dataclass
class Room:
    """The hosts, what every run has said so far, and what no run may say."""

    fleet: Fleet
    said: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    before: dict[str, dict[str, str]] = field(default_factory=dict)

    def play(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook."""
        start = time.monotonic()
        done = self.fleet.play(playbook, *arguments)
        run = parsed(done, time.monotonic() - start)
        self.said.append(run.text)
        return run

    def install(self, *arguments: str) -> Run:
        """Run node-exporters.yml on all hosts at once."""
        return self.play("node-exporters", *ALL, *arguments)

    def set(self, name: str, **variables: Any) -> None:
        """Change what the inventory says of a host; None takes it out."""
        said = self.fleet.hosts[name].variables
        said.update({f"node_exporter_{key}": value for key, value in variables.items()})
        for key in [key for key, value in said.items() if value is None]:
            del said[key]
        self.fleet.write_inventory(self.fleet.hosts)

    def on(self, name: str, script: str) -> str:
        """Output of a script that root runs on a host."""
        done = self.fleet.on(name, script, check=False)
        assert done.returncode == 0, f"{name}: {script}: {done.stdout}{done.stderr}"
        return done.stdout

    def address(self, name: str) -> str:
        """A host's address."""
        return self.fleet.hosts[name].address

    def docker(self, *arguments: str) -> None:
        """A docker command that must succeed."""
        subprocess.run(["docker", *arguments], check=True, capture_output=True)

    @property
    def password(self) -> str:
        """The password that the controller keeps."""
        return (self.fleet.secrets / "password").read_text()

    def get(self, name: str, password: str | None = "", port: int = 9100) -> requests.Response:
        """Ask a host's exporter as Prometheus does; with another password, or with None."""
        auth = None if password is None else ("prometheus", password or self.password)
        url = f"https://{self.address(name)}:{port}/metrics"
        return requests.get(url, auth=auth, verify=str(self.fleet.secrets / "ca.crt"), timeout=5)

    def version(self, name: str, port: int = 9100) -> str:
        """The version that serves, over TLS and with the password."""
        answer = self.get(name, port=port)
        assert answer.status_code == 200, answer.text
        found = re.search(r'^node_exporter_build_info\{.*[,{]version="([^"]+)"', answer.text, re.MULTILINE)
        assert found
        return found[1]

    def serving(self, name: str, port: int = 9100) -> str:
        """The version that serves; empty while none does."""
        try:
            return self.version(name, port)
        except (requests.RequestException, AssertionError):
            return ""

    def service(self, name: str) -> Service:
        """What systemd and the kernel say of the exporter on a host."""
        script = """
          systemctl show --property=ActiveState,UnitFileState,MainPID,User node_exporter.service
          pid=$(systemctl show --value --property=MainPID node_exporter.service)
          echo "Program=$(readlink /proc/$pid/exe)"
          echo "Running=$(tr '\\0' '\\n' < /proc/$pid/environ | sed -n s/^NODE_EXPORTER_REVISION=//p)"
          echo "Written=$(sed -n s/^Environment=NODE_EXPORTER_REVISION=//p /etc/systemd/system/node_exporter.service)"
        """
        said = self.fleet.on(name, script, check=False).stdout
        told = dict(line.split("=", 1) for line in said.splitlines())
        return Service(
            active=told["ActiveState"] == "active",
            enabled=told.get("UnitFileState") == "enabled",
            pid=int(told["MainPID"]),
            user=told["User"],
            program=told["Program"],
            written=told["Written"],
            running=told["Running"],
        )

    def learn_secrets(self, *names: str) -> None:
        """Remember what must be in no output: the password, its hashes, and the lines of all private keys."""
        keys = [(self.fleet.secrets / "ca.key").read_text()]
        for name in names:
            keys.append(self.on(name, "cat /etc/node_exporter/tls.pem"))
            web = self.on(name, "cat /etc/node_exporter/web.yml")
            self.secrets.update(re.findall(r"\$2[aby]\$\d+\$\S+", web))
        for text in keys:
            for key in re.findall(r"BEGIN (?:EC )?PRIVATE KEY-----\n(.*?)-----END", text, re.DOTALL):
                self.secrets.update(key.splitlines())
        self.secrets.add(self.password)

    def firewall(self, name: str) -> str:
        """All rules of a host's own firewall, those that run and those that are kept."""
        return self.on(
            name,
            "if command -v ufw >/dev/null; then ufw show added; iptables -S; ip6tables -S; fi; "
            "if command -v firewall-cmd >/dev/null; then firewall-cmd --list-all-zones; "
            "firewall-cmd --permanent --list-all-zones; fi",
        )


# Other file systems (-xdev: /proc, /sys, /run, /dev, /tmp) are gone at the next start. The journal and the log of sudo
# grow with every run. The four with a dash are what useradd and userdel keep of the last change. ~/.ansible is where
# Ansible puts its own modules. The machine's clock is saved by systemd itself, again and again.
LEFT_OUT = (
    *("/var/log", "/home/deploy/.ansible", "/root/.ansible"),
    *("/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-"),
    *("/var/lib/systemd/timesync", "/var/lib/systemd/timers"),
    # firewalld writes a zone down with its first permanent rule, and keeps the file when it is as before.
    *("/etc/firewalld/zones/public.xml", "/etc/firewalld/zones/public.xml.old"),
)
# What comes and goes with whoever is signed in, and systemd's own housekeeping.
PASSING = re.compile(r"^(session-|user[@-]|run-|systemd-tmpfiles-clean|init\.scope)|\.(device|scope|mount)$")


def picture(room: Room, name: str) -> dict[str, str]:
    """Everything on a host that the role may have a hand in, by its place."""
    left_out = " -o ".join(f"-path {path}" for path in LEFT_OUT)
    files = room.on(name, f"find / -xdev \\( {left_out} \\) -prune -o -printf '%p\\t%y %m %U:%G %l %s\\n'")
    # The size of a folder is the file system's own affair.
    found = {
        place: re.sub(r" \d+$", "", facts) if facts.startswith("d") else facts
        for place, facts in (line.split("\t") for line in files.splitlines())
    }
    sums = room.on(
        name,
        f"find /etc /opt /var/lib /usr/local /root /home -xdev \\( {left_out} \\) -prune -o -type f -print0 | "
        "xargs -0 -r sha256sum",
    )
    for line in sums.splitlines():
        digest, place = line.split(maxsplit=1)
        # Of a file system of its own, it is not among the others.
        found[place] = f"{found.get(place, '')} {digest}"
    for line in room.on(name, "getent passwd; getent group; getent shadow").splitlines():
        found[f"account {line}"] = ""
    units = room.on(
        name,
        # On a busy host it may give up, and would say nothing.
        "for _ in 1 2 3 4 5; do "
        "systemctl list-unit-files --no-legend --no-pager --plain && break; sleep 5; done; echo --; "
        "systemctl list-units --all --no-legend --no-pager --plain | awk '{print $1, $2}'",
    )
    for line in units.splitlines():
        if not PASSING.search(line.split()[0]):
            found[f"unit {' '.join(line.split())}"] = ""
    found["firewall"] = room.firewall(name)
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """In what two pictures of a host differ."""
    return [
        f"{place}: {before.get(place, 'not there')} -> {after.get(place, 'not there')}"
        for place in sorted({*before, *after})
        if before.get(place) != after.get(place)
    ]


@contextmanager
def watched(look: Any, every: float) -> Iterator[list[Any]]:
    """What `look` sees again and again while something else goes on."""
    seen: list[Any] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(look())
            over.wait(every)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def command_lines() -> str:
    """The arguments of all processes of this machine; those of its containers are among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def write_inventory(path: Path, group: str, hosts: dict[str, dict[str, Any]]) -> Path:
    """An inventory of its own, beside that of the fleet, whose settings hold for it too. JSON is YAML."""
    path.write_text(json.dumps({"all": {"children": {group: {"hosts": hosts}}}}))
    return path
