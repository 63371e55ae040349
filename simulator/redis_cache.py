"""Redis as a simulated service uses it."""

from __future__ import annotations

import time

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from simulator.chance import Chance
from simulator.config import Endpoint, Secrets
from simulator.dependencies import TIMEOUT_SECONDS, WORK_SECONDS, Dependency
from simulator.faults import FaultBook

_KEY_LIFETIME_SECONDS = 300
_KEYS = 200
_MISS_RATIO = 0.05


class RedisDependency(Dependency):
    """Looks keys up as a cache does, about 95 of 100 with success; keys live five minutes."""

    def __init__(
        self,
        name: str,
        service: str,
        endpoint: Endpoint,
        secrets: Secrets,
        *,
        chance: Chance,
        faults: FaultBook,
    ) -> None:
        super().__init__(name, WORK_SECONDS)
        self._service, self._endpoint, self._secrets = service, endpoint, secrets
        self._chance, self._faults = chance, faults
        self._client: redis.Redis | None = None

    async def connect(self) -> None:
        self._client = redis.Redis(
            host=self._endpoint.host,
            port=self._endpoint.port,
            password=self._secrets.password("redis"),
            client_name=self._service,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            single_connection_client=True,
            # The dependency reconnects by itself; the client's own retries would hide an outage.
            retry=Retry(NoBackoff(), 0),
        )

    async def work(self) -> None:
        assert self._client is not None
        await self._client.ping()
        fault = self._faults.active("cache_misses")
        if fault is None:
            await self._look_up(_MISS_RATIO)
            return
        for _ in range(max(1, round(fault.number("per_second") * WORK_SECONDS))):
            await self._look_up(fault.number("ratio"))

    async def _look_up(self, miss_ratio: float) -> None:
        assert self._client is not None
        key = f"{self._service}:cache:{self._chance.randrange(_KEYS)}"
        if self._chance.random() < miss_ratio:
            await self._client.get(f"{key}:absent")
            return
        # Written first: a cache that has just restarted would otherwise miss for minutes.
        await self._client.set(key, f"{time.time():.3f}", ex=_KEY_LIFETIME_SECONDS)
        await self._client.get(key)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
