"""What a compared value usually is: quantiles, and what it is expected to reach once a year."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from operate.quiet_week.week import Array

DAY = 86400.0
_EULER = 0.5772156649015329
# Daily extremes of which a year's can be estimated: four whole weeks.
FEWEST_DAYS = 28


@dataclass(frozen=True)
class Distribution:
    """`count` samples. `q95`, `q99`, `q999` leave 5, 1 and 0.1 % of them on the side where the alert fires.

    `worst` is the sample furthest on that side: the largest of an alert that fires above, the least of one below.
    """

    count: int
    median: float
    q95: float
    q99: float
    q999: float
    worst: float


def describe(values: Array, above: bool, extremes: Array | None = None) -> Distribution | None:
    """The distribution of finite samples, None without any; `extremes` are furthest values known besides them."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    levels = (0.5, 0.95, 0.99, 0.999)
    median, q95, q99, q999 = np.quantile(values, levels if above else [1 - level for level in levels]).tolist()
    known = values if extremes is None else np.concatenate([values, extremes[np.isfinite(extremes)]])
    return Distribution(values.size, median, q95, q99, q999, float(known.max() if above else known.min()))


def daily(times: Array, values: Array, above: bool) -> Array:
    """The furthest finite value of each day (UTC) of which at least half has samples."""
    finite = np.isfinite(values)
    days = np.floor(times[finite] / DAY)
    values = values[finite]
    if not values.size:
        return values
    furthest = np.maximum if above else np.minimum
    order = np.argsort(days, kind="stable")
    starts = np.flatnonzero(np.diff(days[order], prepend=-1.0))
    counts = np.diff(starts, append=values.size)
    found: Array = furthest.reduceat(values[order], starts)[2 * counts >= counts.max()]
    return found


def once_a_year(extremes: Array, above: bool) -> float | None:
    """The level that a day's extreme reaches once in 365 days; None of less than FEWEST_DAYS or of what never moves.

    Extremes of like days follow Gumbel's distribution in the limit (Coles, An Introduction to Statistical Modeling of
    Extreme Values, 2001, chapter 3); its two parameters by L-moments, for which few extremes suffice (Hosking,
    L-moments, 1990, table 2).
    """
    signed = np.sort(extremes if above else -extremes)
    if signed.size < FEWEST_DAYS or signed[0] == signed[-1]:
        return None
    mean = float(np.mean(signed))
    weighted = float(np.mean(signed * np.arange(signed.size) / (signed.size - 1)))
    scale = (2 * weighted - mean) / math.log(2)
    level = mean - _EULER * scale - scale * math.log(-math.log(1 - 1 / 365))
    return level if above else -level


def pooled(parts: Iterable[Array]) -> Array:
    """All values of several series."""
    found = list(parts)
    return np.concatenate(found) if found else np.array([])
