"""Hours of a history as fewer values, without the season of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DAY, HOUR = 86_400.0, 3600.0
_BUSY_HOURS = 6
# What a process takes after its start until it has filled its caches, hours.
_WARM_UP = 12.0


@dataclass(frozen=True)
class Bins:
    """Values at the middle of bins of `hours` hours."""

    at: Array
    values: Array
    hours: float

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Which bin each is, from the first on."""
        return tuple(np.rint((self.at - self.at[0]) / (self.hours * HOUR)).astype(int).tolist())


def days(times: Array, values: Array) -> Bins:
    """The median of each day's busy hours, the six that are highest in the whole history; times are Unix seconds."""
    hours = (times % DAY // HOUR).astype(int)
    medians = np.array([np.median(values[hours == hour]) if np.any(hours == hour) else -np.inf for hour in range(24)])
    busy = np.isin(hours, np.argsort(medians)[-_BUSY_HOURS:])
    return _binned(times[busy], values[busy], 24.0, _BUSY_HOURS // 2)


def quarters(times: Array, values: Array, resets: Sequence[float]) -> Bins:
    """The median of each quarter of a day, without the hours after `resets` in which a process fills its caches."""
    settled = np.ones(times.size, dtype=bool)
    for reset in resets:
        settled &= ~((times > reset - HOUR) & (times < reset + _WARM_UP * HOUR))
    # Half a quarter would have the middle of another time of the day.
    return _binned(times[settled], values[settled], 6.0, 5)


def _binned(times: Array, values: Array, hours: float, least: int) -> Bins:
    """Medians of the bins that have `least` values."""
    numbers = np.floor(times / (hours * HOUR))
    kept = [number for number in np.unique(numbers) if np.sum(numbers == number) >= least]
    middles = np.array([(number + 0.5) * hours * HOUR for number in kept], dtype=np.float64)
    return Bins(middles, np.array([np.median(values[numbers == number]) for number in kept], dtype=np.float64), hours)
