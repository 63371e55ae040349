"""A Prometheus of its own on loopback, and what it costs: processor time and memory of its process, as Linux counts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from infra import documents
from infra.errors import InputError
from infra.workload import Workload

_TICKS = os.sysconf("SC_CLK_TCK")
_PRIORITY = -10
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# What differs from the deployed program: where its files are, and where it listens.
_OWN = ("--config.file=", "--storage.tsdb.path=", "--web.config.file=", "--web.listen-address=")


@dataclass
class Server:
    """The program with its files in `folder`; started with start(), killed with kill(), ended with stop()."""

    program: Path
    folder: Path
    arguments: Sequence[str]
    address: str = ""
    process: subprocess.Popen[bytes] | None = None
    _session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        # To look for a proxy at each request takes longer than most answers do.
        self._session.trust_env = False
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.address}"

    @property
    def data(self) -> Path:
        """Where its series lie."""
        return self.folder / "data"

    def configure(self, config: Mapping[str, Any], rules: Mapping[str, str]) -> None:
        """Write its configuration, whose rule files are exactly these; a running one takes it at once."""
        place = self.folder / "rules"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, text in rules.items():
            (place / name).write_text(text)
        (self.folder / "prometheus.yml").write_text(documents.dump({**config, "rule_files": ["rules/*.yml"]}))
        if self.process is not None:
            answer = self._session.post(f"{self.url}/-/reload", timeout=120)
            if not answer.ok:
                raise InputError(f"Prometheus refuses the configuration: {answer.text.strip()}")

    def start(self) -> float:
        """Start it and wait until it is ready; seconds that took."""
        began = time.monotonic()
        log = self.folder / "prometheus.log"
        with log.open("a") as output:
            self.process = start(
                [
                    self.program,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.data}",
                    f"--web.listen-address={self.address}",
                    "--log.level=warn",
                    *(one for one in self.arguments if not one.startswith(_OWN)),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HOSTNAME": "generated"},
            )
        while self.process.poll() is None:
            try:
                if self._session.get(f"{self.url}/-/ready", timeout=2).ok:
                    return time.monotonic() - began
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise InputError(f"Prometheus did not start: {log.read_text().strip()[-500:]}")

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, if it runs."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(300)
            self.process = None

    def cpu(self) -> float:
        """Seconds of processor time since its start, of the program and of the kernel for it."""
        assert self.process is not None
        return cpu_seconds(self.process.pid)

    def memory(self) -> tuple[int, int]:
        """Resident bytes now, and at most since its start."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE))
        return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of what an expression gives now."""
        answer = self._session.post(f"{self.url}/api/v1/query", data={"query": expr}, timeout=120)
        body = answer.json()
        if body["status"] != "success":
            raise InputError(f"Prometheus refuses {expr}: {body['error']}")
        return [(one["metric"], float(one["value"][1])) for one in body["data"]["result"]]

    def number(self, expr: str) -> float:
        """The value of an expression of one series, 0 without any."""
        found = self.query(expr)
        return found[0][1] if found else 0.0

    def groups(self) -> list[dict[str, Any]]:
        """The groups of rules, as its API tells them."""
        found: list[dict[str, Any]] = self._session.get(f"{self.url}/api/v1/rules", timeout=60).json()["data"]["groups"]
        return found

    def metrics(self, wanted: str) -> list[tuple[str, dict[str, str], float]]:
        """Name, labels and value of its own metrics whose names match wholly."""
        text = self._session.get(f"{self.url}/metrics", timeout=60).text
        return [
            (name, dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in _SAMPLE.findall(text)
            if re.fullmatch(wanted, name)
        ]

    def metric(self, name: str) -> float:
        """The sum of one of its own metrics."""
        return sum(value for _, _, value in self.metrics(name))


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time of a process since its start, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """Start a program in a session of its own, which root lets come before other programs: times on the clock are told.

    Linux weighs sessions against each other, and the programs of one session by their own priority.
    """
    first = os.geteuid() == 0
    before = ("nice", "-n", str(_PRIORITY)) if first else ()
    process = subprocess.Popen([*before, *command], start_new_session=True, **options)
    session = Path(f"/proc/{process.pid}/autogroup")
    if first and session.exists():
        session.write_text(str(_PRIORITY))
    return process


def busy_seconds() -> float:
    """Seconds of processor time that the whole machine has spent on programs since its start."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")
    text = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    spent = dict(zip(names, map(int, text[: len(names)]), strict=True))
    return sum(value for name, value in spent.items() if name not in ("idle", "iowait")) / _TICKS


def deployed_arguments(workload: Workload) -> tuple[str, ...]:
    """The arguments of the deployed Prometheus.

    Without the address people open, which differs here, and the limit that follows from the stack's own memory.
    """
    return tuple(one for one in workload.args if not one.startswith(("--web.external-url", "--query.max-samples")))
