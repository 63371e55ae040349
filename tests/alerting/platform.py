"""The stack's own Alertmanager, Prometheus and blackbox exporter as processes on loopback, with the inbox.

Programs, arguments and files are those of the stack's Workloads; only addresses and folders differ.

    with Platform(tmp_path, targets={"api-gateway:8080": "127.0.0.5:8080"}) as platform:
        platform.fire(Alert({"alertname": "X", "severity": "warning", "team": "trading"}, {"summary": "..."}))
        platform.inbox.kept(channel="slack", alertname="X")
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import requests

from infra import assembly, credentials, documents, settings
from infra.catalog import Catalog
from infra.stack import Stack, load
from infra.workload import ConfigFile, SecretFile, Workload
from operate import tools
from simulator.inbox.server import Inbox
from simulator.inbox.store import KEPT
from tests.unit.inbox_client import Client
from tests.unit.loopback import LOOPBACK, closed_port, eventually, loop_thread

# Nothing listens there: what the caller gives no address for is down.
UNREACHABLE = f"{LOOPBACK}:9"
# Prometheus says so with each alert, and says it again before it is over: four times its resend delay.
ALERT_LASTS = timedelta(minutes=4)
_BINARIES = {"blackbox-exporter": "blackbox_exporter"}


@dataclass(frozen=True)
class Alert:
    """One alert as Prometheus sends it; `started` defaults to the moment it is made."""

    labels: dict[str, str]
    annotations: dict[str, str]
    expr: str = "up == 0"
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def posted(self, external: Mapping[str, str], prometheus: str, ends: datetime) -> dict[str, Any]:
        """What Alertmanager's API takes; labels win over external ones, as they do in Prometheus."""
        return {
            "labels": {**external, **self.labels},
            "annotations": self.annotations,
            "startsAt": self.started.isoformat(),
            "endsAt": ends.isoformat(),
            "generatorURL": f"{prometheus}/graph?g0.expr={quote_plus(self.expr)}&g0.tab=1",
        }


class Letters(Client):
    """The inbox, with everything it keeps rather than its newest hundred."""

    def kept(self, **filters: Any) -> list[dict[str, Any]]:
        """Newest first; see tests/unit/inbox_client.py."""
        return super().kept(**{"limit": KEPT, **filters})

    def heart(self, name: str = "watchdog") -> dict[str, Any]:
        """A heartbeat's `beating`, `age_seconds` and `last_beat`; empty before its first beat."""
        return next((heart for heart in self.get("/api/heartbeats")["heartbeats"] if heart["name"] == name), {})


def stack_of(overrides: Mapping[str, Any] | None = None, catalog: Catalog | None = None) -> Stack:
    """The stack `dev` with other settings (camelCase keys) or another catalog."""
    values = {**settings.stack_file_values("dev"), **(overrides or {})}
    stack = load("dev", settings.from_config(values, "Pulumi.dev.yaml"))
    return stack if catalog is None else Stack(stack.name, stack.settings, catalog, stack.images, stack.root)


def on_loopback(text: str, places: Mapping[str, str]) -> str:
    """`text` with every address and folder of the stack replaced by the one it has here."""
    known = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{known})(?!\w)", lambda match: places[match[0]], text)


class Platform:
    """Alertmanager with the inbox; and Prometheus with the blackbox exporter where `targets` is given.

    `targets` maps the host:port of a scrape target or probe to where it answers here, for example
    {"api-gateway:8080": "127.0.0.5:8080"}; any other is down. Several platforms can write to one `inbox`.
    `hosts` has the names by which programs and the inbox are looked for instead of on loopback; `before` a command
    that runs the program it is given, by program. `heartbeat_timeout` in seconds. Raises AssertionError with a
    program's last words where one does not start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        catalog: Catalog | None = None,
        targets: Mapping[str, str] | None = None,
        inbox: Letters | None = None,
        heartbeat_timeout: float = 180.0,
        hosts: Mapping[str, str] | None = None,
        before: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._hosts, self._before = hosts or {}, before or {}
        self.folder, self.stack = folder, stack_of(overrides, catalog)
        self._targets, self._heartbeat_timeout = targets, heartbeat_timeout
        self._given = inbox
        self._workloads = {workload.name: workload for workload in assembly.workloads(self.stack, environ={})}
        self._running = ExitStack()
        self._places: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self.external = {"environment": self.stack.settings.environment}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Platform":
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def alertmanager_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['alertmanager']}"

    @property
    def prometheus_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['prometheus']}"

    def fire(self, alerts: Iterable[Alert] | Alert) -> None:
        """Hand alerts to Alertmanager, or say again that they go on."""
        self._post(alerts, datetime.now(UTC) + ALERT_LASTS)

    def resolve(self, alerts: Iterable[Alert] | Alert) -> None:
        """Say of alerts, with the labels they fired with, that they are over."""
        self._post(alerts, datetime.now(UTC))

    def _post(self, alerts: Iterable[Alert] | Alert, ends: datetime) -> None:
        given = [alerts] if isinstance(alerts, Alert) else list(alerts)
        prometheus = self.stack.link(self.stack.settings.prometheus_port)
        body = [alert.posted(self.external, prometheus, ends) for alert in given]
        answer = requests.post(f"{self.alertmanager_url}/api/v2/alerts", json=body, timeout=60)
        assert answer.status_code == 200, answer.text

    def reload(self, name: str = "alertmanager") -> requests.Response:
        """Have a program read its files again; what it answered."""
        return requests.post(f"http://{LOOPBACK}:{self._ports[name]}/-/reload", timeout=20)

    def restart(self, name: str, meanwhile: Callable[[], object]) -> None:
        """Stop a program, do something, and start it again with what it had kept."""
        stop(self.processes[name])
        meanwhile()
        self.start(name)

    def kill(self, name: str) -> None:
        """End a program as a crash does: it writes nothing down any more."""
        self.processes[name].kill()
        self.processes[name].wait()

    def start(self, name: str) -> None:
        """Start a program that has ended, with what it had kept."""
        self._launch(self._workloads[name])

    def log(self, name: str) -> str:
        """What a program has said since it was started for the last time."""
        return (self.folder / name / "log").read_text(errors="replace")

    def path(self, place: str) -> Path:
        """Where a file of a workload stands here, for example /etc/alertmanager/alertmanager.yml."""
        return Path(on_loopback(place, self._places))

    def metric(self, url: str, name: str) -> dict[str, float]:
        """The series of a metric on a program's page, by their labels as the page writes them."""
        page = requests.get(f"{url}/metrics", timeout=10).text
        return {
            match[1] or "": float(match[2])
            for match in re.finditer(rf"^{re.escape(name)}(\{{.*\}})? (\S+)$", page, re.MULTILINE)
        }

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Prometheus' instant vector: `metric` and `value` of each series."""
        answer = requests.get(f"{self.prometheus_url}/api/v1/query", params={"query": promql}, timeout=10)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def _start(self) -> None:
        self.inbox = self._given or self._open_inbox()
        names = ["alertmanager"] + (["blackbox-exporter", "prometheus"] if self._targets is not None else [])
        self._places |= dict(self._targets or {})
        inbox_host = self._hosts.get("inbox", LOOPBACK)
        self._places["inbox:8025"] = f"{inbox_host}:{self.inbox.url.rpartition(':')[2]}"
        self._places["inbox:1025"] = f"{inbox_host}:{self.inbox.smtp_port}"
        for name in names:
            port = self._workloads[name].ports[0].number
            self._ports[name] = closed_port()
            self._places[f"{name}:{port}"] = f"{self._hosts.get(name, LOOPBACK)}:{self._ports[name]}"
        for name in names:
            self._launch(self._workloads[name])

    def _open_inbox(self) -> Letters:
        loop = self._running.enter_context(loop_thread())

        async def create() -> Inbox:
            inbox = Inbox(self.folder / "inbox", 0, 0, host=LOOPBACK, heartbeat_timeout=self._heartbeat_timeout)
            await inbox.start()
            return inbox

        inbox = loop.run(create())
        self._running.callback(lambda: loop.run(inbox.stop()))
        return Letters(inbox)

    def _launch(self, workload: Workload) -> None:
        root = self.folder / workload.name
        kept = [workload.storage.path] if workload.storage else []
        files: list[ConfigFile | SecretFile] = [*workload.config_files, *workload.secret_files]
        folders = {str(Path(file.path).parent) for file in files}
        places = self._places | {place: str(root / place.lstrip("/")) for place in (*folders, *kept)}
        self._places |= {place: places[place] for place in folders}
        values = credentials.known(self.stack.settings)
        contents = {file.path: file.content for file in workload.config_files}
        contents |= {file.path: file.form.format(values[file.secret].default) for file in workload.secret_files}
        for place, content in contents.items():
            path = Path(on_loopback(place, places))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._laid_out(place, content, places))
        binary = tools.ensure(_BINARIES.get(workload.name, workload.name))
        listen = f"{LOOPBACK}:{self._ports[workload.name]}"
        log = root / "log"
        before = self._before.get(workload.name, ())
        command = [*before, str(binary), *(on_loopback(argument, places) for argument in workload.args)]
        with log.open("wb") as sink:
            process = subprocess.Popen([*command, f"--web.listen-address={listen}"], stdout=sink, stderr=sink)
        self.processes[workload.name] = process
        self._running.callback(stop, process)
        ready = f"http://{listen}{workload.readiness.path if workload.readiness else '/'}"
        eventually(lambda: process.poll() is not None or _answers(ready), 30)
        assert _answers(ready), f"{workload.name} does not answer; its last words: {log.read_text()[-2000:]}"

    def _laid_out(self, place: str, content: str, places: Mapping[str, str]) -> str:
        if "/rules/" in place:
            # Rules speak of series, which keep the stack's addresses.
            return content
        return self._scraped(content) if place.endswith("/prometheus.yml") else on_loopback(content, places)

    def _scraped(self, content: str) -> str:
        """prometheus.yml with targets that are here or nowhere; their series keep the stack's `instance`."""
        jobs = documents.load(content)["scrape_configs"]
        config = documents.load(on_loopback(content, self._places))
        for here, job in zip(config["scrape_configs"], jobs, strict=True):
            here["static_configs"] = [
                {"targets": [self._target(address)], "labels": {"instance": address, **group["labels"]}}
                for group in job["static_configs"]
                for address in group["targets"]
            ]
            steps = here.pop("relabel_configs", [])
            here["relabel_configs"] = [step for step in steps if step["target_label"] != "instance"]
        return documents.dump(config)

    def _target(self, address: str) -> str:
        here = on_loopback(address, self._places)
        return here if here != address else UNREACHABLE


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, at the latest after 15 s."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
