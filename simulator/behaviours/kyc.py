"""Identity checks of customers."""

from __future__ import annotations

import time
from collections import deque

from simulator.behaviours.base import World
from simulator.traffic import Moment

_PER_SECOND = 0.02
_DECIDED_AFTER_SECONDS = 1200.0
_APPROVED_RATIO = 0.92


class Kyc:
    def __init__(self, world: World) -> None:
        self._world = world
        metrics = world.metrics
        self._submitted = metrics.counter("kyc_submitted_total")
        self._decisions = metrics.counter("kyc_decisions_total")
        self._pending = metrics.gauge("kyc_pending")
        self._age = metrics.gauge("kyc_oldest_pending_age_seconds")
        for decision in ("approved", "rejected"):
            self._decisions.labels(decision)
        # A service that starts finds the queue it left, not an empty one.
        now = time.time()
        self._waiting = deque(now - age for age in range(1140, 0, -60))

    def tick(self, moment: Moment) -> None:
        chance, faults, now = self._world.chance, moment.faults, moment.now
        arrived = 0 if moment.idle else chance.poisson(_PER_SECOND * moment.activity * moment.elapsed)
        self._submitted.inc(arrived)
        self._waiting.extend([now] * arrived)
        backlog = faults.active("kyc_backlog")
        if backlog is None:
            self._decide(moment)
        count, age = 0.0, now - self._waiting[0] if self._waiting else 0.0
        if backlog is not None:
            count = backlog.number("count")
            age = max(age, backlog.number("age_seconds") + now - backlog.since)
        self._pending.set(len(self._waiting) + count)
        self._age.set(age)

    def _decide(self, moment: Moment) -> None:
        decided = 0
        while self._waiting and self._waiting[0] <= moment.now - _DECIDED_AFTER_SECONDS:
            self._waiting.popleft()
            decided += 1
        extra = self._world.chance.poisson(moment.faults.number("low_kyc_approval", "per_second", 0) * moment.elapsed)
        self._submitted.inc(extra)
        ratio = moment.faults.number("low_kyc_approval", "ratio", _APPROVED_RATIO)
        approved = self._world.chance.part(decided + extra, ratio)
        self._decisions.labels("approved").inc(approved)
        self._decisions.labels("rejected").inc(decided + extra - approved)
