"""Faults of the real infrastructure: what each breaks, and how it is put right again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import aio_pika
import psycopg
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from simulator.config import Endpoint, Secrets
from simulator.faults import FaultError, FaultSpec, Parameter, Value

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Parameters = Mapping[str, Value]

_TIMEOUT_SECONDS = 5
# Filling memory or publishing a large backlog takes seconds; more means that something is stuck.
_INJECT_SECONDS = 60
_TAKES_EACH_SECONDS = 5
_KEY_PREFIX = "fault:"
_TABLE = "fault_uncached_reads"
_MIB = 1024 * 1024

REAL_FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec("replication_lag", "The replica stops to replay what the primary writes.", needs="database_replica"),
    FaultSpec(
        "connection_exhaustion",
        "Connections of the primary are taken and held.",
        (Parameter("ratio", "Part of max_connections in use.", 0.95, 0.1, 1),),
        needs="database",
    ),
    FaultSpec(
        "slow_queries",
        "Slow queries run against the primary.",
        (
            Parameter("seconds", "Duration of one query.", 10, 0.1, 600),
            Parameter("concurrency", "Queries at once.", 4, 1, 20),
        ),
        needs="database",
    ),
    FaultSpec(
        "uncached_reads",
        "A table larger than the primary's cache is read over and over.",
        (Parameter("mib", "Size of the table.", 128, 8, 4096),),
        needs="database",
    ),
    FaultSpec(
        "redis_memory",
        "Redis fills up.",
        (Parameter("ratio", "Part of maxmemory in use.", 0.95, 0.1, 0.98),),
        needs="redis",
    ),
    FaultSpec(
        "queue_backlog",
        "Messages wait in a queue that nobody consumes; in a queue that has a consumer they do not stay.",
        (
            Parameter("queue", "Queue, created where it does not exist.", "fault.backlog"),
            Parameter("count", "Messages.", 20000, 1, 200000),
        ),
        needs="rabbitmq",
    ),
)


class Infrastructure:
    """Injects and heals the real faults. What an injection opened or wrote, its healing undoes."""

    def __init__(self, endpoints: Mapping[str, Endpoint], secrets: Secrets) -> None:
        self._endpoints, self._secrets = endpoints, secrets
        self._active: dict[str, AsyncExitStack] = {}
        self._effects: dict[str, Callable[[Parameters], AbstractAsyncContextManager[None]]] = {
            "replication_lag": self._replication_lag,
            "connection_exhaustion": self._connection_exhaustion,
            "slow_queries": self._slow_queries,
            "uncached_reads": self._uncached_reads,
            "redis_memory": self._redis_memory,
            "queue_backlog": self._queue_backlog,
        }

    def knows(self, name: str) -> bool:
        """Whether the fault is one of the real ones."""
        return name in self._effects

    async def inject(self, name: str, parameters: Parameters) -> None:
        """Break it. Raises FaultError (502) when the system concerned does not let itself be broken."""
        await self.heal(name)
        stack = AsyncExitStack()
        try:
            async with asyncio.timeout(_INJECT_SECONDS):
                await stack.enter_async_context(self._effects[name](parameters))
        except FaultError:
            raise
        except Exception as problem:  # drivers of three systems raise what they like
            log.error("fault not injected", extra={"fault": name, "reason": type(problem).__name__})
            raise FaultError(
                502,
                f"{name} was not injected ({type(problem).__name__}); check that the system runs and its account.",
            ) from problem
        self._active[name] = stack

    async def heal(self, name: str) -> None:
        """Put it right; harmless when it is not broken."""
        stack = self._active.pop(name, None)
        if stack is not None:
            # The system may be gone meanwhile; then there is nothing left to put right.
            with contextlib.suppress(Exception):
                await stack.aclose()

    async def clear_leftovers(self) -> None:
        """Undo what an earlier run of this program left behind in Postgres and in Redis."""
        for leftover in (self._resume_replay, self._delete_keys, self._drop_table):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    await leftover()

    async def _postgres(self, name: str) -> Connection:
        endpoint = self._endpoints[name]
        return await psycopg.AsyncConnection.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            dbname=endpoint.dbname,
            password=self._secrets.password("postgres"),
            application_name="fault",
            connect_timeout=_TIMEOUT_SECONDS,
            autocommit=True,
        )

    def _redis(self) -> redis.Redis:
        endpoint = self._endpoints["redis"]
        return redis.Redis(
            host=endpoint.host,
            port=endpoint.port,
            password=self._secrets.password("redis"),
            socket_timeout=_TIMEOUT_SECONDS,
            # Whoever asked for the fault is told at once that Redis is away.
            retry=Retry(NoBackoff(), 0),
            client_name="fault",
        )

    async def _resume_replay(self) -> None:
        async with await self._postgres("database_replica") as connection:
            row = await (await connection.execute("SELECT pg_is_in_recovery()")).fetchone()
            if row is not None and row[0]:
                await connection.execute("SELECT pg_wal_replay_resume()")

    @asynccontextmanager
    async def _replication_lag(self, _parameters: Parameters) -> AsyncIterator[None]:
        async with await self._postgres("database_replica") as connection:
            await connection.execute("SELECT pg_wal_replay_pause()")
        yield
        await self._resume_replay()

    @asynccontextmanager
    async def _connection_exhaustion(self, parameters: Parameters) -> AsyncIterator[None]:
        held = [await self._postgres("database")]
        task: asyncio.Task[None] | None = None
        try:
            await self._take_connections(held, float(parameters["ratio"]))
            task = asyncio.create_task(self._keep_taking(held, float(parameters["ratio"])))
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            for connection in held:
                await connection.close()

    async def _take_connections(self, held: list[Connection], ratio: float) -> None:
        row = await (
            await held[0].execute(
                "SELECT current_setting('max_connections')::int,"
                " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
            )
        ).fetchone()
        most, used = (int(row[0]), int(row[1])) if row is not None else (0, 0)
        with contextlib.suppress(psycopg.OperationalError):
            # The server refuses the last few, which it reserves: then all that can be taken are taken.
            while used < round(most * ratio):
                held.append(await self._postgres("database"))
                used += 1

    async def _keep_taking(self, held: list[Connection], ratio: float) -> None:
        """What others give back is taken too."""
        while True:
            await asyncio.sleep(_TAKES_EACH_SECONDS)
            await self._take_connections(held, ratio)

    @asynccontextmanager
    async def _uncached_reads(self, parameters: Parameters) -> AsyncIterator[None]:
        async with await self._postgres("database") as connection:
            await self._drop_table()
            # Unlogged: the replica is spared. A row fills a page of 8 kB.
            await connection.execute(f"CREATE UNLOGGED TABLE {_TABLE} (filler text)")
            await connection.execute(f"ALTER TABLE {_TABLE} ALTER COLUMN filler SET STORAGE PLAIN")
            rows = int(parameters["mib"]) * _MIB // 8192
            await connection.execute(
                f"INSERT INTO {_TABLE} SELECT repeat('x', 7900) FROM generate_series(1, %s)",  # noqa: S608 (a constant)
                (rows,),
            )
            task = asyncio.create_task(_read_again(connection))
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._drop_table()

    async def _drop_table(self) -> None:
        async with await self._postgres("database") as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")

    @asynccontextmanager
    async def _slow_queries(self, parameters: Parameters) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            tasks: list[asyncio.Task[None]] = []
            for _ in range(int(parameters["concurrency"])):
                connection = await held.enter_async_context(await self._postgres("database"))
                tasks.append(asyncio.create_task(_sleep_again(connection, float(parameters["seconds"]))))
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def _redis_memory(self, parameters: Parameters) -> AsyncIterator[None]:
        ratio = float(parameters["ratio"])
        async with self._redis() as client:
            memory = await client.info("memory")
            limit = int(memory["maxmemory"])
            if limit == 0:
                raise FaultError(502, "redis_memory: Redis has no maxmemory to fill; set one in its configuration.")
            block = b"x" * max(1024, min(_MIB, limit // 200))
            # Bounded: where Redis evicts the fault's own keys, use never reaches the ratio.
            with contextlib.suppress(redis.ResponseError):
                for number in range(2 * limit // len(block)):
                    if (await client.info("memory"))["used_memory"] >= ratio * limit:
                        break
                    await client.set(f"{_KEY_PREFIX}{number}", block)
        yield
        await self._delete_keys()

    async def _delete_keys(self) -> None:
        async with self._redis() as client:
            keys = [key async for key in client.scan_iter(match=f"{_KEY_PREFIX}*", count=1000)]
            if keys:
                await client.unlink(*keys)

    @asynccontextmanager
    async def _queue_backlog(self, parameters: Parameters) -> AsyncIterator[None]:
        name = str(parameters["queue"])
        async with await self._broker() as connection:
            await _declare(connection, name)
            # Unconfirmed is ten times as fast; closing the channel waits until the broker has them all.
            channel = await connection.channel(publisher_confirms=False)
            message = aio_pika.Message(b'{"fault": "queue_backlog"}')
            for _ in range(int(parameters["count"])):
                await channel.default_exchange.publish(message, routing_key=name)
            await channel.close()
        yield
        async with await self._broker() as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(name, passive=True)
            await queue.purge()

    async def _broker(self) -> aio_pika.abc.AbstractConnection:
        endpoint = self._endpoints["rabbitmq"]
        return await aio_pika.connect(
            host=endpoint.host,
            port=endpoint.port,
            login=endpoint.user,
            password=self._secrets.password("rabbitmq") or "guest",
            timeout=_TIMEOUT_SECONDS,
        )


async def _declare(connection: aio_pika.abc.AbstractConnection, name: str) -> None:
    """Create a queue unless it exists, with whatever arguments its owner gave it."""
    probe = await connection.channel()
    try:
        await probe.declare_queue(name, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        # The broker closes the channel on which a queue was not found.
        fresh = await connection.channel()
        await fresh.declare_queue(name, durable=True)


async def _sleep_again(connection: Connection, seconds: float) -> None:
    while True:
        await connection.execute("SELECT pg_sleep(%s)", (seconds,))


async def _read_again(connection: Connection) -> None:
    while True:
        await connection.execute(f"SELECT count(*) FROM {_TABLE}")  # noqa: S608 (a constant)
        await asyncio.sleep(5)
