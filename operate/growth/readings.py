"""The history of each quantity in Prometheus, hour by hour, and the trend in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from operate.api import Api, Series
from operate.growth.bins import HOUR
from operate.growth.quantities import Labels, Quantity
from operate.growth.trend import TooShort, Trend, fit

# Start times move by a second when a clock is set.
_SAME_START = 60.0


@dataclass(frozen=True)
class Reading:
    """One subject of a quantity: its last value, and its trend or why there is none; both None without any value."""

    quantity: Quantity
    labels: Labels
    today: float | None
    trend: Trend | TooShort | None
    restarts: int = 0

    @property
    def name(self) -> str:
        """What it is, in words."""
        return " ".join([self.quantity.name, *(value for value in self.labels.values() if value)])


def read(api: Api, quantities: Sequence[Quantity], days: int, now: float) -> Iterator[Reading]:
    """The readings of `days` days before `now` (Unix seconds), quantity by quantity. Raises InputError."""
    end = now // HOUR * HOUR
    start = end - days * 24 * HOUR
    for quantity in quantities:
        found = api.matrix(quantity.expr, start + HOUR, end, HOUR)
        starts = _starts(api, quantity, start, end) if found and quantity.started else {}
        if not found:
            yield Reading(quantity, {}, None, None)
        for series in sorted(found, key=lambda each: _subject(quantity, each)):
            key = _subject(quantity, series)
            # The mean over the hour before it.
            times = np.array([float(at) - HOUR for at, _ in series["values"]])
            values = np.array([float(value) for _, value in series["values"]])
            resets = [at for at in starts.get(key, []) if start < at < end]
            trend = fit(times, values, now, quantity.limit, resets)
            today = values[np.isfinite(values)]
            labels = dict(zip(quantity.subject, key, strict=True))
            yield Reading(quantity, labels, float(today[-1]) if today.size else None, trend, len(resets))


def _subject(quantity: Quantity, series: Series) -> tuple[str, ...]:
    return tuple(series["metric"].get(label, "") for label in quantity.subject)


def _starts(api: Api, quantity: Quantity, start: float, end: float) -> dict[tuple[str, ...], list[float]]:
    found: dict[tuple[str, ...], list[float]] = {}
    for series in api.matrix(quantity.started, start, end, HOUR):
        kept: list[float] = []
        for _, value in series["values"]:
            if not kept or abs(float(value) - kept[-1]) > _SAME_START:
                kept.append(float(value))
        found[_subject(quantity, series)] = kept
    return found
