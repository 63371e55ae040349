"""A study as plain values, for .reports/<stack>/rebaseline.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from operate.rebaseline.distribution import Distribution, describe
from operate.rebaseline.report import services, spread
from operate.rebaseline.study import Found, Study
from operate.rebaseline.verdict import Count


def figures(study: Study) -> dict[str, Any]:
    """Every distribution, count and verdict; Unix seconds, and minutes where a name says so."""
    return {
        "stack": study.stack.name,
        "source": study.source,
        "start": study.span.start,
        "end": study.span.end,
        "step": study.span.step,
        "thresholds": [_figures(study, found) for found in study.found],
    }


def _figures(study: Study, found: Found) -> dict[str, Any]:
    return {
        "alert": found.case.alert,
        "unit": found.case.unit,
        "severity": found.case.severity,
        "limit": found.case.limit,
        "threshold": found.case.levels.default,
        "by_service": dict(found.case.levels.by_service),
        "today": _count(study, found.now),
        "proposed": _count(study, found.then),
        "compared": [
            {
                "subject": observed.comparison.subject.replace("{}", ""),
                "fires": observed.comparison.operator,
                "overall": _plain(distribution),
                "services": {service: _plain(spread([observed], service)[0][1]) for service in services(found)},
                "series": [
                    {"labels": series.labels, **(_plain(describe(series.values, observed.comparison.above)) or {})}
                    for series in observed.sampled
                ],
            }
            for observed, distribution in spread(found.observed)
        ],
        "verdicts": [
            {
                "service": verdict.service,
                "verdict": verdict.kind,
                "today": verdict.today,
                "proposed": verdict.proposed,
                "evidence": verdict.evidence,
                "fired_today": _count(study, verdict.now),
                "fired_proposed": _count(study, verdict.then),
            }
            for verdict in found.verdicts
        ],
    }


def _count(study: Study, count: Count) -> dict[str, float]:
    return {
        "count": count.times,
        "minutes": round(count.minutes, 2),
        "per_week": round(count.times / study.span.weeks, 3),
        "noise": count.noise,
    }


def _plain(distribution: Distribution | None) -> dict[str, float] | None:
    return None if distribution is None else asdict(distribution)
