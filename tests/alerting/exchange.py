"""A large exchange on loopback: 200 services and the exporters beside them, which fail together on command.

Each service has an address of its own (127.0.<team>.<number>), so that Prometheus and the blackbox exporter
treat them as they would 200 machines. Pages are of the contract and healthy; nothing is simulated behind them.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import requests
from aiohttp import web

from infra import assembly, documents
from infra.catalog import Catalog, Metric, Service
from infra.stack import Stack
from simulator.metrics import CONTENT_TYPE
from simulator.web_common import health_body
from tests.unit.loopback import LoopThread, closed_port, loop_thread

# 200 services; a team of exactly three is where the sum of a team can lag its single alerts the most.
TEAMS = {
    "platform": 60,
    "trading": 50,
    "finance": 40,
    "blockchain": 25,
    "security": 15,
    "compliance": 7,
    "database": 3,
}
# How many of them run on the catalog's bare host: three teams with many, three with one or two.
ON_HOST = {"platform": 30, "trading": 15, "finance": 10, "security": 2, "blockchain": 2, "compliance": 1}
HOST = "matching-host"
HOST_EXPORTER = "exchange-control:9100"
STORE = "database"

# refused: the process is gone. silent: the machine or the network is, so that clients wait for their time-outs.
State = Literal["up", "refused", "silent"]
Page = Callable[[], str]

# Growth per second and value of what is not 1 in a healthy service.
_RATES = {"orders_created_total": 10.0, "orders_matched_total": 8.0, "matching_engine_sequence": 20.0}
_RATES |= {"http_requests_total": 20.0, "http_request_duration_seconds": 20.0, "process_cpu_seconds_total": 0.05}
_RATES |= {"orders_rejected_total": 0.05, "matching_engine_latency_seconds": 8.0}
_VALUES = {"orders_top_account_ratio": 0.1, "matching_engine_queue_depth": 0.0, "process_resident_memory_bytes": 5e7}


def large_catalog(real: Catalog) -> Catalog:
    """The real catalog with 200 services instead of its own.

    Every other one depends on `STORE`, every third on redis, `ON_HOST` of them on `HOST`. The first of team
    trading is the matching engine.
    """
    services = []
    for team, size in TEAMS.items():
        for number in range(size):
            critical = number % 4 == 0
            on = {STORE: number % 2 == 0, "redis": number % 3 == 0, HOST: number < ON_HOST.get(team, 0)}
            services.append(
                Service(
                    name=f"{team}-{number + 1:02}",
                    description="One of many.",
                    port=8080,
                    team=team,
                    tier="critical" if critical else "standard",
                    slo=0.999 if critical else None,
                    capabilities=("http", "trading") if (team, number) == ("trading", 0) else ("http",),
                    dependencies=tuple(name for name, depends in on.items() if depends),
                )
            )
    return Catalog(teams=real.teams, dependencies=real.dependencies, services=tuple(services), contract=real.contract)


@dataclass
class _Server:
    """What answers at one address; `state` changes while it runs."""

    host: str
    port: int
    pages: dict[str, tuple[str, Page]]
    state: State = "up"
    _http: web.Server | None = None
    _listener: asyncio.Server | None = None

    async def start(self) -> None:
        self._http = web.Server(self._answer, handler_cancellation=True, access_log=None)
        self._listener = await asyncio.get_running_loop().create_server(
            self._http, self.host, self.port, reuse_address=True
        )

    async def stop(self) -> None:
        if self._http is None or self._listener is None:
            return
        self._listener.close()
        # 0 would wait for as long as it takes.
        await self._http.shutdown(0.1)
        self._http = self._listener = None

    async def become(self, state: State) -> None:
        if "refused" in (state, self.state) and state != self.state:
            await (self.stop() if state == "refused" else self.start())
        self.state = state

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        while self.state == "silent":
            await asyncio.sleep(0.5)
        kind, page = self.pages.get(request.path, ("", str))
        if not kind:
            return web.Response(status=404)
        return web.Response(text=page(), headers={"Content-Type": kind})


class Exchange:
    """The services of a catalog and the exporters beside them; servers go by service or exporter address."""

    def __init__(self, loop: LoopThread, stack: Stack) -> None:
        self._loop, self._catalog = loop, stack.catalog
        self._port, self._began = closed_port(), time.time()
        self._lost: set[str] = set()
        self._servers: dict[str, _Server] = {}
        # Address of the scrape configuration -> address here.
        self.targets: dict[str, str] = {}
        for service in stack.catalog.services:
            team = list(stack.catalog.teams).index(service.team) + 1
            number = sum(address.startswith(f"127.0.{team}.") for address in self.targets.values()) + 1
            self._add(
                service.name,
                stack.surroundings.address(service),
                f"127.0.{team}.{number}",
                self._service_pages(service),
            )
        for address, service_name in _exporters(stack).items():
            host = f"127.0.100.{len(self.targets) - len(stack.catalog.services) + 1}"
            self._add(address, address, host, self._exporter_pages(service_name))

    def _add(self, name: str, address: str, host: str, pages: dict[str, tuple[str, Page]]) -> None:
        self._servers[name] = _Server(host, self._port, pages)
        self.targets[address] = f"{host}:{self._port}"

    def start(self) -> None:
        """Listen everywhere."""
        self._together(server.start() for server in self._servers.values())

    def close(self) -> None:
        """Listen nowhere."""
        self._together(server.stop() for server in self._servers.values())

    def set(self, names: Iterable[str], state: State) -> None:
        """All of these in one moment."""
        self._together(self._servers[name].become(state) for name in names)

    def answer_seconds(self, name: str) -> float:
        """How long a service or exporter takes to answer now, half a minute at most."""
        began = time.monotonic()
        with suppress(requests.RequestException):
            requests.get(f"http://{self.targets[name]}/metrics", timeout=30)
        return time.monotonic() - began

    def set_all(self, state: State) -> None:
        """Everything, the exporters too."""
        self.set(list(self._servers), state)

    def lose(self, dependency: str) -> None:
        """The dependency answers nobody: its exporter and every service that still lives says so."""
        self._lost.add(dependency)

    def find(self, dependency: str) -> None:
        """The dependency answers again."""
        self._lost.discard(dependency)

    def _together(self, work: Iterable[Coroutine[None, None, None]]) -> None:
        async def all_of_it() -> None:
            await asyncio.gather(*work)

        self._loop.run(all_of_it())

    def _service_pages(self, service: Service) -> dict[str, tuple[str, Page]]:
        metrics = self._catalog.metrics_of(service)
        # A host is not called: its loss takes the service along.
        called = [name for name in service.dependencies if name != HOST]

        def page() -> str:
            age = time.time() - self._began
            reached = [f'service_dependency_up{{dependency="{n}"}} {int(n not in self._lost)}\n' for n in called]
            return "".join([*reached, *(line for item in metrics.items() for line in self._lines(*item, age))])

        def health() -> str:
            return json.dumps(health_body("1.0.0", {name: name not in self._lost for name in called}))

        return {service.metrics_path: (CONTENT_TYPE, page), service.health_path: ("application/json", health)}

    def _exporter_pages(self, service: str) -> dict[str, tuple[str, Page]]:
        def page() -> str:
            said = {"database": "pg_up", "redis": "redis_up"}.get(service)
            return f"{said} {int(service not in self._lost)}\n" if said else ""

        return dict.fromkeys(("/metrics", "/metrics/detailed"), (CONTENT_TYPE, page))

    def _lines(self, name: str, metric: Metric, age: float) -> Iterator[str]:
        if name == "service_dependency_up":
            return
        labels = ",".join(f'{label}="{200 if label == "status" else "some"}"' for label in metric.labels)
        if name == "process_start_time_seconds":
            value = self._began
        elif name in _VALUES:
            value = _VALUES[name]
        else:
            grows = metric.type != "gauge" or name in _RATES
            value = _RATES.get(name, 1.0) * age if grows else 1.0
        if metric.type == "histogram":
            for bound in [*metric.buckets[2:], "+Inf"]:
                yield f'{name}_bucket{{{labels},le="{bound}"}} {value}\n'
            yield f"{name}_sum{{{labels}}} {value * metric.buckets[2]}\n{name}_count{{{labels}}} {value}\n"
        else:
            yield f"{name}{{{labels}}} {value}\n"


def _exporters(stack: Stack) -> dict[str, str]:
    """Every scraped address that the harness does not run itself and no service has: the service it speaks for."""
    prometheus = next(w for w in assembly.workloads(stack, environ={}) if w.name == "prometheus")
    config = documents.load(next(f.content for f in prometheus.config_files if f.path.endswith("/prometheus.yml")))
    real = {"prometheus", "alertmanager", "blackbox-exporter", "inbox", "health"}
    services = {stack.surroundings.address(service) for service in stack.catalog.services}
    return {
        address: group["labels"]["service"]
        for job in config["scrape_configs"]
        if job["job_name"] not in real
        for group in job["static_configs"]
        for address in group["targets"]
        if address not in services
    }


@contextmanager
def running(stack: Stack) -> Iterator[Exchange]:
    """An exchange that answers."""
    with loop_thread() as loop:
        exchange = Exchange(loop, stack)
        exchange.start()
        try:
            yield exchange
        finally:
            exchange.close()
