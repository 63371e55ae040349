"""Three hours of the past for what dashboards read, and how long they take over it.

A Prometheus that has run for ten minutes would answer a graph of three hours from a twentieth of its points. So what
the dashboards read is written as a block that ends where the head begins: the labels and values are those that are
there, a counter rises evenly up to its value.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InputError
from operate import promql, replay
from operate.bench.figures import Page
from operate.bench.server import Server
from operate.dashboards.history import Series
from operate.dashboards.reading import Dashboard, PanelQuery
from operate.dashboards.speed import Clock, Span, asked_of

HOURS = 3
_SECONDS = HOURS * 3600
# Grafana asks for about as many points as a graph is wide, and never for two within a scrape.
_STEP = 15
# Longer than the past, so that it is one block which nothing is joined with.
_BLOCK_HOURS = 54
_COUNTED = ("_total", "_bucket", "_count", "_sum")
_BEST_OF = 3


@dataclass(frozen=True)
class Past:
    """The block to be: its series, and where it ends in Unix seconds."""

    series: tuple[str, ...]
    end: float

    def write(self, generator: Path, data: Path) -> None:
        """Write it into the data directory of a Prometheus that does not run."""
        span = {
            "start": round((self.end - _SECONDS) * 1000),
            "end": round(self.end * 1000),
            "block": _BLOCK_HOURS * 3_600_000,
        }
        text = "\n".join([json.dumps(span), *self.series])
        done = subprocess.run([generator, str(data)], input=text, text=True, check=False, capture_output=True)
        if done.returncode:
            raise InputError(
                f"generated blocks cannot be written: {done.stderr.strip()}; correct operate/bench/past.py."
            )


def of(server: Server, dashboards: Sequence[Dashboard], intervals: dict[str, float], step: float) -> Past:
    """What the dashboards read, as the running server has it; `intervals` of recorded series, `step` of all others."""
    asked = [filled(dashboard, query) for dashboard in dashboards for _, query in asked_of(dashboard)]
    names = sorted(set().union(*map(promql.names, asked)))
    lines = []
    for name in names:
        if name in replay.ALERTS:
            continue
        for labels, value in server.query(f'{{__name__="{name}"}}'):
            if abs(value) < float("inf"):
                lines.append(_series(labels, value, intervals.get(name, step)).line)
    return Past(tuple(lines), server.metric("prometheus_tsdb_head_min_time_seconds"))


def _series(labels: dict[str, str], value: float, interval: float) -> Series:
    number = hash(tuple(sorted(labels.items()))) & 0xFFFFFFFF
    if labels["__name__"].endswith(_COUNTED):
        slope = value / _SECONDS
        return Series(labels, interval, 0.0, slope=slope, noise=slope * interval, digits=3, seed=number)
    constant = value == round(value)
    return Series(labels, interval, value, noise=0.0 if constant else value / 20, digits=-1, seed=number)


def filled(dashboard: Dashboard, query: PanelQuery) -> str:
    """The query of a panel with All chosen in every variable, for a graph of the past."""
    return query.filled(dashboard.everything(), range_seconds=_SECONDS, step_seconds=_STEP)


def pages(server: Server, dashboards: Sequence[Dashboard]) -> Iterator[Page]:
    """What each dashboard takes over the last three hours, its queries one after the other."""
    now = time.time()
    clock = Clock(server.url, Span(now - _SECONDS, now, _STEP))
    for dashboard in dashboards:
        slowest = {True: 0.0, False: 0.0}
        total, count = 0.0, 0
        for title, query in asked_of(dashboard):
            timing = clock.time(filled(dashboard, query), query.instant, _BEST_OF)
            if timing.error:
                raise InputError(f"{dashboard.uid}: {title}: Prometheus refuses the query: {timing.error}.")
            slowest[query.instant] = max(slowest[query.instant], timing.seconds)
            total, count = total + timing.seconds, count + 1
        yield Page(dashboard=dashboard.uid, queries=count, seconds=total, instant=slowest[True], range=slowest[False])
