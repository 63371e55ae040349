"""The result for people: a table on the terminal, the page, and the same figures as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as Grid

from infra import rules
from operate import pages
from operate.pages import Chart, Line, Page, Section, Table
from operate.rebaseline.distribution import Distribution, describe, pooled
from operate.rebaseline.firings import Observed
from operate.rebaseline.separate import INSEPARABLE
from operate.rebaseline.source import Series
from operate.rebaseline.study import Found, Study
from operate.rebaseline.verdict import KEPT, LIMIT, Count, Verdict

_SPREAD = ("median", "95 %", "99 %", "99.9 %", "furthest")
# Points of a chart's line.
_POINTS = 600
METHOD = (
    "A firing is noise where it lasted less than 30 minutes, came less than twice as far from the median as the "
    "threshold is, and no critical alert of the same service fired from 5 minutes before it to 30 minutes after it. "
    "All others count as real; no proposal loses one of them or tells it more than 5 minutes later.",
    "An alert is too tight for a service from three such firings on, where they are at least half of all and more than "
    "1 a week (critical), 2 (warning) or 7 (info). The proposal lies a fifth further from the median than the noise "
    "came, or half way to the nearest real incident where that is nearer.",
    "An alert is too loose where it never fired and lies ten times as far from the median as what is expected once a "
    "year, by the extremes of at least 28 days. The proposal comes half way: one quiet month moves it once. Critical "
    "alerts and those about what customers notice never come nearer because nothing happened.",
    "The quantiles are on the side where the alert fires: beyond 99 % lies one sample in a hundred.",
)


def spread(observed: Sequence[Observed], service: str | None = None) -> list[tuple[Observed, Distribution | None]]:
    """The distribution of each comparison, of one service or of all of them."""

    def of(series: Sequence[Series]) -> Iterator[Any]:
        return (s.values for s in series if service is None or s.labels.get("service", "") == service)

    return [
        (each, describe(pooled(of(each.sampled)), each.comparison.above, pooled(of(each.furthest or ()))))
        for each in observed
    ]


def services(found: Found) -> list[str]:
    """Whose series a rule compares."""
    return sorted({series.labels.get("service", "") for each in found.observed for series in each.sampled})


def said(study: Study) -> str:
    """The sentence for a reader in a hurry."""
    changed = [verdict for found in study.found for verdict in found.verdicts if verdict.proposed is not None]
    noise = sum(found.now.noise for found in study.found if not found.case.limit)
    left = sum(found.then.noise for found in study.found if not found.case.limit)
    limits = sum(found.case.limit is not None for found in study.found)
    return (
        f"{study.span.days:.1f} days of {study.source}: {len(study.found)} thresholds, {limits} of them limits; "
        f"proposed changes: {len(changed)}; firings that came to nothing: {noise}, with the changes {left}."
    )


def show(study: Study, everything: bool) -> None:
    """Print what is proposed or speaks of noise, and every threshold that fired; all of them with `everything`."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("alert", "service", "today", *_SPREAD, "fired", "min", "a week", "noise", "proposed"):
        grid.add_column(name, justify="left" if name in ("alert", "service") else "right")
    for found in study.found:
        for verdict in found.verdicts:
            if everything or verdict.now.times or verdict.proposed is not None:
                grid.add_row(*_cells(study, found, verdict))
    Console(width=None if sys.stdout.isatty() else 180).print(grid)
    for found in study.found:
        for verdict in found.verdicts:
            if found.case.limit is None and (verdict.now.times or verdict.proposed is not None):
                print(f"{_named(found, verdict)}: {verdict.kind}: {verdict.evidence}")
    print(said(study))


def _named(found: Found, verdict: Verdict) -> str:
    return found.case.alert + ("" if verdict.service == rules.EVERY else f" of {verdict.service}")


def _cells(study: Study, found: Found, verdict: Verdict) -> list[str]:
    service = None if verdict.service == rules.EVERY else verdict.service
    _, distribution = spread(found.observed, service)[0]
    proposed = "limit" if verdict.kind == LIMIT else "" if verdict.proposed is None else number(verdict.proposed)
    return [
        found.case.alert,
        "" if service is None else service,
        f"{'>' if found.case.above else '<'} {number(verdict.today)}",
        *(number(value) for value in _values(distribution)),
        *_counted(study, verdict.now),
        proposed,
    ]


def _counted(study: Study, count: Count) -> list[str]:
    return [f"{count.times}", f"{count.minutes:.0f}", f"{count.times / study.span.weeks:.1f}", f"{count.noise}"]


def _values(distribution: Distribution | None) -> list[float | None]:
    if distribution is None:
        return [None] * len(_SPREAD)
    return [distribution.median, distribution.q95, distribution.q99, distribution.q999, distribution.worst]


def number(value: float | None) -> str:
    """Four digits at most, empty for None."""
    return "" if value is None else f"{value:.4g}"


def _cell(value: float | None) -> float | None:
    """The number with four digits; a whole one without a point."""
    if value is None:
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short


def page(study: Study, difference: str) -> Page:
    """The report."""
    start, end = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (study.span.start, study.span.end)
    )
    changed = [f for f in study.found if any(v.proposed is not None for v in f.verdicts)]
    sections = [
        Section(
            "Proposals",
            [f"{start} to {end} UTC; samples each {study.span.step:.0f} s, rules replayed at their own interval."],
            [_proposals(study)],
            [chart for found in changed for chart in _charts(found)],
        ),
        Section(
            f"The change to Pulumi.{study.stack.name}.yaml",
            ["Nothing has been applied. `make preview` tells what it does, in words."],
            code=difference or "none",
        ),
        Section("Every threshold", METHOD, [_all(study)]),
        Section("Each service", [], [_by_service(study)]),
        Section("Limits", ["These follow from something else than what is usual."], [_limits(study)]),
        Section("Replayed whole", ["Their threshold cannot be taken out of the rule."], [_whole(study)]),
    ]
    return Page(f"Rebaseline of {study.stack.name}", said(study), sections)


def _proposals(study: Study) -> Table:
    rows: list[list[Any]] = []
    marks = []
    for found in study.found:
        for verdict in found.verdicts:
            noisy = verdict.kind == KEPT and verdict.service != rules.EVERY
            if verdict.proposed is None and not noisy:
                continue
            whom = "all" if verdict.service == rules.EVERY else verdict.service
            then = verdict.then if verdict.proposed is not None else verdict.now
            rows.append(
                [
                    found.case.alert,
                    whom,
                    found.case.unit,
                    _cell(verdict.today),
                    _cell(verdict.proposed),
                    f"{verdict.now.times} → {then.times}",
                    f"{verdict.now.minutes:.0f} → {then.minutes:.0f}",
                    f"{verdict.now.noise} → {then.noise}",
                    verdict.evidence,
                ]
            )
            marks.append(pages.GOOD if verdict.proposed is not None else pages.BAD)
    columns = ("alert", "service", "unit", "today", "proposed", "fired", "minutes", "noise", "why")
    return Table(columns, rows, marks, "Red: too noisy, and no threshold helps." if pages.BAD in marks else "")


def _all(study: Study) -> Table:
    rows, marks = [], []
    for found in study.found:
        for observed, distribution in spread(found.observed):
            first = observed is found.observed[0]
            rows.append(
                [
                    found.case.alert if first else "",
                    observed.comparison.subject.replace("{}", ""),
                    f"{'above' if observed.comparison.above else 'below'} {found.case.levels.default:g}",
                    distribution.count if distribution else 0,
                    *map(_cell, _values(distribution)),
                    *([_cell(float(text)) for text in _counted(study, found.now)] if first else [None] * 4),
                    "limit"
                    if found.case.limit
                    else ", ".join(number(v.proposed) for v in found.verdicts if v.proposed is not None) or "kept",
                ]
            )
            marks.append("" if distribution else pages.DULL)
    counted = ("fired", "minutes", "a week", "noise")
    return Table(("alert", "compared", "fires", "samples", *_SPREAD, *counted, "proposed"), rows, marks)


def _by_service(study: Study) -> Table:
    rows = []
    for found in study.found:
        for service in services(found):
            _, distribution = spread(found.observed, service)[0]
            rows.append(
                [found.case.alert, service, _cell(found.case.levels.of(service)), *map(_cell, _values(distribution))]
            )
    return Table(("alert", "service", "threshold", *_SPREAD), rows)


def _limits(study: Study) -> Table:
    rows = [
        [f.case.alert, _cell(f.case.levels.default), f.case.unit, f.now.times, f.case.limit]
        for f in study.found
        if f.case.limit
    ]
    return Table(("alert", "threshold", "unit", "fired", "follows from"), rows)


def _whole(study: Study) -> Table:
    whole = [found.case.alert for found in study.found if found.case.separated.parts is None]
    return Table(("alert", "why"), [[alert, INSEPARABLE.get(alert, "its expression is new here")] for alert in whole])


def _charts(found: Found) -> Iterator[Chart]:
    """What each service with a proposal showed, with the threshold it has and the one proposed."""
    for verdict in found.verdicts:
        if verdict.proposed is None:
            continue
        every = verdict.service == rules.EVERY
        lines = []
        for observed in found.observed:
            for series in observed.furthest or observed.sampled:
                if every or series.labels.get("service", "") == verdict.service:
                    name = ", ".join(v for k, v in sorted(series.labels.items()) if k not in ("job", "team", "tier"))
                    lines.append(Line(name, _thinned(series, observed.comparison.above)))
        yield Chart(
            f"{_named(found, verdict)}: the furthest in each interval",
            lines[:12],
            found.case.unit,
            {"today": verdict.today, "proposed": verdict.proposed},
        )


def _thinned(series: Series, above: bool) -> list[tuple[float, float]]:
    size = math.ceil(series.times.size / _POINTS)
    furthest = np.maximum if above else np.minimum
    starts = np.arange(0, series.times.size, size)
    return list(zip(series.times[starts].tolist(), furthest.reduceat(series.values, starts).tolist(), strict=True))
