"""Histories of a quantity whose answer is known: a line, seasons, restarts, steps and noise, hour by hour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from operate.growth.bins import DAY, HOUR, Array
from operate.growth.trend import TooShort, Trend, fit

# A Sunday, 12:00 UTC: the history ends on a weekend, which is no decline.
NOW = 1_764_504_000.0
_WEEK = np.array([0.2, 0.2, 0.3, 0.2, 0.1, -0.4, -0.6])


@dataclass(frozen=True)
class History:
    """A ratio of a limit of 1: `growth` is in a day, `daily` and `weekly` are half the heights of the seasons.

    `noise` is the deviation of an hour, `persistent` that of a day as a whole, with `correlation` from one to the next.
    `restarts` and `step` are days before `now` (Unix seconds), the step `(when, size)`.
    """

    name: str
    growth: float = 0.0
    base: float = 0.4
    daily: float = 0.1
    weekly: float = 0.05
    noise: float = 0.02
    persistent: float = 0.0
    correlation: float = 0.0
    restarts: tuple[float, ...] = ()
    step: tuple[float, float] = (0.0, 0.0)
    days: int = 30
    now: float = NOW

    @property
    def times(self) -> Array:
        """Unix times of its hours."""
        return self.now // HOUR * HOUR + np.arange(-24.0 * self.days, 0) * HOUR

    @property
    def resets(self) -> list[float]:
        """Unix times of its restarts."""
        return [self.now - days * DAY for days in self.restarts]

    def clean(self) -> Array:
        """Its values without noise."""
        return self._line(self.times) + self._day(self.times) + self._week(self.times)

    def values(self, chance: np.random.Generator) -> Array:
        """Its values."""
        hours = _related(chance, self.times.size, 0.7) * self.noise
        days = _related(chance, self.days + 1, self.correlation) * self.persistent
        values: Array = self.clean() + hours + days[((self.times - self.times[0]) // DAY).astype(int)]
        return values

    def truth(self) -> float:
        """Days from `now` until a busy day reaches 1."""
        if self.growth <= 0:
            return math.inf
        hours = self._day(np.arange(24.0) * HOUR)
        # What a bin holds on a busy day: quarters of a day where it restarts, else the six busiest hours.
        busy = float(
            np.max(np.median(hours.reshape(4, 6), axis=1)) if self.restarts else np.median(np.sort(hours)[-6:])
        )
        level = float(self._line(np.array([self.now]))[0]) + busy + self.weekly * float(_WEEK.max())
        return (1.0 - level) / self.growth

    def trend(self, chance: np.random.Generator) -> Trend:
        """What is found in it."""
        found = fit(self.times, self.values(chance), self.now, 1.0, self.resets)
        assert not isinstance(found, TooShort)
        return found

    def _line(self, times: Array) -> Array:
        since = np.full(times.size, self.now)
        if self.restarts:
            # Before the first restart as after one that was as long ago.
            starts = np.array([self.now - self.days * DAY, *sorted(self.resets)])
            since = starts[np.searchsorted(starts, times, side="right") - 1]
        when, size = self.step
        line: Array = self.base + self.growth * (times - since) / DAY + size * (times >= self.now - when * DAY)
        return line

    def _day(self, times: Array) -> Array:
        shape: Array = self.daily * np.cos(2 * np.pi * (times % DAY / DAY - 15 / 24))
        return shape

    def _week(self, times: Array) -> Array:
        # Day 0 of Unix time was a Thursday.
        weekday = ((times // DAY + 3) % 7).astype(int)
        shape: Array = self.weekly * _WEEK[weekday]
        return shape


def _related(chance: np.random.Generator, size: int, correlation: float) -> Array:
    values = chance.normal(size=size)
    for number in range(1, size):
        values[number] = correlation * values[number - 1] + math.sqrt(1 - correlation**2) * values[number]
    return values


KNOWN = (
    History("a season, no growth"),
    History("no growth, days related", persistent=0.03, correlation=0.6),
    History("growth, little noise", growth=0.004, noise=0.004),
    History("growth", growth=0.004),
    History("growth, much noise", growth=0.004, noise=0.06),
    History("growth, days related", growth=0.004, persistent=0.02, correlation=0.5),
    History("slow growth, 60 days", growth=0.001, days=60),
    History("growth, 15 days", growth=0.004, days=15),
    History("a leak with restarts", growth=0.02, base=0.3, daily=0.03, weekly=0.01, restarts=(26.2, 19.4, 12.7, 6.1)),
    History("a step, no growth", step=(11.0, 0.25)),
    History("a step, and growth", growth=0.004, step=(11.0, 0.15)),
)


def drawn(chance: np.random.Generator) -> History:
    """One of many: any growth, season, noise and length."""
    kind = KNOWN[int(chance.integers(len(KNOWN)))]
    return replace(
        kind,
        growth=kind.growth * float(chance.uniform(0.5, 2.0)),
        daily=float(chance.uniform(0.0, 0.15)),
        weekly=float(chance.uniform(0.0, 0.08)),
        noise=kind.noise * float(chance.uniform(0.5, 2.0)),
        persistent=max(kind.persistent, 0.0) * float(chance.uniform(0.5, 1.5)),
        correlation=float(chance.uniform(0.0, 0.7)) if kind.persistent else 0.0,
    )
