"""One rebaseline: asks the history, judges every threshold."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infra import assembly, rules
from infra.errors import InputError
from infra.stack import Stack
from operate.progress import step
from operate.rebaseline import cases as known
from operate.rebaseline import firings
from operate.rebaseline.cases import Case, Levels
from operate.rebaseline.distribution import DAY
from operate.rebaseline.firings import Observed, Span
from operate.rebaseline.proposal import Judge
from operate.rebaseline.separate import Comparison
from operate.rebaseline.source import Source, each
from operate.rebaseline.verdict import TIGHTER, Count, Verdict, changed, in_order

# Of a month, a sample each five minutes; of less, each minute at most.
_SAMPLES, _FINEST = 8640, 60.0
_FEWEST_DAYS = 1.0
# Critical alerts, whatever they were about.
_CRITICAL = 'group by (alertname, service) (max_over_time(ALERTS{alertstate="firing", severity="critical"}[1m]))'
_MINUTE = 60.0


@dataclass(frozen=True)
class Found:
    """What became of one case."""

    case: Case
    observed: Sequence[Observed]
    now: Count
    then: Count
    verdicts: Sequence[Verdict]

    @property
    def proposed(self) -> Levels:
        """The thresholds with the proposals."""
        return changed(self.case.levels, self.verdicts)


@dataclass(frozen=True)
class Study:
    """The result: `span` is what there was of the history."""

    stack: Stack
    source: str
    span: Span
    found: Sequence[Found]

    @property
    def verdicts(self) -> dict[str, list[Verdict]]:
        """The verdicts by alert."""
        return {each_.case.alert: list(each_.verdicts) for each_ in self.found}


def study(stack: Stack, source: Source, days: float, now: float | None = None) -> Study:
    """Look at the last `days` days before `now` (Unix seconds), or as much as there is. Raises InputError."""
    cases = known.read(stack)
    span = extent(source, days, time.time() if now is None else now)
    comparisons = list(dict.fromkeys(c for case in cases for c in case.separated.comparisons))
    with step(f"{len(comparisons)} compared values over {span.days:.1f} days, each {span.step:.0f} s"):
        watched = each(lambda comparison: firings.observe(source, comparison, span), comparisons)
    seen = _Seen(source, span, cases, dict(zip(comparisons, watched, strict=True)), _critical(source, span))
    with step(f"{len(cases)} rules replayed, and other thresholds tried"):
        judged = each(lambda case: _judged(seen, case), cases)
    ordered = in_order({case.alert: verdicts for case, _, verdicts in judged}, {case.alert: case for case in cases})
    subjects = known_services(stack)
    found = []
    for case, judge, _ in judged:
        verdicts = [_of_the_catalog(verdict, subjects) for verdict in ordered[case.alert]]
        before = judge.count(case.levels)
        # What is tighter has been asked for by itself, and did not fire.
        tighter = any(verdict.kind == TIGHTER for verdict in verdicts)
        after = before if tighter else judge.count(changed(case.levels, verdicts))
        found.append(Found(case, judge.observed, before, after, verdicts))
    return Study(stack, source.api.name, span, found)


def extent(source: Source, days: float, now: float) -> Span:
    """As far back as the history goes, at most `days`. Raises InputError where there is less than a day of it."""
    every = max(_MINUTE, days * DAY / 5000)
    seen = source.range("group(up)", now - days * DAY, now, every)
    if not seen:
        raise InputError(f"{source.api.name} has no history of the last {days:g} days; wait a day, or ask another one.")
    start = float(seen[0].times[0])
    length = now - start
    # Times at which Prometheus itself was away do not count.
    there = min(length, seen[0].times.size * every)
    if there < _FEWEST_DAYS * DAY * 0.99:
        raise InputError(
            f"{source.api.name} has {there / 3600:.1f} hours of history; a rebaseline needs a day, and a week to "
            "propose anything."
        )
    coarse = math.ceil(max(_FINEST, length / _SAMPLES) / _MINUTE) * _MINUTE
    # On whole steps, so that two runs of one moment ask the same.
    end = math.floor(now / coarse) * coarse
    return Span(end - math.floor((end - start) / coarse) * coarse, end, coarse, there)


def _critical(source: Source, span: Span) -> dict[str, dict[str, list[tuple[float, float]]]]:
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for series in source.range(_CRITICAL, span.start, span.end, _MINUTE):
        breaks = np.flatnonzero(np.diff(series.times) > 1.5 * _MINUTE)
        starts = series.times[np.concatenate([[0], breaks + 1])]
        ends = series.times[np.concatenate([breaks, [series.times.size - 1]])]
        alerts = found.setdefault(series.labels.get("service", ""), {})
        alerts.setdefault(series.labels["alertname"], []).extend(zip(starts.tolist(), ends.tolist(), strict=True))
    return found


@dataclass(frozen=True)
class _Seen:
    """What is known of the history before the rules are replayed."""

    source: Source
    span: Span
    cases: Sequence[Case]
    observed: Mapping[Comparison, Observed]
    critical: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]


def _judged(seen: _Seen, case: Case) -> tuple[Case, Judge, list[Verdict]]:
    own = [seen.observed[comparison] for comparison in case.separated.comparisons]
    nearest = (min if case.above else max)(case.levels.values())
    found = firings.ask(seen.source, case, own, seen.span, nearest)
    echoes = {other.alert for other in seen.cases if other.subjects & case.subjects and not other.outranks(case)}
    judge = Judge(case, own, found, seen.span, seen.critical, frozenset({case.alert, *echoes}))
    verdicts = judge.verdicts()
    for number, verdict in enumerate(verdicts):
        if verdict.kind == TIGHTER and verdict.proposed is not None:
            levels = case.levels.with_(verdict.service, verdict.proposed)
            # Between the samples it may have been further out than any of them says.
            if firings.ask(seen.source, case, own, seen.span, verdict.proposed).at(levels):
                verdicts[number] = judge.kept(verdict.service, f"{verdict.proposed:g} would have fired.")
    return case, judge, verdicts


def known_services(stack: Stack) -> frozenset[str]:
    """The services that the setting `alerts` may name."""
    scraped = {scrape.labels["service"] for workload in assembly.workloads(stack) for scrape in workload.scrapes}
    return frozenset({rules.EVERY, *scraped, *stack.catalog.by_name, *stack.catalog.dependencies})


def _of_the_catalog(verdict: Verdict, subjects: frozenset[str]) -> Verdict:
    if verdict.proposed is None or verdict.service in subjects:
        return verdict
    return verdict.withdrawn(f"{verdict.service} is no service of the catalog; `{verdict.proposed:g}` cannot be set.")
