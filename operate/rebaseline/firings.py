"""When an alert would have fired at any threshold, and how far what it told of was from usual.

The compared values beyond today's threshold are asked for once, at the rule's own interval; other thresholds are tried
on them here. `for` and `keep_firing_for` are applied by operate/replay.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from operate import replay
from operate.quiet_week.week import Array
from operate.rebaseline.cases import Case, Levels
from operate.rebaseline.separate import Comparison, Part
from operate.rebaseline.source import Key, Series, Source
from operate.replay import Episode

# A stored sample is Prometheus' present value for so long.
_LOOKBACK = 300.0
# Windows of interest that are closer are asked for in one.
_APART = 3600.0
# A real incident may be told so much later at another threshold, in seconds.
LATER = 300.0


@dataclass(frozen=True)
class Span:
    """What is looked at, in Unix seconds, on the grid of the coarse `step` (s); `known` seconds of it have samples."""

    start: float
    end: float
    step: float
    known: float

    @property
    def days(self) -> float:
        """How much history there is."""
        return self.known / 86400

    @property
    def weeks(self) -> float:
        """The same in weeks."""
        return self.days / 7


@dataclass(frozen=True)
class Observed:
    """A comparison's values at the coarse step, and the furthest within each step where that is cheap to ask."""

    comparison: Comparison
    sampled: Sequence[Series]
    furthest: Sequence[Series] | None

    def of(self, service: str) -> list[Series]:
        """The furthest values known of a service's series."""
        return [series for series in self.furthest or self.sampled if series.labels.get("service", "") == service]


def observe(source: Source, comparison: Comparison, span: Span) -> Observed:
    """Ask what was compared, coarsely."""
    sampled = source.range(comparison.subject, span.start, span.end, span.step)
    if not comparison.plain:
        return Observed(comparison, sampled, None)
    function = "max_over_time" if comparison.above else "min_over_time"
    expr = f"{function}({comparison.subject.replace('{}', '')}[{span.step:.0f}s])"
    return Observed(comparison, sampled, source.range(expr, span.start, span.end, span.step))


@dataclass
class Firings:
    """The evaluations at which an alert's condition can hold; `known` are the thresholds that they were asked for."""

    case: Case
    span: Span
    compared: list[tuple[Comparison, list[Series]]]
    fixed: list[Series]
    whole: Callable[[Levels], list[Series]] | None = None
    _asked: dict[str, list[Series]] = field(default_factory=dict)

    def at(self, levels: Levels, only: Key | None = None) -> list[Episode]:
        """Every episode that would have fired at these thresholds, by start; `only` that of one series."""
        rule = self.case.rule
        last = self.span.start + math.floor((self.span.end - self.span.start) / rule.interval) * rule.interval
        found = [
            episode
            for key, times in self._held(levels, only).items()
            for episode in replay.episodes(rule, dict(key), times.tolist(), last)
            if episode.start is not None
        ]
        return sorted(found, key=lambda episode: episode.start or 0.0)

    def _held(self, levels: Levels, only: Key | None) -> dict[Key, Array]:
        held: dict[Key, list[Array]] = {}
        for key, times in self._moments(levels):
            if only is None or key == only:
                held.setdefault(key, []).append(times)
        return {key: np.unique(np.concatenate(parts)) for key, parts in held.items()}

    def _moments(self, levels: Levels) -> Iterator[tuple[Key, Array]]:
        if self.whole is not None:
            text = self.case.expr(levels)
            if text not in self._asked:
                self._asked[text] = self.whole(levels)
            for series in self._asked[text]:
                yield key_of(series), series.times
            return
        for comparison, found in self.compared:
            for series in found:
                beyond = comparison.beyond(series.values, levels.of(series.labels.get("service", "")))
                yield key_of(series), series.times[beyond]
        for series in self.fixed:
            yield key_of(series), series.times

    def reach(self, episode: Episode, levels: Levels) -> float | None:
        """The nearest threshold at which the episode would not have been told of; None where none would hide it."""
        return self._search(episode, levels, lambda found: not found)

    def loses(self, episode: Episode, levels: Levels) -> float | None:
        """The nearest threshold at which the episode is told of too late, or not at all; None where none does."""
        late = (episode.start or 0.0) + LATER
        return self._search(episode, levels, lambda found: not found or (found[0].start or 0.0) > late)

    def _search(self, episode: Episode, levels: Levels, over: Callable[[list[Episode]], bool]) -> float | None:
        if self.whole is not None:
            return None
        values = self._values(episode)
        service, key = episode.labels.get("service", ""), key_of_labels(episode.labels)
        low, high = 0, len(values)
        while low < high:  # the further the threshold, the fewer evaluations hold
            middle = (low + high) // 2
            found = self.at(levels.with_(service, values[middle]), key)
            if over([other for other in found if overlap(other, episode)]):
                high = middle
            else:
                low = middle + 1
        return values[low] if low < len(values) else None

    def _values(self, episode: Episode) -> list[float]:
        """The compared values of an episode, the nearest first."""
        key, end = key_of_labels(episode.labels), math.inf if episode.end is None else episode.end
        parts = [
            series.values[(series.times >= episode.since) & (series.times < end)]
            for _, found in self.compared
            for series in found
            if key_of(series) == key
        ]
        values = np.unique(np.concatenate(parts)).tolist() if parts else []
        return values if self.case.above else values[::-1]


def key_of(series: Series) -> Key:
    """What tells a series from others."""
    return tuple(sorted(series.labels.items()))


def key_of_labels(labels: replay.Labels) -> Key:
    """The same, of an episode's labels."""
    return tuple(sorted(labels.items()))


def overlap(one: Episode, other: Episode) -> bool:
    """Whether two episodes have a moment in common."""
    ends = [math.inf if episode.end is None else episode.end for episode in (one, other)]
    return one.since < ends[1] and other.since < ends[0]


def ask(source: Source, case: Case, observed: Sequence[Observed], span: Span, nearest: float) -> Firings:
    """Ask for the values beyond `nearest`, of which thresholds as far or further can be tried."""
    interval = case.rule.interval
    if not any(each.sampled for each in observed) and len(case.separated.parts or ()) < 2:
        return Firings(case, span, [], [])
    if case.separated.parts is None:
        whole = lambda levels: source.range(case.expr(levels), span.start, span.end, interval)  # noqa: E731
        return Firings(case, span, [], [], whole)
    firings = Firings(case, span, [], [])
    by_subject = {each.comparison: each for each in observed}
    for part in case.separated.parts:
        if part.comparison is None:
            firings.fixed += source.range(part.text, span.start, span.end, interval)
            continue
        found: dict[Key, list[Series]] = {}
        for start, end in _windows(by_subject[part.comparison], case, span, nearest):
            for series in source.range(_beyond(part, nearest), start, end, interval):
                found.setdefault(key_of(series), []).append(series)
        firings.compared.append((part.comparison, [_joined(parts) for parts in found.values()]))
    return firings


def _beyond(part: Part, nearest: float) -> str:
    assert part.comparison is not None
    return f"({part.text}) {part.comparison.operator} {nearest!r}"


def _joined(parts: Sequence[Series]) -> Series:
    times, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "values"))
    return replace(parts[0], times=times, values=values)


def _windows(observed: Observed, case: Case, span: Span, nearest: float) -> list[tuple[float, float]]:
    """Where a value was beyond, on the grid of the rule's evaluations; everything where that is not known."""
    if observed.furthest is None:
        return [(span.start, span.end)] if observed.sampled else []
    beyond = [s.times[observed.comparison.beyond(s.values, nearest)] for s in observed.furthest]
    moments = np.unique(np.concatenate(beyond)) if beyond else np.array([])
    windows: list[tuple[float, float]] = []
    for at in moments.tolist():
        start, end = max(span.start, at - span.step), min(span.end, at + _LOOKBACK)
        if windows and start - windows[-1][1] <= _APART:
            windows[-1] = (windows[-1][0], end)
        else:
            # On the grid, so that the windows' evaluations are those of one replay.
            steps = math.floor((start - span.start) / case.rule.interval)
            windows.append((span.start + steps * case.rule.interval, end))
    return windows
