"""Runs the simulator's real servers on loopback beside a synchronous test."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import requests
from prometheus_client.parser import text_string_to_metric_families

from infra import documents
from infra.settings import ROOT
from simulator.config import Secrets, read_service
from simulator.service import Service

CONTRACT: dict[str, Any] = documents.load((ROOT / "configs/contract.yaml").read_text())["capabilities"]
LOOPBACK = "127.0.0.1"
# Each process of a spread run has a thousand of its own, and a run by itself another.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw"))
_PORTS = cycle(range(20_000 + 1_000 * _WORKER, 21_000 + 1_000 * _WORKER))

Result = TypeVar("Result")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of a coroutine that runs in the loop; at most 20 s."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, function: Callable[[], Result]) -> Result:
        """The result of a function that must be called in the loop's thread."""

        async def work() -> Result:
            return function()

        return self.run(work())

    async def _cancel_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def close(self) -> None:
        self.run(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def eventually(condition: Callable[[], bool], seconds: float = 8.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def parse(page: str) -> Samples:
    """Every sample of a metrics page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def closed_port() -> int:
    """A port on which nothing listens, and which no other test gets soon.

    The system gives its own choice, above these, to any connection that is made before a program listens there.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = next(_PORTS)
            probe.bind((LOOPBACK, port))
            return port


def capability_metrics(capabilities: list[str]) -> dict[str, Any]:
    return {name: spec for each in capabilities for name, spec in CONTRACT[each]["metrics"].items()}


def service_file(folder: Path, **changes: Any) -> Path:
    capabilities = changes.pop("capabilities", ["http"])
    values = {
        "name": "some-service",
        "port": 0,
        "control_port": 0,
        "capabilities": capabilities,
        "dependencies": [],
        "metrics": capability_metrics(capabilities),
        "endpoints": {},
        **changes,
    }
    path = folder / "service.json"
    path.write_text(json.dumps(values))
    return path


class Clock:
    """Unix time, for a service that lives `ahead` seconds of real time: what it does by itself is as far ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Running:
    """A service on loopback whose clock the test moves."""

    def __init__(self, loop: LoopThread, service: Service, clock: Clock) -> None:
        self.loop, self.service, self._clock = loop, service, clock
        self.url = f"http://{LOOPBACK}:{service.main.port}"
        self.control = f"http://{LOOPBACK}:{service.control.port}"

    def steps(self, count: int) -> None:
        """Let `count` seconds pass at once: the service's clock runs ahead of the real one."""

        def step() -> None:
            for _ in range(count):
                self._clock.ahead += 1.0
                self.service.step(self._clock(), 1.0)

        self.loop.call(step)

    def page(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=5).text

    def samples(self) -> Samples:
        return parse(self.page())

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (each, has), value in self.samples().items() if each == name and wanted <= has)

    def growth(self, count: int, name: str, **labels: str) -> float:
        """By how much a metric grows in `count` seconds of traffic."""
        before = self.total(name, **labels)
        self.steps(count)
        return self.total(name, **labels) - before

    def inject(self, fault: str, **parameters: Any) -> None:
        answer = requests.put(f"{self.control}/faults/{fault}", json=parameters, timeout=5)
        assert answer.status_code == 200, answer.text

    def heal(self, fault: str) -> None:
        assert requests.delete(f"{self.control}/faults/{fault}", timeout=5).json()["was_active"]


Start = Callable[..., Running]


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    try:
        yield thread
    finally:
        thread.close()


@contextmanager
def services(loop: LoopThread, folder: Path) -> Iterator[Start]:
    """A function that starts a service; all are stopped at the end."""
    running: list[Service] = []

    def start(**changes: Any) -> Running:
        clock = Clock()

        async def create() -> Service:
            service = Service(read_service(service_file(folder, **changes)), Secrets(folder), LOOPBACK, clock)
            await service.start()
            return service

        running.append(loop.run(create()))
        return Running(loop, running[-1], clock)

    try:
        yield start
    finally:
        for service in running:
            loop.run(service.stop())
