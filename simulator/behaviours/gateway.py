"""The edge: rate limits, blocks and where requests come from."""

from __future__ import annotations

from simulator.behaviours.base import World
from simulator.traffic import Moment, drift

_POLICIES = ("anonymous", "account", "orders")
_REASONS = {"blocklist": 0.6, "malformed": 0.3, "geo": 0.1}
_USUAL_SOURCES = 800


class Gateway:
    def __init__(self, world: World) -> None:
        self._world = world
        self._limited = world.metrics.counter("rate_limit_hits_total")
        self._sources = world.metrics.gauge("gateway_client_sources")
        self._blocked = world.metrics.counter("gateway_blocked_requests_total")
        for policy in _POLICIES:
            self._limited.labels(policy)
        for reason in _REASONS:
            self._blocked.labels(reason)

    def tick(self, moment: Moment) -> None:
        if moment.idle:
            self._sources.set(0)
            return
        chance, faults = self._world.chance, moment.faults
        usual = _USUAL_SOURCES * moment.activity * (1 + 0.05 * drift(moment.now, 900, 0.2))
        flood = faults.active("ddos")
        self._sources.set(round(usual + (flood.number("sources") if flood else 0)))
        load = moment.elapsed * moment.activity
        for policy in _POLICIES:
            self._limited.labels(policy).inc(chance.poisson(0.02 * load))
        dropped = chance.poisson(0.05 * load)
        if flood:
            # A flood is mostly anonymous: limits refuse what the blocklist does not drop first.
            per_second = 40 * moment.activity * flood.number("multiplier")
            self._limited.labels("anonymous").inc(chance.poisson(0.4 * per_second * moment.elapsed))
            dropped += chance.poisson(0.3 * per_second * moment.elapsed)
        for reason, count in chance.split(dropped, _REASONS).items():
            self._blocked.labels(reason).inc(count)
        refused = chance.poisson(faults.number("rate_limit_storm", "per_second", 0) * moment.elapsed)
        self._limited.labels("account").inc(refused)
        self._world.traffic.add("POST", "/api/v1/orders", 429, refused)
