"""The engine's events on their way to the market data service, over RabbitMQ."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

EXCHANGE = "engine.events"


@dataclass(frozen=True, slots=True)
class EngineEvents:
    """A run of events of one market: those after `previous` up to `last`.

    `epoch` is the engine's start (Unix seconds): after a restart the sequence begins anew, which is
    no gap. `timestamp` is the Unix time of the last event.
    """

    market: str
    epoch: float
    previous: int
    last: int
    timestamp: float

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> EngineEvents:
        """Raises ValueError, KeyError or TypeError for a body that is no run of events."""
        read = json.loads(body)
        return cls(
            str(read["market"]),
            float(read["epoch"]),
            int(read["previous"]),
            int(read["last"]),
            float(read["timestamp"]),
        )


class EngineFeed:
    """What the engine has still to publish. An unpublished run grows until the broker takes it."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self._published: dict[str, int] = {}
        self._last: dict[str, tuple[int, float]] = {}

    def advance(self, market: str, last: int, now: float) -> None:
        """The engine reached sequence number `last` at Unix time `now`."""
        self._published.setdefault(market, last)
        if self._last.get(market, (None, 0.0))[0] != last:
            self._last[market] = (last, now)

    def lose(self, market: str, events: int) -> None:
        """Events that were matched and are never published."""
        self._published[market] = self._published.get(market, 0) + events

    def waiting(self) -> list[EngineEvents]:
        """The runs to publish now, at most one a market."""
        return [
            EngineEvents(market, self._epoch, self._published[market], last, now)
            for market, (last, now) in self._last.items()
            if last > self._published[market]
        ]

    def published(self, events: EngineEvents) -> None:
        """The broker took this run."""
        self._published[events.market] = events.last
