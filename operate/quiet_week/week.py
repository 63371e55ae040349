"""What happens in the simulated week, and when: nights, a weekend, backups, deployments and small mishaps."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.chance import activity

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A Monday, 00:00 UTC, after which ten days lie in one TSDB block of the longest duration promtool makes (486 h).
MONDAY = 1_704_672_000.0
DAY = 86400.0
HOUR = 3600.0
_WEEKEND = 0.7
_QUIET_HOUR = 5.0
_BACKUP_HOUR = 2.0
_RAMP = 300.0


@dataclass(frozen=True)
class Window:
    """A stretch of the week, in seconds since its start."""

    start: float
    length: float


@dataclass(frozen=True)
class Fault:
    """A fault of the negative control: what it is, for how many seconds, and the page it must cause."""

    what: str
    length: float
    alert: str


FAULTS: dict[str, Fault] = {
    "ledger_difference": Fault("the ledger of BTC differs by 0.5 for an hour", HOUR, "LedgerDifference"),
    "errors": Fault("a fifth of api-gateway's requests fail for 20 minutes", 1200.0, "HighErrorRate"),
    "service_down": Fault("kyc-service answers neither scrape nor probe for 10 minutes", 600.0, "ServiceDown"),
}
# Hours, after which one of every event was.
FAULTS_AFTER = 15


@dataclass(frozen=True)
class Week:
    """The `hours` from MONDAY on, sampled every `step` seconds, with `services` deployed on the way.

    `faults` are keys of FAULTS: what breaks in the first afternoon, after FAULTS_AFTER hours.
    """

    services: tuple[str, ...]
    hours: int = 168
    step: int = 15
    faults: frozenset[str] = frozenset()

    @property
    def end(self) -> float:
        """Unix time of the last sample."""
        return MONDAY + self.hours * HOUR

    @cached_property
    def times(self) -> Array:
        """Unix times of the samples."""
        return np.arange(MONDAY, self.end + 1, self.step, dtype=np.float64)

    @cached_property
    def activity(self) -> Array:
        """How busy the exchange's customers are, 0 to 1; 0 in the hour without any traffic."""
        day = [activity(second) for second in np.arange(0, DAY, self.step)]
        curve = np.resize(np.array(day), self.times.size)
        weekday = (self.times - MONDAY) // DAY % 7
        return np.where(weekday >= 5, _WEEKEND, 1.0) * curve * ~self.within(self.quiet_hour)

    @cached_property
    def quiet_hour(self) -> Window:
        """The hour without traffic: on the third day, or on the only one."""
        return Window(min(2, self._last_day) * DAY + _QUIET_HOUR * HOUR, HOUR)

    @property
    def _last_day(self) -> int:
        return max(0, self.hours // 24 - 1)

    @cached_property
    def backup(self) -> Array:
        """How far the nightly backup is under way, 0 to 1: an hour from 02:00, with five minutes up and down."""
        into = (self.times - MONDAY) % DAY - _BACKUP_HOUR * HOUR
        return np.clip(np.minimum(into, HOUR - into) / _RAMP, 0.0, 1.0)

    @cached_property
    def backup_age(self) -> Array:
        """Seconds since the running backup began, 0 without one."""
        into = (self.times - MONDAY) % DAY - _BACKUP_HOUR * HOUR
        return np.where((into > 0) & (into < HOUR), into, 0.0)

    def within(self, window: Window) -> Mask:
        """Which samples lie in a window."""
        since = self.times - MONDAY - window.start
        return np.asarray((since >= 0) & (since < window.length))

    def broken(self, fault: str) -> Mask:
        """Which samples see the fault."""
        return self.within(Window(FAULTS_AFTER * HOUR, FAULTS[fault].length if fault in self.faults else 0.0))

    def restarts(self, service: str) -> list[int]:
        """Samples at which the service is being restarted: a deployment, and a second one for every other service."""
        if service not in self.services:
            return []
        number = self.services.index(service)
        # One after the other in the working hours, ten minutes apart, on the second day where there is one.
        moments = [min(1, self._last_day) * DAY + 9.5 * HOUR + number * 600]
        if number % 2 and self._last_day >= 3:
            moments.append(3 * DAY + 15 * HOUR + number * 600)
        return [index for moment in moments if (index := round(moment / self.step)) < self.times.size]

    def lost_scrapes(self, instance: str) -> list[int]:
        """Samples that one chance loss of a scrape costs, for every fourth target, once in the week."""
        draw = zlib.crc32(instance.encode())
        return [round((0.3 + 0.6 * (draw % 997) / 997) * self.times.size)] if draw % 4 == 0 else []

    def failed_probes(self, service: str) -> list[int]:
        """Samples with a failed probe: every restart's, and one too slow in the week."""
        slow = round((0.2 + 0.7 * (zlib.crc32(service.encode()) % 991) / 991) * self.times.size)
        return [*self.restarts(service), slow]

    def burst(self, service: str) -> Mask:
        """The hour a day in which one service has a few more chance errors."""
        if service not in self.services:
            return np.zeros(self.times.size, dtype=np.bool_)
        day = (self.times - MONDAY) // DAY
        hour = (self.times - MONDAY) % DAY // HOUR
        return np.asarray((day % len(self.services) == self.services.index(service)) & (hour == 14))

    def random(self, *names: str) -> np.random.Generator:
        """A generator of its own for a series, so that no series depends on which others are asked for."""
        return np.random.default_rng(zlib.crc32("\0".join(names).encode()))

    def since_restart(self, increments: Array, restarts: Sequence[int]) -> Array:
        """A counter that grows by `increments` and starts anew at each restart."""
        total = np.cumsum(increments)
        for index in restarts:
            total[index:] -= total[index]
        return total
