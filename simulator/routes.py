"""The service's own port: /metrics, /health and the routes customers call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from simulator.config import ServiceConfig
from simulator.faults import FaultBook
from simulator.metrics import CONTENT_TYPE, ContractMetrics
from simulator.traffic import INVALID_ROUTE, OTHER_ROUTE, HttpTraffic, Profile
from simulator.web_common import Handler, health_body, problem, refusal

# Longer than any probe or scrape waits.
_HANG_SECONDS = 60.0
_HANG_STEP_SECONDS = 0.5
_BODY_LIMIT = 64 * 1024


class ServiceRoutes:
    """Builds the application of one service; built anew whenever the port starts to listen."""

    def __init__(
        self,
        config: ServiceConfig,
        *,
        metrics: ContractMetrics,
        traffic: HttpTraffic,
        profile: Profile,
        faults: FaultBook,
        dependencies: Callable[[], Mapping[str, bool]],
    ) -> None:
        self._config, self._metrics, self._traffic = config, metrics, traffic
        self._profile, self._faults, self._dependencies = profile, faults, dependencies

    def build(self) -> web.Application:
        app = web.Application(middlewares=[self._hang, self._explain, self._count], client_max_size=_BODY_LIMIT)
        app.router.add_get(self._config.metrics_path, self._show_metrics)
        app.router.add_get(self._config.health_path, self._show_health)
        app.router.add_get(INVALID_ROUTE, self._fail)
        for method, route in self._profile.routes:
            app.router.add_route(method, route, self._answer)
        return app

    @web.middleware
    async def _hang(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        names = ["hang"] + (["health_hang"] if request.path == self._config.health_path else [])
        deadline = time.monotonic() + _HANG_SECONDS
        hung = self._faults.any_active(*names)
        while self._faults.any_active(*names) and time.monotonic() < deadline:
            await asyncio.sleep(_HANG_STEP_SECONDS)
        # An answer after the fault healed would reach a caller that gave up long ago.
        return problem(503, "The service did not answer in time.") if hung else await handler(request)

    @web.middleware
    async def _explain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPException, web.RequestPayloadError) as error:
            return refusal(request, error)

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in (self._config.metrics_path, self._config.health_path):
            return await handler(request)
        started = time.perf_counter()
        resource = request.match_info.route.resource
        route = OTHER_ROUTE if resource is None else resource.canonical
        try:
            answer = await self._serve(request, handler)
        except (web.HTTPException, web.RequestPayloadError) as error:
            answer = refusal(request, error)
        self._traffic.record(request.method, route, answer.status, time.perf_counter() - started)
        return answer

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        delay = self._traffic.delay(self._faults)
        if delay:
            await asyncio.sleep(delay)
        failed = self._traffic.failure(self._faults)
        if failed:
            return problem(failed, "The request failed.")
        return await handler(request)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        page = self._metrics.render()
        if self._faults.active("clock_backwards") is not None:
            # On one page: a sample older than the one of the last scrape may be older than all that can be written.
            stamp = round(1000 * time.time())
            page += f"fault_clock_backwards 1 {stamp}\nfault_clock_backwards 1 {stamp - 1000}\n".encode()
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})

    async def _show_health(self, _request: web.Request) -> web.Response:
        return web.json_response(health_body(self._config.version, self._dependencies()))

    async def _fail(self, _request: web.Request) -> web.Response:
        return problem(500, "The request failed.")

    async def _answer(self, request: web.Request) -> web.Response:
        if request.can_read_body:
            try:
                await request.json()
            except (ValueError, RecursionError, LookupError):  # the last: a character set that nobody knows
                return problem(400, "The body is not valid JSON; send a JSON object.")
        resource = request.match_info.route.resource
        answer: dict[str, object] = {"service": self._config.name, "timestamp": time.time()}
        if resource is not None:
            answer["route"] = resource.canonical
        return web.json_response({**answer, **request.match_info})
