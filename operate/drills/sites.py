"""Where the stack of a drill answers, and how its faults are set and healed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from prometheus_client.parser import text_string_to_metric_families

from infra.settings import ROOT
from infra.stack import Stack
from infra.targets.docker import name_of
from operate.drills import generated
from operate.drills.book import Drill
from operate.drills.watch import Answers, holds

_SECONDS = 10.0
# `make up` within a drill may take a minute, three crashes forty seconds each.
_LONGEST = 1800.0
# A reload on a busy machine; filling Redis or a queue.
_LONG_RELOAD = 60.0
_RUNNING: set[subprocess.Popen[str]] = set()


class DrillError(Exception):
    """A fault could not be set or healed; the text is what the tool said."""


class Site(Answers, Protocol):
    """A stack that can be drilled."""

    def faults(self) -> list[str]:
        """The faults of the simulated exchange that are in force, as service/fault."""
        ...

    def refusal(self, drill: Drill) -> str:
        """Why the drill cannot be run here; empty where it can."""
        ...

    def provoke(self, name: str, drill: Drill) -> None:
        """Set the fault of the alert `name`. Raises DrillError."""
        ...

    def heal(self, name: str, drill: Drill) -> None:
        """Put it right; does no harm where nothing is broken. Raises DrillError."""
        ...

    def send(self, alerts: list[dict[str, Any]]) -> None:
        """Hand alerts to Alertmanager, as Prometheus does. Raises DrillError."""
        ...

    def counters(self) -> dict[tuple[str, str], float]:
        """Notifications by ("sent" or "failed", integration), of all Alertmanagers. Raises DrillError."""
        ...


@dataclass
class DockerSite:
    """A stack on this machine's Docker."""

    stack: Stack
    _session: requests.Session = field(default_factory=requests.Session)

    def prometheus(self, path: str) -> Any:
        return self._get(self.stack.settings.prometheus_port, path)

    def alertmanager(self, path: str) -> Any:
        return self._get(self.stack.settings.alertmanager_port, path)

    def inbox(self, path: str) -> Any:
        return self._get(self.stack.settings.inbox_port, path)

    def _get(self, port: int, path: str) -> Any:
        try:
            answer = self._session.get(f"{self.stack.link(port)}{path}", timeout=_SECONDS)
            return answer.json() if answer.ok else None
        except (requests.RequestException, ValueError):
            return None

    def faults(self) -> list[str]:
        return in_force(self._get(self.stack.settings.faults_port, "/api/faults"))

    def refusal(self, drill: Drill) -> str:
        # Their commands are typed for dev in the test plan.
        return "its command is for stack dev" if drill.run and self.stack.name != "dev" else ""

    def send(self, alerts: list[dict[str, Any]]) -> None:
        address = f"{self.stack.link(self.stack.settings.alertmanager_port)}/api/v2/alerts"
        try:
            requests.post(address, json=alerts, timeout=_SECONDS).raise_for_status()
        except requests.RequestException as error:
            raise DrillError(f"{address} does not take alerts ({type(error).__name__})") from None

    def counters(self) -> dict[tuple[str, str], float]:
        address = f"{self.stack.link(self.stack.settings.alertmanager_port)}/metrics"
        try:
            return counted(self._session.get(address, timeout=_SECONDS).text)
        except requests.RequestException as error:
            raise DrillError(f"{address} does not answer ({type(error).__name__})") from None

    def provoke(self, name: str, drill: Drill) -> None:
        if drill.past:
            self._remember(name, drill)
        if drill.series:
            self._in_prometheus(f"cat > {_rules(name)}", generated.rules(name, drill.series, drill.every))
            self._reload()
        else:
            self._do(drill, "PUT", drill.command(self.stack))

    def heal(self, name: str, drill: Drill) -> None:
        if drill.series:
            self._in_prometheus(f"rm -f {_rules(name)}")
            self._reload()
        else:
            self._do(drill, "DELETE", drill.healing(self.stack))

    def _remember(self, name: str, drill: Drill) -> None:
        missing = [past for past in drill.past if not holds(self, generated.question(past))]
        if missing:
            # promtool reads its input twice, so it must be a file; and as root, the files would not be Prometheus' own.
            file = f"/prometheus/drill-{name}.om"
            self._in_prometheus(
                f"cat > {file} && promtool tsdb create-blocks-from --quiet openmetrics {file} /prometheus; "
                f"status=$?; rm -f {file}; exit $status",
                generated.samples(missing),
                user="",
            )

    def _in_prometheus(self, command: str, text: str = "", user: str = "--user=0") -> None:
        container = name_of(self.stack.name, "prometheus")
        options = [user] if user else []
        run(["docker", "exec", "--interactive", *options, container, "sh", "-c", command], text)

    def _reload(self) -> None:
        address = f"{self.stack.link(self.stack.settings.prometheus_port)}/-/reload"
        try:
            answer = requests.post(address, timeout=_LONG_RELOAD)
        except requests.RequestException as error:
            raise DrillError(f"{address} does not answer ({type(error).__name__})") from None
        if not answer.ok:
            raise DrillError(f"{address}: {answer.text.strip()[:300]}")

    def _do(self, drill: Drill, method: str, command: str) -> None:
        if drill.fault is None:
            shell(command)
            return
        address = f"{self.stack.link(self.stack.settings.faults_port)}/api/faults/{drill.fault}"
        given = dict(drill.parameters) if method == "PUT" else None
        try:
            answer = requests.request(method, address, json=given, timeout=_LONG_RELOAD)
        except requests.RequestException as error:
            raise DrillError(f"{address} does not answer ({type(error).__name__})") from None
        if not answer.ok:
            raise DrillError(f"{address}: {answer.status_code} {answer.text.strip()[:200]}")


def in_force(answer: Any) -> list[str]:
    """The faults in what the simulated exchange says of itself."""
    return [f"{service}/{fault}" for service, known in (answer or {}).items() for fault in known["active"]]


def counted(page: str) -> dict[tuple[str, str], float]:
    """Sums of the notifications on Alertmanager's metrics page."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(page):
        kind = {"alertmanager_notifications": "sent", "alertmanager_notifications_failed": "failed"}.get(family.name)
        for sample in family.samples if kind else ():
            key = (str(kind), sample.labels["integration"])
            found[key] = found.get(key, 0.0) + sample.value
    return found


def _rules(name: str) -> str:
    return f"/etc/prometheus/rules/drill-{name}.yml"


def shell(command: str) -> None:
    """Run a shell command from the project's root. Raises DrillError."""
    if command:
        run(["bash", "-c", command])


def run(command: Sequence[str], text: str = "") -> None:
    """Run a command with `text` as its input, in a session of its own: Ctrl-C is for the drill. Raises DrillError."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, text=True, start_new_session=True
    ) as process:
        _RUNNING.add(process)
        try:
            out, err = process.communicate(text, timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGKILL)
            raise DrillError(f"it took more than {_LONGEST:.0f} s") from None
        finally:
            _RUNNING.discard(process)
    if process.returncode:
        words = (err.strip() or out.strip() or "no output").splitlines()
        raise DrillError(f"exit status {process.returncode}: {words[-1]}")


def end_commands() -> None:
    """Terminate the commands that run: some provoke for half an hour, and who interrupts does not wait for them."""
    for process in list(_RUNNING):
        _end(process, signal.SIGTERM)


def _end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # With all that it has started; it leads a session of its own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
