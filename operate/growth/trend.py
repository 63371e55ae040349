"""How fast a measured quantity grows, and when it reaches its limit, with a range that says how sure that is.

The method, in its steps:

1. Hours become days: a day's value is the median over its busy hours, the six hours of the day that are highest in the
   whole history. That takes the daily season out, and leaves what reaches a limit first. A quantity that restarts reset
   is read in quarters of a day instead, because there may be several restarts within a week.
2. A line with a level of its own between two restarts, or between two lasting steps, and one slope for all of them: a
   leak is what grows between restarts, and a step is no growth. Weekdays have an effect each, so that a weekend at the
   end of the history is not a decline. Days far off the line are left out once.
3. What is left over from one day to the next is related, so the errors are autoregressive of first order. Their
   correlation is not estimated and then believed, which makes ranges too narrow on a month of days: all its values
   count as much as the data support them (Zellner, An Introduction to Bayesian Inference in Econometrics, 1971,
   chapter 4.1; with flat priors the weights are the restricted likelihood of Harville, Biometrika 61, 1974).
4. Slope and level are drawn from that together; the days until the limit are the limit less the level, by the slope.

The stated range has 90 %. tests/day_two/test_capacity.py holds it against histories whose answer is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from operate.growth.bins import DAY, HOUR, Array, Bins, days, quarters

# Two of each weekday. Below that neither the week nor the error of the line can be told from growth.
LEAST_DAYS = 14
RANGE = 0.9
# Days from now for which the level is told; a line through a month says nothing about the year after.
HORIZON = 180.0
AHEAD = tuple(np.linspace(0.0, HORIZON, 7).tolist())
_DRAWS = 4000
# From slightly opposed to nearly a random walk, denser where a month can hardly tell them apart.
_CORRELATIONS = np.array([*np.linspace(-0.2, 0.9, 12), 0.93, 0.95, 0.97, 0.985])
# Values beyond the columns of a line, for its error to be known.
_SPARE = 3
# Of a step in units of its own error: the highest of 30 tries stays below in 99 of 100 months without one.
_STEP = 5.0
_STEP_BEARING = 3.0
_MOST_STEPS = 3
_OUTLIER = 5.0


@dataclass(frozen=True)
class Estimate:
    """A low end, a middle and a high end: 5 %, 50 % and 95 %. Days may be infinite: never."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Trend:
    """What the history says. `level` is the quantity on a busy day now, `growth` its change in a day.

    `days` is None without a limit. `points` are what the line was laid through (Unix seconds), `ahead` where the level
    will be after some days, `steps` the Unix times of lasting steps that were found.
    """

    level: Estimate
    growth: Estimate
    days: Estimate | None
    points: tuple[tuple[float, float], ...]
    ahead: tuple[tuple[float, Estimate], ...]
    steps: tuple[float, ...]

    @property
    def grows(self) -> bool:
        """Whether growth is more than chance: a slope of zero or less is outside the range."""
        return self.growth.low > 0

    @property
    def shrinks(self) -> bool:
        """Whether the decline is more than chance."""
        return self.growth.high < 0


@dataclass(frozen=True)
class TooShort:
    """Why there is no trend: days of history there are, by their hours, and days that are needed."""

    days: float
    needed: int = LEAST_DAYS


def fit(
    times: Array, values: Array, now: float, limit: float | None = None, resets: Sequence[float] = ()
) -> Trend | TooShort:
    """The trend of hourly `values` (NaN is no value) at `times`, Unix seconds of whole hours, as seen from `now`.

    `resets` are the Unix times at which the quantity began anew.
    """
    known = np.isfinite(values)
    times, values = times[known], values[known]
    inside = sorted(reset for reset in resets if times.size and times[0] < reset < times[-1])
    binned = quarters(times, values, inside) if inside else days(times, values)
    covered = np.unique(binned.at // DAY).size
    if covered < LEAST_DAYS:
        return TooShort(float(np.unique(times).size * HOUR / DAY))
    scale = float(np.median(np.abs(binned.values))) or float(np.max(np.abs(binned.values))) or 1.0
    binned = Bins(binned.at, binned.values / scale, binned.hours)
    if np.ptp(binned.values) == 0:
        return _constant(binned, scale, limit)
    cuts = _useful(binned, inside)
    steps: list[float] = []
    while len(steps) < _MOST_STEPS and (found := _step(binned, now, [*cuts, *steps])) is not None:
        steps.append(found)
    binned = _without_outliers(binned, now, [*cuts, *steps])
    slope, level = _draws(_design(binned, now, [*cuts, *steps]), binned)
    return Trend(
        _range(level * scale),
        _range(slope * scale),
        None if limit is None else _range(_until(limit / scale, level, slope)),
        tuple(zip(binned.at.tolist(), (binned.values * scale).tolist(), strict=True)),
        tuple((ahead, _range((level + slope * ahead) * scale)) for ahead in AHEAD),
        tuple(sorted(steps)),
    )


def _constant(binned: Bins, scale: float, limit: float | None) -> Trend:
    level, still = Estimate(*[float(binned.values[0] * scale)] * 3), Estimate(0.0, 0.0, 0.0)
    days = None if limit is None else Estimate(*[0.0 if level.middle >= limit else math.inf] * 3)
    points = tuple((at, level.middle) for at in binned.at.tolist())
    return Trend(level, still, days, points, tuple((ahead, level) for ahead in AHEAD), ())


def _useful(binned: Bins, cuts: Sequence[float]) -> list[float]:
    """The cuts with bins on both sides of each."""
    kept: list[float] = []
    for cut in cuts:
        since = kept[-1] if kept else -math.inf
        if np.any((binned.at > since) & (binned.at < cut)) and np.any(binned.at > cut):
            kept.append(cut)
    return kept


@dataclass(frozen=True)
class _Design:
    """Columns of the line: slope first, then a level for each stretch, then season effects that add up to zero.

    `level_now` is the combination of the columns' weights that gives the level now, without season; `seasons` are the
    columns of each season's effects, the last effect being what the others lack to zero.
    """

    columns: Array
    level_now: Array
    seasons: tuple[slice, ...]


def _design(binned: Bins, now: float, cuts: Sequence[float]) -> _Design:
    slope = (binned.at - now) / DAY
    stretch = np.searchsorted(np.sort(np.array(cuts, dtype=np.float64)), binned.at)
    used = np.unique(stretch)
    columns = [slope, *((stretch == number).astype(np.float64) for number in used)]
    seasons: list[slice] = []
    if binned.hours < 24:
        seasons.append(_season(columns, binned.at % DAY // (binned.hours * HOUR)))
    # Always: stretches of a week would take the weekdays for growth.
    if binned.values.size - len(columns) - 6 >= _SPARE:
        seasons.append(_season(columns, binned.at // DAY % 7))
    level_now = np.zeros(len(columns))
    # The line of the last stretch, at now.
    level_now[used.size] = 1.0
    return _Design(np.column_stack(columns), level_now, tuple(seasons))


def _season(columns: list[Array], phase: Array) -> slice:
    first = len(columns)
    phases = np.unique(phase)
    last = (phase == phases[-1]).astype(np.float64)
    columns.extend((phase == each).astype(np.float64) - last for each in phases[:-1])
    return slice(first, len(columns))


@dataclass(frozen=True)
class _Fitted:
    """Weights of the columns for one correlation, their covariance by variance one, squared error and log evidence."""

    weights: Array
    covariance: Array
    rss: float
    evidence: float


def _fitted(columns: Array, binned: Bins, correlation: float) -> _Fitted:
    whitener, log_determinant = _whitener(binned.numbers, correlation)
    x, y = whitener @ columns, whitener @ binned.values
    information = x.T @ x
    covariance: Array = np.linalg.pinv(information).astype(np.float64)
    weights: Array = covariance @ (x.T @ y)
    rss = float(np.sum((y - x @ weights) ** 2))
    spare = max(y.size - columns.shape[1], 1)
    evidence = -0.5 * (log_determinant + float(np.linalg.slogdet(information)[1]) + spare * math.log(max(rss, 1e-300)))
    return _Fitted(weights, covariance, rss, evidence)


@lru_cache(maxsize=128)
def _whitener(numbers: tuple[int, ...], correlation: float) -> tuple[Array, float]:
    """What makes errors of bins with these numbers independent, and the log determinant of their covariance."""
    place = np.array(numbers)
    covariance = correlation ** np.abs(place[:, None] - place[None, :])
    lower = np.linalg.cholesky(covariance)
    return np.linalg.inv(lower), 2 * float(np.sum(np.log(np.diag(lower))))


def _likely(columns: Array, binned: Bins) -> float:
    return max((float(each) for each in _CORRELATIONS), key=lambda each: _fitted(columns, binned, each).evidence)


def _step(binned: Bins, now: float, cuts: Sequence[float]) -> float | None:
    """The Unix time of the clearest lasting step that is not among `cuts`; None where there is none.

    Each try is a fit of its own, with the correlation that is likeliest when there is that step.
    """
    columns = _design(binned, now, cuts).columns
    edges = np.array([binned.at[0] - DAY / 2, *cuts, binned.at[-1] + DAY / 2])
    tries = np.unique(binned.at // DAY)[1:] * DAY
    tries = tries[np.min(np.abs(tries[:, None] - edges), axis=1) >= _STEP_BEARING * DAY]
    spare = binned.values.size - columns.shape[1] - 1
    if not tries.size or spare < _SPARE:
        return None
    steps = (binned.at[:, None] > tries).astype(np.float64)
    evidence, sizes = [], []
    for correlation in _CORRELATIONS.tolist():
        whitener, log_determinant = _whitener(binned.numbers, correlation)
        basis, triangle = np.linalg.qr(whitener @ columns)
        # What the other columns cannot say of each step, and of the values.
        alone = whitener @ steps
        alone -= basis @ (basis.T @ alone)
        rest = whitener @ binned.values
        rest -= basis @ (basis.T @ rest)
        own = np.maximum(np.sum(alone**2, axis=0), 1e-300)
        along = alone.T @ rest
        rss = np.maximum(float(rest @ rest) - along**2 / own, 1e-300)
        known = log_determinant + 2 * float(np.sum(np.log(np.maximum(np.abs(np.diag(triangle)), 1e-300))))
        evidence.append(-0.5 * (known + np.log(own) + spare * np.log(rss)))
        sizes.append(np.abs(along) / np.sqrt(own * rss / spare))
    likeliest = np.argmax(np.array(evidence), axis=0)
    size = np.array(sizes)[likeliest, np.arange(tries.size)]
    best = int(np.argmax(size))
    return float(tries[best]) if size[best] > _STEP else None


def _without_outliers(binned: Bins, now: float, cuts: Sequence[float]) -> Bins:
    design = _design(binned, now, cuts)
    fitted = _fitted(design.columns, binned, _likely(design.columns, binned))
    off = np.abs(binned.values - design.columns @ fitted.weights)
    usual = 1.4826 * float(np.median(off))
    kept = off <= _OUTLIER * usual
    # More than a tenth are no outliers but what it is like.
    if usual == 0 or np.mean(~kept) > 0.1 or np.unique(binned.at[kept] // DAY).size < LEAST_DAYS:
        return binned
    return Bins(binned.at[kept], binned.values[kept], binned.hours)


def _draws(design: _Design, binned: Bins) -> tuple[Array, Array]:
    """Slopes (in a day) and levels on a busy day now, as often as the data support them."""
    chance = np.random.default_rng(0)
    fits = [_fitted(design.columns, binned, each) for each in _CORRELATIONS.tolist()]
    evidence = np.array([fitted.evidence for fitted in fits])
    share = np.exp(evidence - evidence.max())
    counts = chance.multinomial(_DRAWS, share / share.sum())
    spare = max(binned.values.size - design.columns.shape[1], 1)
    drawn = []
    for fitted, count in zip(fits, counts.tolist(), strict=True):
        deviation = np.sqrt(fitted.rss / chance.chisquare(spare, count))
        spread = chance.multivariate_normal(np.zeros(fitted.weights.size), fitted.covariance, count, method="svd")
        drawn.append(fitted.weights + deviation[:, None] * spread)
    weights = np.vstack(drawn)
    level = weights @ design.level_now
    middle = np.median(weights, axis=0)
    for season in design.seasons:
        # The busiest phase by its middle: the highest of each draw would be high by chance.
        effects = np.column_stack([weights[:, season], -weights[:, season].sum(axis=1)])
        typical = [*middle[season], -middle[season].sum()]
        level = level + _share(design, binned, season) * effects[:, int(np.argmax(typical))]
    return weights[:, 0], level


def _share(design: _Design, binned: Bins, season: slice) -> float:
    """How much of a season's effects is more than chance, 0 to 1.

    The highest of seven is high by chance even where the days are alike: the rule of James and Stein (1961), its
    positive part, with the F statistic of the season.
    """
    correlation = _likely(design.columns, binned)
    others = np.delete(design.columns, np.arange(season.start, season.stop), axis=1)
    without, with_it = (_fitted(columns, binned, correlation) for columns in (others, design.columns))
    spare = binned.values.size - design.columns.shape[1]
    explained = (without.rss - with_it.rss) / (season.stop - season.start)
    return float(np.clip(1 - with_it.rss / spare / explained, 0.0, 1.0)) if explained > 0 else 0.0


def _until(limit: float, level: Array, slope: Array) -> Array:
    left = np.maximum(limit - level, 0.0)
    days = np.full(level.size, math.inf)
    np.divide(left, slope, out=days, where=slope > 0)
    return np.where(left == 0, 0.0, days)


def _range(values: Array) -> Estimate:
    outside = (1 - RANGE) / 2
    # Without interpolation: between a number and infinity there is none.
    low, middle, high = np.quantile(values, [outside, 0.5, 1 - outside], method="nearest")
    return Estimate(float(low), float(middle), float(high))
