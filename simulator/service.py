"""One process that behaves as one service of the catalog."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from simulator.behaviours.base import World
from simulator.behaviours.create import create_behaviours
from simulator.behaviours.market_data import MarketData
from simulator.behaviours.trading import Trading
from simulator.chance import Chance
from simulator.config import Endpoint, Secrets, ServiceConfig
from simulator.dependencies import TIMEOUT_SECONDS, Dependency, ServiceDependency
from simulator.engine_feed import EngineEvents, EngineFeed
from simulator.fault_catalog import usable_faults
from simulator.faults import FaultBook
from simulator.metrics import ContractMetrics
from simulator.routes import ServiceRoutes
from simulator.traffic import HttpTraffic, Moment, profile_of
from simulator.web_common import ALL_ADDRESSES, Listener, add_fault_routes, explain_fault_errors

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# A suspended machine must not wake up to an hour of traffic in one step.
_LONGEST_STEP_SECONDS = 5.0
_CRASH_AFTER_SECONDS = 0.2
# A load balancer sends customers to an instance once it is ready; one whose dependencies stay away must do as it is.
_LONGEST_WARM_UP_SECONDS = 30.0


class Service:
    """A simulated service: its traffic, its dependencies, its port and its faults."""

    def __init__(
        self,
        config: ServiceConfig,
        secrets: Secrets,
        host: str = ALL_ADDRESSES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix time. Raises ConfigError for a configuration that contradicts itself."""
        self._config, self._secrets, self._clock = config, secrets, clock
        self.faults = FaultBook(usable_faults(config.capabilities, config.dependencies))
        self.faults.on_change = self._fault_changed
        self.metrics = ContractMetrics(config.metrics, config.rename)
        self._chance = Chance()
        profile = profile_of(config.capabilities)
        self._traffic = HttpTraffic(self.metrics, profile, self._chance)
        world = World(self.metrics, self._traffic, self._chance, config.simulate)
        self.behaviours = create_behaviours(config.capabilities, world)
        self._dependencies = [self._create_dependency(name) for name in config.dependencies]
        self._dependency_up = self.metrics.gauge("service_dependency_up")
        self.metrics.gauge("service_build_info").labels(config.version).set(1)
        routes = ServiceRoutes(
            config,
            metrics=self.metrics,
            traffic=self._traffic,
            profile=profile,
            faults=self.faults,
            dependencies=self.dependency_states,
        )
        self.main = Listener(routes.build, host, config.port)
        self.control = Listener(self._build_control, host, config.control_port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._port_lock = asyncio.Lock()
        self._warm_up = _LONGEST_WARM_UP_SECONDS
        self._last_tick = time.monotonic()

    def _create_dependency(self, name: str) -> Dependency:
        # Each driver is imported only where it is used: a node that needs none stays small.
        endpoint, service = self._config.endpoints[name], self._config.name
        if endpoint.kind == "postgres":
            from simulator.database import PostgresDependency  # noqa: PLC0415

            return PostgresDependency(name, service, endpoint, self._secrets, self._chance)
        if endpoint.kind == "redis":
            from simulator.redis_cache import RedisDependency  # noqa: PLC0415

            return RedisDependency(name, service, endpoint, self._secrets, chance=self._chance, faults=self.faults)
        if endpoint.kind == "rabbitmq":
            return self._create_broker(name, endpoint)
        return ServiceDependency(name, endpoint.url)

    def _create_broker(self, name: str, endpoint: Endpoint) -> Dependency:
        from simulator.broker import RabbitMqDependency  # noqa: PLC0415

        feed: EngineFeed | None = None
        listener: Callable[[EngineEvents], None] | None = None
        for behaviour in self.behaviours:
            if isinstance(behaviour, Trading):
                feed = behaviour.feed
            elif isinstance(behaviour, MarketData):
                listener = behaviour.accept
        return RabbitMqDependency(
            name, self._config.name, endpoint, self._secrets, faults=self.faults, feed=feed, listener=listener
        )

    def _build_control(self) -> web.Application:
        app = web.Application(middlewares=[explain_fault_errors])
        add_fault_routes(app, self.faults)
        return app

    def dependency_states(self) -> dict[str, bool]:
        """Whether each declared dependency answered its last round trip."""
        return {dependency.name: dependency.up for dependency in self._dependencies}

    async def start(self) -> None:
        """Begin to work and to listen; returns when both ports accept connections."""
        for dependency in self._dependencies:
            self._spawn(dependency.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS + 0.5):
                for dependency in self._dependencies:
                    await dependency.checked.wait()
        self.tick()
        await self.control.start()
        await self.main.start()
        self._spawn(self._keep_ticking())
        log.info(
            "service started",
            extra={
                "port": self.main.port,
                "version": self._config.version,
                "environment": self._config.environment,
            },
        )

    async def stop(self) -> None:
        """Close both ports and every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.main.stop()
        await self.control.stop()
        log.info("service stopped")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        """One step, as long as the time since the last one."""
        elapsed = min(time.monotonic() - self._last_tick, _LONGEST_STEP_SECONDS)
        self._last_tick = time.monotonic()
        self.step(self._clock(), elapsed)

    def step(self, now: float, elapsed: float) -> None:
        """What happens in the `elapsed` seconds before the Unix time `now`."""
        states = self.dependency_states()
        for name, up in states.items():
            self._dependency_up.labels(name).set(up)
        self._traffic.dependencies_down = tuple(name for name, up in states.items() if not up)
        moment = Moment(now, elapsed, self.faults)
        for behaviour in self.behaviours:
            behaviour.tick(moment)
        self._warm_up = self._warm_up - elapsed if not all(each.reached for each in self._dependencies) else 0
        if self._warm_up <= 0:
            self._traffic.tick(moment)

    def _fault_changed(self, name: str) -> None:
        if name == "crash" and self.faults.any_active("crash"):
            # The answer to whoever asked for the crash must leave first.
            asyncio.get_running_loop().call_later(_CRASH_AFTER_SECONDS, os._exit, 1)
        elif name == "stop":
            self._spawn(self._follow_stop_fault())
        else:
            # Visible at the next scrape even when that comes before the next step.
            self.tick()

    async def _follow_stop_fault(self) -> None:
        async with self._port_lock:
            if self.faults.any_active("stop"):
                await self.main.stop()
            else:
                await self.main.start()
