"""Publication of the engine's events to customers: it follows what the engine really published."""

from __future__ import annotations

from simulator.behaviours.base import World
from simulator.engine_feed import EngineEvents
from simulator.traffic import Moment

_MARKETS = ("BTC-USD", "ETH-USD", "ETH-BTC")


class MarketData:
    def __init__(self, world: World) -> None:
        metrics = world.metrics
        self._sequence = metrics.gauge("market_data_sequence")
        self._gaps = metrics.counter("market_data_sequence_gaps_total")
        self._last_event = metrics.gauge("market_data_last_event_timestamp_seconds")
        # By market and engine: several engines may run, each with a sequence of its own.
        self._seen: dict[tuple[str, float], int] = {}
        for market in _MARKETS:
            self._sequence.labels(market)
            self._gaps.labels(market)
            self._last_event.labels(market)

    def tick(self, moment: Moment) -> None:
        """Nothing moves by the clock: events arrive through `accept`."""

    def accept(self, events: EngineEvents) -> None:
        """Publish a run of engine events; one that begins after the end of the last one leaves a gap."""
        engine = (events.market, events.epoch)
        seen = self._seen.get(engine, events.previous)
        if events.previous > seen:
            self._gaps.labels(events.market).inc()
        # A run whose receipt came too late for the engine is sent again, longer.
        self._seen[engine] = max(seen, events.last)
        self._sequence.labels(events.market).set(events.last)
        self._last_event.labels(events.market).set(events.timestamp)
