"""One front for every fault: those of the services, of the infrastructure and of a simulated host."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from importlib import resources
from reprlib import repr as brief

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from yarl import URL

from simulator.certificate import CERTIFICATE_EXPIRING, CERTIFICATE_FAULTS, Certificate
from simulator.config import ControlConfig, Secrets
from simulator.faults import FaultBook, FaultError
from simulator.host import HOST_FAULTS, SimulatedHost
from simulator.infrastructure import REAL_FAULTS, Infrastructure
from simulator.metrics import CONTENT_TYPE
from simulator.web_common import (
    ALL_ADDRESSES,
    Listener,
    explain_fault_errors,
    health_body,
    page_response,
    read_parameters,
)

log = logging.getLogger(__name__)

INFRASTRUCTURE = "infrastructure"
_SERVICE_TIMEOUT_SECONDS = 2.0
# The longest latency that can be injected, and a little.
_PASS_ON_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Control:
    """Shows, injects and heals faults; beside it a simulated host's node exporter and an HTTPS endpoint."""

    def __init__(self, config: ControlConfig, secrets: Secrets, host: str = ALL_ADDRESSES) -> None:
        self._config = config
        real = [spec for spec in REAL_FAULTS if spec.needs in config.endpoints]
        self._faults = FaultBook([*real, *HOST_FAULTS, *CERTIFICATE_FAULTS])
        self._faults.on_change = self._follow_certificate
        self._infrastructure = Infrastructure(config.endpoints, secrets)
        self._simulated_host = SimulatedHost(self._faults)
        self._certificate = Certificate(self._faults, "exchange-control")
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._active = Gauge("simulator_active_faults", "Infrastructure faults in force.", registry=self._registry)
        self._session: aiohttp.ClientSession | None = None
        self._page = resources.files("simulator").joinpath("pages/control.html").read_text(encoding="utf-8")
        self._change = asyncio.Lock()
        self.main = Listener(self._build, host, config.port)
        self.host_exporter = Listener(self._build_host, host, config.host_metrics_port)
        self.https = Listener(self._build_https, host, config.https_port, self._certificate.context)

    async def start(self) -> None:
        """Listen on every port; returns when they accept connections."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SERVICE_TIMEOUT_SECONDS))
        await self._infrastructure.clear_leftovers()
        await self.main.start()
        await self.host_exporter.start()
        await self.https.start()
        log.info("control started", extra={"port": self.main.port, "services": list(self._config.services)})

    async def stop(self) -> None:
        """Heal the infrastructure and close every port."""
        await self._heal_all_here()
        await self.main.stop()
        await self.host_exporter.stop()
        await self.https.stop()
        if self._session is not None:
            await self._session.close()

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[explain_fault_errors])
        app.router.add_get("/", self._show_page)
        app.router.add_get("/health", self._show_health)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/api/faults", self._show)
        app.router.add_delete("/api/faults", self._heal_everything)
        app.router.add_put("/api/faults/{service}/{name}", self._inject)
        app.router.add_delete("/api/faults/{service}/{name}", self._heal)
        app.router.add_route("*", "/services/{service}/{path:.*}", self._pass_on)
        return app

    def _build_host(self) -> web.Application:
        app = web.Application()

        async def show(_request: web.Request) -> web.Response:
            return web.Response(body=self._simulated_host.render(), headers={"Content-Type": CONTENT_TYPE})

        app.router.add_get("/metrics", show)
        return app

    def _build_https(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._show_health)
        return app

    async def _show_page(self, _request: web.Request) -> web.Response:
        return page_response(self._page)

    async def _show_health(self, _request: web.Request) -> web.Response:
        return web.json_response(health_body(self._config.version, {}))

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        self._active.set(len(self._faults.active_names()))
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE})

    async def _ask(self, service: str, method: str, path: str, parameters: object = None) -> tuple[int, object]:
        """A service's answer, asked of each of its instances: the worst. Raises FaultError (404, 502)."""
        if service not in self._config.services:
            known = ", ".join([*self._config.services, INFRASTRUCTURE])
            raise FaultError(404, f"There is no service {brief(service)}; use one of {known}.")
        assert self._session is not None
        url = URL(self._config.services[service] + path)
        try:
            # On a cluster the name stands for every pod, and a fault is the service's, not one pod's.
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            instances = dict.fromkeys(address[4][0] for address in found)
            answers = [self._ask_instance(url.with_host(str(host)), method, parameters) for host in instances]
            return max(await asyncio.gather(*answers), key=lambda answer: answer[0])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise FaultError(
                502, f"{service} does not answer on its control port; see whether its container runs."
            ) from error

    async def _ask_instance(self, url: URL, method: str, parameters: object) -> tuple[int, object]:
        assert self._session is not None
        async with self._session.request(method, url, json=parameters) as answer:
            return answer.status, json.loads(await answer.read())

    async def _pass_on(self, request: web.Request) -> web.Response:
        """A request to a service from outside its network, with the service's own answer."""
        service, path = request.match_info["service"], request.match_info["path"]
        if service not in self._config.addresses:
            known = ", ".join(self._config.addresses)
            raise FaultError(404, f"There is no service {brief(service)}; use one of {known}.")
        assert self._session is not None
        url = f"{self._config.addresses[service]}/{path}"
        try:
            async with self._session.request(
                request.method, url, params=request.query, data=await request.read(), timeout=_PASS_ON_TIMEOUT
            ) as answer:
                return web.Response(
                    body=await answer.read(), status=answer.status, headers={"Content-Type": answer.content_type}
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FaultError(502, f"{service} does not answer; see whether a fault holds it or it runs.") from error

    async def _state(self, service: str) -> dict[str, object]:
        try:
            _, body = await self._ask(service, "GET", "/faults")
        except FaultError as error:
            return {"reachable": False, "error": str(error), "available": {}, "active": {}}
        return {"reachable": True, **(body if isinstance(body, dict) else {})}

    async def _show(self, _request: web.Request) -> web.Response:
        names = list(self._config.services)
        states = await asyncio.gather(*(self._state(name) for name in names))
        every: dict[str, object] = dict(zip(names, states, strict=True))
        every[INFRASTRUCTURE] = {"reachable": True, **self._faults.describe()}
        return web.json_response(every)

    async def _inject(self, request: web.Request) -> web.Response:
        service, name = request.match_info["service"], request.match_info["name"]
        given = await read_parameters(request)
        if service != INFRASTRUCTURE:
            status, body = await self._ask(service, "PUT", f"/faults/{name}", given)
            return web.json_response(body, status=status)
        async with self._change:
            parameters = self._faults.parse(name, given)
            if self._infrastructure.knows(name):
                self._faults.heal(name)
                await self._infrastructure.inject(name, parameters)
            fault = self._faults.inject(name, parameters)
            await self._follow_host_down()
        return web.json_response({"fault": name, **fault.describe()})

    async def _heal(self, request: web.Request) -> web.Response:
        service, name = request.match_info["service"], request.match_info["name"]
        if service != INFRASTRUCTURE:
            status, body = await self._ask(service, "DELETE", f"/faults/{name}")
            return web.json_response(body, status=status)
        async with self._change:
            was_active = await self._heal_here(name)
        return web.json_response({"fault": name, "was_active": was_active})

    async def _heal_here(self, name: str) -> bool:
        was_active = self._faults.heal(name)
        await self._infrastructure.heal(name)
        await self._follow_host_down()
        return was_active

    async def _heal_all_here(self) -> None:
        async with self._change:
            for name in self._faults.active_names():
                await self._heal_here(name)
            await self._infrastructure.clear_leftovers()

    async def _heal_everything(self, _request: web.Request) -> web.Response:
        async def heal(service: str) -> str | None:
            try:
                await self._ask(service, "DELETE", "/faults")
            except FaultError:
                return service
            return None

        silent = await asyncio.gather(*(heal(service) for service in self._config.services))
        await self._heal_all_here()
        return web.json_response({"healed": True, "unreachable": [name for name in silent if name is not None]})

    def _follow_certificate(self, fault: str) -> None:
        if fault == CERTIFICATE_EXPIRING:
            self._certificate.renew()

    async def _follow_host_down(self) -> None:
        if self._faults.any_active("host_down"):
            await self.host_exporter.stop()
        else:
            await self.host_exporter.start()
