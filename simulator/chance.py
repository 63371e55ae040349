"""Random draws of the simulated traffic. Nothing here guards a secret."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")

# Above this mean the normal approximation is within a few percent and costs one draw instead of many.
_EXACT_UP_TO = 30.0


class Chance(random.Random):
    """The standard generator with the two counting distributions that Python 3.11 lacks."""

    def poisson(self, mean: float) -> int:
        """Events of a Poisson process that expects `mean` of them; 0 for a mean of 0 or less."""
        if mean <= 0:
            return 0
        if mean > _EXACT_UP_TO:
            return max(0, round(self.gauss(mean, math.sqrt(mean))))
        limit, product, count = math.exp(-mean), self.random(), 0
        while product > limit:
            product *= self.random()
            count += 1
        return count

    def part(self, count: int, ratio: float) -> int:
        """How many of `count` independent cases happen when each does with probability `ratio` (0 to 1)."""
        if count > 2 * _EXACT_UP_TO:
            spread = math.sqrt(count * ratio * (1 - ratio))
            return min(count, max(0, round(self.gauss(count * ratio, spread))))
        return sum(self.random() < ratio for _ in range(count))

    def split(self, count: int, weights: Mapping[Key, float]) -> dict[Key, int]:
        """`count` cases dealt among the keys in proportion to their weights."""
        dealt = dict.fromkeys(weights, 0)
        for key in self.choices(list(weights), list(weights.values()), k=count):
            dealt[key] += 1
        return dealt

    def around(self, median: float, sigma: float) -> float:
        """A log-normal draw with this median; its 95th percentile is median * exp(1.645 * sigma)."""
        return self.lognormvariate(math.log(median), sigma)


def activity(now: float) -> float:
    """How busy the exchange is at a Unix time: 0.35 at 04:00 UTC, 1.0 at 15:00 UTC, smooth in between."""
    hour = now % 86400 / 3600
    rising, falling = 11.0, 13.0
    since_low = (hour - 4.0) % 24
    phase = since_low / rising if since_low < rising else 1 + (since_low - rising) / falling
    return 0.35 + 0.65 * (1 - math.cos(math.pi * phase)) / 2
