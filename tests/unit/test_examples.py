"""docs/SERVICES.md: its examples run, keep the contract, and stand in it as their files do."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from infra import catalog
from infra.settings import ROOT
from operate import tools
from operate.__main__ import main
from tests.markdown import broken
from tests.running import eventually

DOCUMENT = ROOT / "docs/SERVICES.md"
EXAMPLES = ROOT / "docs/examples"
VERSION = "1.4.2"
DEPENDENCY = "wallet-service"
# The template of the route that answers customers, as each language writes it.
TEMPLATES = {"python": "/api/stakes/{id}", "go": "/api/stakes/{id}", "node": "/api/stakes/:id"}

Check = Callable[[str], tuple[int, str]]


@dataclass(frozen=True)
class Fence:
    """A fenced block, and the text of the paragraph before it."""

    info: str
    text: str
    before: str


def fences() -> list[Fence]:
    found, before = [], ""
    for token in MarkdownIt("commonmark").enable("table").parse(DOCUMENT.read_text()):
        if token.type == "inline":
            before = token.content
        elif token.type == "fence":
            found.append(Fence(token.info, token.content, before))
    return found


def fence(info: str, mentions: str = "") -> str:
    (found,) = [each.text for each in fences() if each.info == info and mentions in each.before]
    return found


class Dependency:
    """A service that the examples depend on; it can be taken away."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/health" else 404)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Running:
    """An example that runs: where, its dependency, and the template of its route."""

    url: str
    dependency: Dependency
    template: str

    def health(self) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/health", timeout=5)
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, path: str, method: str = "GET") -> int:
        return requests.request(method, self.url + path, timeout=5).status_code

    def values(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by some of its labels."""
        page = requests.get(f"{self.url}/metrics", timeout=5).text
        samples = [s for family in text_string_to_metric_families(page) for s in family.samples if s.name == name]
        return {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}

    def requests(self, *place: str) -> float | None:
        """How many requests of a method, route and status were answered; None without such a series."""
        return self.values("http_requests_total", "method", "route", "status").get(place)


def python_command(_folder: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python/service.py")]


def go_command(_folder: Path) -> list[str]:
    sources = [path for path in (EXAMPLES / "go").rglob("*") if path.is_file()]
    go = tools.ensure("go")
    # A toolchain or workspace from outside would escape the pins.
    environment = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}

    def build(out: Path, log: Path) -> None:
        command = [str(go), "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", str(out / "service"), "."]
        tools.run_logged(command, "the example in Go", log, tools.speak, cwd=EXAMPLES / "go", env=environment)

    return [str(tools.build_once(f"example-go-{tools.fingerprint(sources)}", build) / "service")]


def node_command(folder: Path) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on the PATH: the example in Node is not run")
    lock = [EXAMPLES / "node" / name for name in ("package.json", "package-lock.json")]

    def install(out: Path, log: Path) -> None:
        if subprocess.run([npm, "ping"], capture_output=True, timeout=60, check=False).returncode != 0:
            pytest.skip("no npm registry answers: the example in Node is not run")
        for path in lock:
            shutil.copy(path, out)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        tools.run_logged(command, "the modules of the example in Node", log, tools.speak, cwd=out)

    modules = tools.build_once(f"example-node-{tools.fingerprint(lock)}", install) / "node_modules"
    # Node looks for modules beside the program, and nothing is installed into the repository.
    for path in (EXAMPLES / "node").glob("*.mjs"):
        shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(modules)
    return [node, str(folder / "service.mjs")]


COMMANDS = {"python": python_command, "go": go_command, "node": node_command}
Start = Callable[[list[str], str], Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an example on a free port beside its dependency."""
    with ExitStack() as stack:

        def begin(command: list[str], template: str) -> Running:
            dependency = Dependency()
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            environment = os.environ | {"PORT": str(port), "VERSION": VERSION, "WALLET_SERVICE": dependency.url}
            log = tmp_path / "log"
            process = stack.enter_context(
                subprocess.Popen(command, env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)
            )
            stack.callback(process.kill)
            stack.callback(dependency.stop)
            running = Running(f"http://127.0.0.1:{port}", dependency, template)

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return bool(running.health()["status"] == "ok")
                except requests.ConnectionError:
                    return False

            eventually("the example answers", ready, seconds=15, every=0.1)
            return running

        yield begin


@pytest.fixture(params=COMMANDS)
def example(request: pytest.FixtureRequest, tmp_path: Path, start: Start) -> Running:
    return start(COMMANDS[request.param](tmp_path), TEMPLATES[request.param])


@pytest.fixture
def check(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`make check-service` with the document's entry in the catalog."""
    services = project / "configs/services.yaml"
    services.write_text(services.read_text() + fence("yaml", "catalog"))
    extended = catalog.load(project)
    monkeypatch.setattr(catalog, "load", lambda: extended)

    def run(url: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["check-service", "--url", url, "--service", "staking-service"])
        return status, capsys.readouterr().out

    return run


def folded(text: str) -> str:
    """What a command said, without what differs from run to run: numbers, the table's rule, and its blanks."""
    return " ".join(re.sub(r"\d+([.:T-]\d+)*", "N", re.sub("─+", "", text)).split())


def test_an_example_keeps_the_contract(example: Running, check: Check) -> None:
    status, said = check(example.url)
    assert status == 0, said
    assert example.health()["version"] == VERSION
    assert example.values("service_build_info", "version") == {(VERSION,): 1}


def test_series_begin_at_zero_and_count_what_is_answered(example: Running) -> None:
    place = ("GET", example.template)
    begun = {status: example.requests(*place, status) for status in ("200", "500", "503")}
    assert begun == {"200": 0, "500": 0, "503": 0}
    assert example.values("http_request_duration_seconds_count", "method", "route")[place] == 0
    assert [example.ask(f"/api/stakes/{number}") for number in (7, 8)] == [200, 200]
    assert example.requests(*place, "200") == 2
    assert example.values("http_request_duration_seconds_count", "method", "route")[place] == 2


def test_what_no_route_takes_is_one_place(example: Running) -> None:
    assert [example.ask(f"/wp-admin/{number}") for number in (1, 2)] == [404, 404]
    assert example.ask("/api/stakes/7", "DELETE") in (404, 405)
    example.ask("/api/stakes/7", "PROPFIND")
    found = example.values("http_requests_total", "method", "route", "status")
    assert {place[:2] for place in found} == {
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", example.template),
        ("other", "none"),
    }
    assert found["other", "none", "404"] >= 2


def test_a_lost_dependency_is_told_by_both(example: Running, check: Check) -> None:
    assert example.values("service_dependency_up", "dependency") == {(DEPENDENCY,): 1}
    assert example.health()["dependencies"] == {DEPENDENCY: "ok"}
    example.dependency.stop()
    eventually("/health says degraded", lambda: example.health()["status"] == "degraded", seconds=10)
    assert example.health()["dependencies"] == {DEPENDENCY: "down"}
    assert example.values("service_dependency_up", "dependency") == {(DEPENDENCY,): 0}
    assert example.ask("/api/stakes/7") == 503
    assert example.requests("GET", example.template, "503") == 1
    status, said = check(example.url)
    assert status == 0, said


def test_the_output_in_the_document_is_the_real_one(tmp_path: Path, start: Start, check: Check) -> None:
    running = start(python_command(tmp_path), TEMPLATES["python"])
    status, said = check(running.url)
    assert status == 0, said
    assert folded(fence("text", "says ok")) == folded(said)


def test_the_rename_in_the_document_is_the_real_one(tmp_path: Path, start: Start, check: Check) -> None:
    shutil.copytree(EXAMPLES / "python", tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "python/watched.py"
    source.write_text(source.read_text().replace('"http_requests_total"', '"staking_http_requests_total"'))
    running = start([sys.executable, str(tmp_path / "python/service.py")], TEMPLATES["python"])
    status, said = check(running.url)
    assert status == 1, said
    shown = fence("text", "another name").split("...\n")
    assert len(shown) == 2, "its beginning and its end"
    for part in shown:
        assert folded(part) in folded(said)


def test_the_document_shows_the_files() -> None:
    sources = [path for kind in ("python/*.py", "go/**/*.go", "node/*.mjs") for path in EXAMPLES.glob(kind)]
    shown = {each.text for each in fences()}
    assert len(sources) == 6
    assert not [path.name for path in sources if path.read_text() not in shown]


def test_the_document_is_well_formed() -> None:
    lines, code = [], False
    for line in DOCUMENT.read_text().splitlines():
        code ^= line.startswith("```")
        lines += [line] if not code and len(line) > 120 and "|" not in line else []
    assert not lines, "wrap at 120 characters"
    assert not list(broken(DOCUMENT)), "links lead nowhere"


def test_locks_name_no_registry() -> None:
    """Behind a proxy the host that a lock file names would be the wrong one."""
    lock = (EXAMPLES / "node/package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert '"resolved"' not in lock
