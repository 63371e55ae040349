"""How fast the dashboards are over a month of a large exchange, with recording rules and without."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import requests

from infra.dashboards import pages
from infra.stack import Stack
from operate import replay, tools
from operate.dashboards import history, month
from operate.dashboards.history import DAY, DAYS, END, INSTANCES, SERVICES, START, Series
from operate.dashboards.month import Month
from operate.dashboards.raw import Definitions
from operate.dashboards.reading import Dashboard, PanelQuery
from operate.documents.performance import Part
from operate.progress import step
from operate.quiet_week import targets
from operate.quiet_week.targets import Deployment

RATIO, SLOWEST = 10.0, 1.0
# Grafana asks for about as many points as a graph is wide.
STEP = DAYS * DAY // 1000
TIMEOUT = 120.0
_BEST_OF = 3
_NAMED = 5
MARKS = "marks on all"


@dataclass(frozen=True)
class Timing:
    """Seconds and series of a query; `late` where it was given up after TIMEOUT, `error` where it was refused."""

    seconds: float
    series: int = 0
    late: bool = False
    error: str = ""


@dataclass(frozen=True)
class Measured:
    """One query of a panel, with recording rules and on raw series."""

    dashboard: str
    panel: str
    expr: str
    instant: bool
    recorded: Timing
    raw: Timing


@dataclass(frozen=True)
class Span:
    """What a dashboard is asked for: from `start` to `end` in Unix seconds, a point each `step` seconds."""

    start: float
    end: float
    step: int


class Clock:
    """Times queries through the HTTP API of the Prometheus at `url`, each text once; over the month or another span."""

    def __init__(self, url: str, span: Span = Span(START, END, STEP)) -> None:
        self._url, self._span = f"{url}/api/v1", span
        self._session = requests.Session()
        # To look for a proxy at each request takes longer than most answers do.
        self._session.trust_env = False
        self._known: dict[tuple[str, bool], Timing] = {}

    def time(self, expr: str, instant: bool, repetitions: int) -> Timing:
        """The fastest of so many repetitions; one is enough for what is slow."""
        key = (expr, instant)
        if key not in self._known:
            timings = [self._once(expr, instant)]
            while len(timings) < repetitions and timings[-1].seconds < TIMEOUT / 10:
                timings.append(self._once(expr, instant))
            self._known[key] = min(timings, key=lambda timing: timing.seconds)
        return self._known[key]

    def _once(self, expr: str, instant: bool) -> Timing:
        span = self._span
        form: dict[str, str | float] = {"query": expr, "timeout": f"{TIMEOUT:.0f}s"}
        form |= {"time": span.end} if instant else {"start": span.start, "end": span.end, "step": span.step}
        began = time.monotonic()
        answer = self._session.post(f"{self._url}/query{'' if instant else '_range'}", data=form, timeout=2 * TIMEOUT)
        seconds = time.monotonic() - began
        body = answer.json()
        if body["status"] == "success":
            result = body["data"]["result"]
            return Timing(seconds, len(result) if body["data"]["resultType"] != "scalar" else 1)
        if body["errorType"] == "timeout":
            return Timing(TIMEOUT, late=True)
        return Timing(seconds, error=str(body["error"]))


def run(stack: Stack) -> Part:
    """Generate the month, measure every dashboard and print the figures, one line for each, and what misses a bound."""
    dashboards = [Dashboard(page.document) for page in pages(stack)]
    deployed = deployment(history.large(stack))
    folder = Path(tempfile.mkdtemp(prefix="dashboards-"))
    generator, prometheus = tools.ensure("blocks"), tools.ensure("prometheus")
    whole = Month(folder / "month", generator, prometheus)
    try:
        with step(f"series of {SERVICES} services with {INSTANCES} instances each"):
            series, assumed = generated(Month(folder / "sample", generator, prometheus), deployed, dashboards)
        if assumed:
            print(f"labels assumed, for no table of operate/quiet_week has them: {', '.join(assumed)}")
        with step(f"{DAYS} days of {len(series)} series"):
            whole.write(series)
        print(f"{whole.samples / 1e6:.0f} million samples, {whole.size / 1e9:.1f} GB")
        found: list[list[Measured]] = []
        with whole.serve() as url:
            report(_noted(measure(Clock(url), definitions(deployed, series), dashboards), found))
        return _part(found, whole.samples)
    finally:
        shutil.rmtree(folder)


def _noted(parts: Iterable[list[Measured]], found: list[list[Measured]]) -> Iterator[list[Measured]]:
    for part in parts:
        found.append(part)
        yield part


def _part(found: Sequence[Sequence[Measured]], samples: int) -> Part:
    """The figures as docs/PERFORMANCE.md has them."""
    return Part(
        title=f"Dashboards over {DAYS} days",
        method=(
            f"All queries of a dashboard over {DAYS} days of {SERVICES} services with {INSTANCES} instances each: "
            f"{samples / 1e6:.0f} million generated samples in blocks of a real Prometheus.",
            "One after the other with All chosen; seconds on the clock, the fastest of three tries. Raw is the same "
            f"without recording rules, tried once and given up after {TIMEOUT:.0f} s.",
        ),
        columns=("dashboard", "queries", "seconds", "slowest query", "raw", "times faster"),
        rows=tuple(_row(part) for part in found),
    )


def _row(part: Sequence[Measured]) -> tuple[str, int, float, float, float, float]:
    fast, raw = sum(one.recorded.seconds for one in part), sum(one.raw.seconds for one in part)
    slowest = max(one.recorded.seconds for one in part)
    return part[0].dashboard, len(part), round(fast, 2), round(slowest, 2), round(raw, 1), round(raw / fast, 1)


def deployment(stack: Stack) -> Deployment:
    """What Prometheus is given of a stack; no rule reads its own output, which a month does not keep up."""
    found = targets.deployment(stack)
    return replace(found, rules=tuple(replay.without_itself(rule) for rule in found.rules))


def generated(sample: Month, deployed: Deployment, dashboards: Sequence[Dashboard]) -> tuple[list[Series], list[str]]:
    """Every series that the dashboards read, and the metrics whose labels are assumed. Raises InputError."""
    asked = expressions(dashboards)
    wanted = targets.read_by(asked, deployed.rules)
    series, assumed = history.scraped(deployed, wanted, [*asked, *(rule.expr for rule in deployed.rules)])
    series += history.alerts(deployed.rules, deployed.facts.catalog.services)
    return series + month.recorded(sample, series, deployed.rules, wanted), assumed


def definitions(deployed: Deployment, series: Iterable[Series]) -> Definitions:
    """What the recorded ones among the series stand for."""
    labels: dict[str, set[str]] = {}
    for one in series:
        labels.setdefault(one.labels["__name__"], set()).update(one.labels)
    return Definitions(deployed.rules, labels)


def expressions(dashboards: Iterable[Dashboard]) -> list[str]:
    """Everything that the dashboards ask Prometheus, for the whole month."""
    return [_filled(d, query) for d in dashboards for _, query in chain(asked_of(d), _marks(d))]


def asked_of(dashboard: Dashboard) -> Iterator[tuple[str, PanelQuery]]:
    """Title and query of each question that panels ask Prometheus."""
    for panel in dashboard.panels:
        yield from ((panel.title, query) for query in panel.queries if query.source == "prometheus")


def _marks(dashboard: Dashboard) -> Iterator[tuple[str, PanelQuery]]:
    """Name and query of what is drawn on all its graphs."""
    for mark in dashboard.document["annotations"]["list"]:
        if "expr" in mark:
            yield str(mark["name"]), PanelQuery(mark["expr"], "", False, "prometheus")


def _filled(dashboard: Dashboard, query: PanelQuery) -> str:
    return query.filled(dashboard.everything(), range_seconds=DAYS * DAY, step_seconds=STEP)


def measure(clock: Clock, definitions: Definitions, dashboards: Sequence[Dashboard]) -> Iterator[list[Measured]]:
    """What every query of a dashboard takes, one dashboard after the other; then the marks that are drawn on each."""

    def measured(where: str, title: str, expr: str, instant: bool) -> Measured:
        fast = clock.time(expr, instant, _BEST_OF)
        return Measured(where, title, expr, instant, fast, clock.time(definitions.raw(expr), instant, 1))

    for dashboard in dashboards:
        yield [measured(dashboard.uid, title, _filled(dashboard, q), q.instant) for title, q in asked_of(dashboard)]
    marks = {_filled(dashboard, query): title for dashboard in dashboards for title, query in _marks(dashboard)}
    yield [measured(MARKS, title, expr, False) for expr, title in marks.items()]


def report(found: Iterable[list[Measured]]) -> list[str]:
    """Print one line for each dashboard, and what misses a bound, which is also returned."""
    print(f"\n{DAYS} days, {SERVICES} services; seconds of all queries of a dashboard, one after the other")
    print(f"{'dashboard':24}{'queries':>8}{'recorded':>10}{'slowest':>9}{'raw':>10}{'times faster':>14}")
    missed: list[str] = []
    for part in found:
        uid = part[0].dashboard
        fast, raw = sum(one.recorded.seconds for one in part), sum(one.raw.seconds for one in part)
        slowest = max(one.recorded.seconds for one in part)
        late = sum(one.raw.late for one in part)
        mark = f"  {late} on raw series given up after {TIMEOUT:.0f} s" if late else ""
        figures = f"{len(part):8}{fast:10.2f}{slowest:9.2f}{raw:10.1f}{raw / fast:14.1f}"
        print(f"{uid:24}{figures}{mark}", flush=True)
        # Alerts are Prometheus' own series: there is nothing rawer to compare them with.
        if raw / fast < RATIO and uid != MARKS:
            missed.append(f"{uid}: {raw / fast:.1f} times faster than on raw series, and least so")
            worst = sorted(part, key=lambda one: one.raw.seconds - RATIO * one.recorded.seconds)
            missed += (f"  {_told(one)}" for one in worst[:_NAMED])
        missed += (_told(one) for one in part if one.recorded.seconds >= SLOWEST)
        missed += (_refused(one, timing) for one in part for timing in (one.recorded, one.raw) if timing.error)
    holds = f"at least {RATIO:.0f} times faster, every query under {SLOWEST:.0f} s"
    print("\n".join([f"missed: {holds}", *missed]) if missed else f"holds: {holds}")
    return missed


def _told(one: Measured) -> str:
    times = f"{one.recorded.seconds:.3f} s, on raw series {one.raw.seconds:.3f} s"
    return f"{one.dashboard}: {one.panel}: {times}: {' '.join(one.expr.split())}"


def _refused(one: Measured, timing: Timing) -> str:
    which = "" if timing is one.recorded else " on raw series"
    return f"{one.dashboard}: {one.panel}: refused{which}: {timing.error}"
