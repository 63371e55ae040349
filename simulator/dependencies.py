"""A service's dependencies: each is worked with for real, and so known to be up or down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod

import aiohttp

log = logging.getLogger(__name__)

WORK_SECONDS = 1.0
CHECK_SECONDS = 3.0
TIMEOUT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 4.0


class Dependency(ABC):
    """One dependency, kept connected for as long as `run` runs; down once a new connection fails as well."""

    def __init__(self, name: str, every_seconds: float) -> None:
        self.name = name
        self.up = False
        self.reached = False  # ever
        self.checked = asyncio.Event()
        self._every_seconds = every_seconds

    @abstractmethod
    async def connect(self) -> None:
        """Open the connection; any exception means that the dependency is down."""

    @abstractmethod
    async def work(self) -> None:
        """One round trip; any exception means that the dependency is down."""

    @abstractmethod
    async def close(self) -> None:
        """Give the connection back; called after a failure and at the end."""

    async def run(self) -> None:
        """Connect, work, and connect again after a failure, until cancelled."""
        wait, failures = 0.5, 0
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self.connect()
                while True:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self.work()
                    self._note(up=True)
                    wait, failures = 0.5, 0
                    await asyncio.sleep(self._every_seconds)
            except Exception as problem:  # whatever a driver raises, the service lives on without it
                failures += 1
                if failures > 1 or not self.up:
                    self._note(up=False, reason=type(problem).__name__)
            finally:
                # A broken connection may fail again while it closes, or hang.
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self.close()
            if self.up:
                # One slow answer, or a connection that was closed while idle, is no outage.
                continue
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _note(self, *, up: bool, reason: str = "") -> None:
        if up != self.up or not self.checked.is_set():
            if up:
                log.info("dependency reached", extra={"dependency": self.name})
            else:
                # The driver's own text may quote the connection string, so only its type is logged.
                log.error("dependency lost", extra={"dependency": self.name, "reason": reason})
        self.up = up
        self.reached = self.reached or up
        self.checked.set()


class ServiceDependency(Dependency):
    """Another service: up while its /health answers 200. A degraded service is up."""

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, CHECK_SECONDS)
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def connect(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))

    async def work(self) -> None:
        assert self._session is not None
        async with self._session.get(self._url) as answer:
            answer.raise_for_status()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
