"""RabbitMQ as a simulated service uses it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
)

from simulator.config import Endpoint, Secrets
from simulator.dependencies import TIMEOUT_SECONDS, WORK_SECONDS, Dependency
from simulator.engine_feed import EXCHANGE, EngineEvents, EngineFeed
from simulator.faults import FaultBook

# Bounds that keep a forgotten fault, or a listener that is gone, from filling the broker's disk.
_QUEUE_LIMIT = 100_000
_FEED_QUEUE_LIMIT = 1000
# How long the queue of a listener that is gone stays: a restart comes back to it, a pod's successor has its own.
_FEED_QUEUE_MILLISECONDS = 60_000


class RabbitMqDependency(Dependency):
    """Publishes to a queue of the service's name and consumes it; carries the engine's events.

    `feed` is what a trading engine has to publish; `listener` receives what a market data service hears.
    """

    def __init__(
        self,
        name: str,
        service: str,
        endpoint: Endpoint,
        secrets: Secrets,
        *,
        faults: FaultBook,
        feed: EngineFeed | None = None,
        listener: Callable[[EngineEvents], None] | None = None,
    ) -> None:
        super().__init__(name, WORK_SECONDS)
        self._service, self._endpoint, self._secrets, self._faults = service, endpoint, secrets, faults
        self._feed, self._listener = feed, listener
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._events: AbstractExchange | None = None
        self._consumer: str | None = None

    async def connect(self) -> None:
        self._connection = await aio_pika.connect(
            host=self._endpoint.host,
            port=self._endpoint.port,
            login=self._endpoint.user,
            password=self._secrets.password("rabbitmq") or "guest",
            timeout=TIMEOUT_SECONDS,
            heartbeat=10,
            client_properties={"connection_name": self._service},
        )
        self._channel = await self._connection.channel()
        await self._channel.set_qos(prefetch_count=100)
        self._queue = await self._channel.declare_queue(
            self._service, durable=True, arguments={"x-max-length": _QUEUE_LIMIT}
        )
        if self._feed is not None or self._listener is not None:
            self._events = await self._channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.FANOUT, durable=True)
        if self._listener is not None:
            await self._listen(self._channel)

    async def _listen(self, channel: AbstractChannel) -> None:
        # Of its own: replicas that shared a queue would each hear half of the events and count the rest as gaps.
        queue = await channel.declare_queue(
            f"{self._service}.{EXCHANGE}.{socket.gethostname()}",
            durable=True,
            arguments={"x-max-length": _FEED_QUEUE_LIMIT, "x-expires": _FEED_QUEUE_MILLISECONDS},
        )
        await queue.bind(EXCHANGE)
        await queue.consume(self._hear)

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        # A message that cannot be read is dropped: handed back, it would return for ever.
        async with message.process(requeue=False, ignore_processed=True):
            try:
                events = EngineEvents.decode(message.body)
            except (ValueError, KeyError, TypeError):
                await message.reject(requeue=False)
                return
            if self._listener is not None:
                self._listener(events)

    async def work(self) -> None:
        assert self._connection is not None
        assert self._channel is not None
        if self._connection.is_closed or self._channel.is_closed:
            raise ConnectionError
        fault = self._faults.active("no_consumer")
        await self._consume(wanted=fault is None)
        count = 1 if fault is None else max(1, round(fault.number("per_second") * WORK_SECONDS))
        body = json.dumps({"service": self._service, "timestamp": time.time()}).encode()
        for _ in range(count):
            await self._channel.default_exchange.publish(aio_pika.Message(body), routing_key=self._service)
        if self._feed is not None and self._events is not None:
            for events in self._feed.waiting():
                await self._events.publish(aio_pika.Message(events.encode()), routing_key=events.market)
                self._feed.published(events)

    async def _consume(self, *, wanted: bool) -> None:
        assert self._queue is not None
        if wanted and self._consumer is None:
            self._consumer = await self._queue.consume(_acknowledge)
        elif not wanted and self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await self._queue.cancel(consumer)

    async def close(self) -> None:
        self._consumer = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


async def _acknowledge(message: AbstractIncomingMessage) -> None:
    await message.ack()
