"""Order entry and matching."""

from __future__ import annotations

import time
from dataclasses import dataclass

from simulator.behaviours.base import World
from simulator.engine_feed import EngineFeed
from simulator.traffic import Moment, drift

_ORDERS_PER_SECOND = 12.0
_REJECTIONS = {"insufficient_funds": 0.6, "invalid_price": 0.2, "risk_limit": 0.15, "market_closed": 0.05}
_REJECTED_RATIO = 0.01
_MATCHED_RATIO = 0.7
_CANCELLED_RATIO = 0.15
_MATCHING_MEDIAN_SECONDS = 0.002
_MEDIAN_TRADE_USD = 650.0
# Maker and taker together pay 0.2 % of a trade.
_FEE_RATIO = 0.002
# A backlog is worked off at this pace once matching resumes, in orders/s and market.
_DRAIN_PER_SECOND = 400


@dataclass(slots=True)
class _Market:
    name: str
    share: float
    sequence: int = 0
    backlog: int = 0


class Trading:
    def __init__(self, world: World) -> None:
        self._world = world
        metrics = world.metrics
        self._created = metrics.counter("orders_created_total")
        self._rejected = metrics.counter("orders_rejected_total")
        self._cancelled = metrics.counter("orders_cancelled_total")
        self._matched = metrics.counter("orders_matched_total")
        self._top_account = metrics.gauge("orders_top_account_ratio")
        self._trades = metrics.counter("trades_executed_total")
        self._volume = metrics.counter("trade_volume_usd_total")
        self._fees = metrics.counter("trade_fees_usd_total")
        self._latency = metrics.histogram("matching_engine_latency_seconds")
        self._sequence = metrics.gauge("matching_engine_sequence")
        self._depth = metrics.gauge("matching_engine_queue_depth")
        self.feed = EngineFeed(epoch=time.time())
        self._markets = [_Market("BTC-USD", 0.5), _Market("ETH-USD", 0.35), _Market("ETH-BTC", 0.15)]
        self._next_loss = 0.0
        for market in self._markets:
            self._prepare(market.name)

    def _prepare(self, market: str) -> None:
        for metric in (self._created, self._cancelled, self._matched, self._trades, self._volume, self._fees):
            metric.labels(market)
        self._latency.labels(market)
        self._sequence.labels(market).set(0)
        self._depth.labels(market).set(0)
        for reason in _REJECTIONS:
            self._rejected.labels(market, reason)
        self.feed.advance(market, 0, time.time())

    def tick(self, moment: Moment) -> None:
        self._lose_events(moment)
        for number, market in enumerate(self._markets):
            self._top(moment, market.name, number)
            accepted = 0 if moment.idle else self._accept(moment, market)
            if moment.faults.any_active("stalled_matching"):
                market.backlog += accepted
            else:
                ready = min(market.backlog, int(_DRAIN_PER_SECOND * moment.elapsed))
                market.backlog -= ready
                self._match(moment, market, accepted + ready)
            in_flight = self._world.chance.poisson(1.5) if accepted else 0
            self._depth.labels(market.name).set(market.backlog + in_flight)
            self._sequence.labels(market.name).set(market.sequence)
            self.feed.advance(market.name, market.sequence, moment.now)

    def _top(self, moment: Moment, market: str, number: int) -> None:
        usual = 0.08 + 0.03 * drift(moment.now, 600, number / 3)
        self._top_account.labels(market).set(moment.faults.number("order_flood", "top_account_ratio", usual))

    def _accept(self, moment: Moment, market: _Market) -> int:
        """Orders accepted into the book in this step."""
        chance, faults = self._world.chance, moment.faults
        mean = _ORDERS_PER_SECOND * market.share * moment.activity * moment.elapsed
        sent = chance.poisson(mean * faults.number("order_flood", "multiplier", 1))
        refused = chance.part(sent, faults.number("order_rejections", "ratio", _REJECTED_RATIO))
        for reason, count in chance.split(refused, _REJECTIONS).items():
            self._rejected.labels(market.name, reason).inc(count)
        self._created.labels(market.name).inc(sent - refused)
        return sent - refused

    def _match(self, moment: Moment, market: _Market, orders: int) -> None:
        chance, faults = self._world.chance, moment.faults
        matched = chance.part(orders, faults.number("low_match_rate", "ratio", _MATCHED_RATIO))
        cancelled = chance.part(orders - matched, _CANCELLED_RATIO / (1 - _MATCHED_RATIO))
        self._matched.labels(market.name).inc(matched)
        self._cancelled.labels(market.name).inc(cancelled)
        median = faults.number("slow_matching", "seconds", _MATCHING_MEDIAN_SECONDS)
        latency = self._latency.labels(market.name)
        for _ in range(matched):
            latency.observe(chance.around(median, 0.35))
        trades = chance.part(matched, 0.6)
        volume = sum(chance.around(_MEDIAN_TRADE_USD, 1.1) for _ in range(trades))
        self._trades.labels(market.name).inc(trades)
        self._volume.labels(market.name).inc(volume)
        self._fees.labels(market.name).inc(volume * _FEE_RATIO)
        # Every acceptance, cancellation and trade is one event.
        market.sequence += orders + cancelled + trades

    def _lose_events(self, moment: Moment) -> None:
        fault = moment.faults.active("sequence_gap")
        if fault is None:
            self._next_loss = 0.0
        elif moment.now >= self._next_loss:
            self._next_loss = moment.now + fault.number("every_seconds")
            market, events = self._markets[0], int(fault.number("events"))
            market.sequence += events
            self.feed.lose(market.name, events)
