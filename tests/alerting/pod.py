"""A pod as processes: a tool that asks for a password, its ConfigMaps, and the reload script in busybox."""

import base64
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from infra import documents
from infra.settings import ROOT
from operate import tools
from tests.alerting.scene import wait_for
from tests.unit.loopback import LOOPBACK, closed_port, parse

SCRIPTS = ROOT / "configs/kubernetes"
USER, PASSWORD = "reloader", "correct-horse-7351"
CREDENTIALS = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
# bcrypt of PASSWORD at the lowest cost: a request would else take a tenth of a second of both cores.
HASHED = "$2b$04$abcdefghijklmnopqrstuulu9TIVhcx66RV9BR0CDAm8L/ZtDcrXq"
CHECKERS = {"prometheus": "promtool check config", "alertmanager": "amtool check-config"}
STORAGE = {"prometheus": "--storage.tsdb.path", "alertmanager": "--storage.path"}


class ConfigMap:
    """A folder as the kubelet lays out a ConfigMap: names lead through `..data` to a dated folder."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self._folder, self._version = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.write(files)

    def write(self, files: dict[str, str]) -> None:
        """Replace all files at once, as the kubelet does."""
        self._version += 1
        names = (f"..2026_{self._version}", "..data", "..data_tmp")
        dated, data, fresh = (self._folder / name for name in names)
        dated.mkdir()
        for name, text in files.items():
            (dated / name).write_text(text)
        fresh.symlink_to(dated.name)
        fresh.rename(data)
        for name in files:
            if not (self._folder / name).is_symlink():
                (self._folder / name).symlink_to(f"..data/{name}")
        shutil.rmtree(self._folder / f"..2026_{self._version - 1}", ignore_errors=True)


class Pod:
    """A tool with the script before and beside it; all lies below `folder` and ends with the context."""

    def __init__(self, folder: Path, component: str) -> None:
        self.folder, self.component = folder, component
        self.source, self.target = folder / "source", folder / "target"
        self.port, self.metrics_port = closed_port(), closed_port()
        self._authorization = folder / "authorization"
        self._running = ExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("target", "metrics", "bin"):
            (folder / name).mkdir()
        self._authorization.write_text(f"{CREDENTIALS}\n")
        (folder / "password").write_text(PASSWORD)
        (folder / "web.yml").write_text(documents.dump({"basic_auth_users": {USER: HASHED}}))
        for name in ("promtool", "amtool"):
            (folder / "bin" / name).symlink_to(tools.ensure(name))

    def __enter__(self) -> "Pod":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def environment(self, **changes: str) -> dict[str, str]:
        """What the pod gives the scripts."""
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SOURCE": str(self.source),
            "TARGET": str(self.target),
            "CHECK": f"{CHECKERS[self.component]} etc/{self.component}/{self.component}.yml",
            "PORT": str(self.port),
            "COMPONENT": self.component,
            "METRICS_DIR": str(self.folder / "metrics"),
            "METRICS_PORT": str(self.metrics_port),
            "METRIC": f"{self.component}_config_last_reload_successful",
            "AUTHORIZATION_FILE": str(self._authorization),
            **changes,
        }

    def once(self) -> subprocess.CompletedProcess[str]:
        return self._script("reload.sh", "once")

    def ask(self, method: str, path: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return self._script("ask.sh", method, str(self.port), path, **changes)

    def _script(self, name: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [busybox(), "sh", str(SCRIPTS / name), *arguments]
        env = self.environment(**changes)
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)

    def watch(self, **changes: str) -> None:
        command = [busybox(), "sh", str(SCRIPTS / "reload.sh"), "watch"]
        self._launch("watch", command, self.environment(**changes))

    def start(self) -> None:
        """Start the tool, or start it again; raises AssertionError with its log where it does not answer."""
        command = [
            str(tools.ensure(self.component)),
            f"--config.file={self.target / self.component}.yml",
            f"{STORAGE[self.component]}={self.folder / 'data'}",
            f"--web.config.file={self.folder / 'web.yml'}",
            f"--web.listen-address={LOOPBACK}:{self.port}",
        ]
        more = {"prometheus": ["--web.enable-lifecycle"], "alertmanager": ["--cluster.listen-address="]}
        self._launch("tool", [*command, *more[self.component]], dict(os.environ))
        wait_for(lambda: self.ask("GET", "/-/ready").returncode == 0, 20)
        assert self.ask("GET", "/-/ready").returncode == 0, self.log("tool")

    def _launch(self, name: str, command: list[str], env: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as sink:
            process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink)
        self.processes[name] = process
        self._running.callback(_end, process)

    def end(self, name: str) -> float:
        """Seconds from SIGTERM to the end of a process."""
        return _end(self.processes[name])

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def own_page(self) -> dict[str, float]:
        """The script's samples by name and `result`; empty while its page does not answer."""
        try:
            answer = requests.get(f"http://{LOOPBACK}:{self.metrics_port}/metrics", timeout=5)
        except requests.ConnectionError:
            return {}
        page = parse(answer.text) if answer.ok else {}
        return {name + dict(labels).get("result", ""): value for (name, labels), value in page.items()}

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Prometheus' answer, each with `metric` and `value` or `values`; empty while it does not answer."""
        url, parameters = f"http://{LOOPBACK}:{self.port}/api/v1/query", {"query": promql}
        try:
            answer = requests.get(url, params=parameters, auth=(USER, PASSWORD), timeout=5)
        except requests.ConnectionError:
            return []
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def number(self, promql: str) -> float | None:
        """The value of the only series, None where there is none."""
        found = self.query(promql)
        return float(found[0]["value"][1]) if found else None


def busybox() -> str:
    """The shell of the tools' images."""
    found = shutil.which("busybox")
    assert found, "the scripts run under busybox: install the package busybox"
    return found


def _end(process: "subprocess.Popen[bytes]") -> float:
    begun = time.monotonic()
    process.terminate()
    process.wait(20)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, and what /proc showed of every process before it was answered."""

    request: str
    authorized: bool
    in_sight: bool
    leaks: list[str]


def processes() -> list[str]:
    """The arguments and the environment of each process of the machine."""
    texts = []
    for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        # Gone meanwhile, or a thread of the kernel.
        with suppress(OSError):
            texts.append(path.read_text(errors="replace"))
    return texts


def leaks(texts: list[str]) -> list[str]:
    """Those that hold the password, as it is or as a request carries it."""
    return [text for text in texts if PASSWORD in text or CREDENTIALS in text]


@contextmanager
def holding(pod: Pod) -> Iterator[list[Seen]]:
    """The pod's tool, for as long as the context lasts: it answers a request once it has looked at all processes."""
    seen: list[Seen] = []

    class Tool(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            texts = processes()
            in_sight = any(str(SCRIPTS / "ask.sh") in text for text in texts)
            authorized = self.headers["Authorization"] == f"Basic {CREDENTIALS}"
            seen.append(Seen(f"{self.command} {self.path}", authorized, in_sight, leaks(texts)))
            metric = pod.environment()["METRIC"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{metric} 1\n{metric.removesuffix('ful')}_timestamp_seconds {len(seen)}\n".encode())

        do_POST = do_GET

    with ThreadingHTTPServer((LOOPBACK, pod.port), Tool) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield seen
        finally:
            server.shutdown()


def rules(value: int, expr: str = "vector({})") -> dict[str, str]:
    """Two files: one that a change leaves alone, and one with the series `changing`."""
    groups = {"steady.yml": ("steady", "vector(1)"), "changing.yml": ("changing", expr.format(value))}
    return {
        name: documents.dump({"groups": [{"name": record, "rules": [{"record": record, "expr": text}]}]})
        for name, (record, text) in groups.items()
    }


def prometheus_yml(pod: Pod, generation: int) -> dict[str, str]:
    own = {"username": USER, "password_file": str(pod.folder / "password")}
    config = {
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
            "external_labels": {"generation": str(generation)},
        },
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [
            {
                "job_name": "self",
                "basic_auth": own,
                "static_configs": [{"targets": [f"{LOOPBACK}:{pod.port}"]}],
            },
            {"job_name": "reloader", "static_configs": [{"targets": [f"{LOOPBACK}:{pod.metrics_port}"]}]},
        ],
    }
    return {"prometheus.yml": documents.dump(config)}
