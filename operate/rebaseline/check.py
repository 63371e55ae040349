"""`make rebaseline CHECK=1`: how well the answers are found that are known of generated history (known.py)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from infra.errors import InputError
from infra.stack import load
from operate import replay, tools
from operate.progress import step
from operate.quiet_week.tsdb import Tsdb
from operate.rebaseline import change, known, source
from operate.rebaseline.distribution import FEWEST_DAYS, daily, once_a_year
from operate.rebaseline.firings import Span
from operate.rebaseline.known import Spell
from operate.rebaseline.report import spread
from operate.rebaseline.study import Found, Study, study

_INTERVAL = 15
# What was written for an alert, and its rule's `for` and `keep_firing_for` in minutes.
_NOISE = {
    "LargePendingDepositsBacklog": ((*known.BATCHES, known.DEPOSITS_INCIDENT), 10, 0),
    "LowOrderMatchSuccessRate": ((*known.FALLS, known.FALL_INCIDENT), 10, 0),
    "APILatencyWarning": (known.SLOW, 10, 5),
    "HighRateLimitViolations": (known.FOLLOWED, 10, 0),
    "HotWalletLow": (known.LOW_WALLET, 10, 10),
    "DDoSDetected": ((*known.RUSHES, known.ATTACK), 2, 5),
}
# Alert, firings at the proposed threshold, whether there is a proposal.
_PROPOSED = (
    ("LargePendingDepositsBacklog", 1, True),
    ("LowOrderMatchSuccessRate", 1, True),
    ("APILatencyWarning", 0, True),
    ("HighRateLimitViolations", len(known.FOLLOWED), False),
    ("HotWalletLow", len(known.LOW_WALLET), False),
    ("DDoSDetected", 1, True),
    ("RabbitMQQueueBacklogWarning", 0, True),
    ("RabbitMQQueueBacklogCritical", 0, False),
)


@dataclass(frozen=True)
class Row:
    """One answer: the true value, the one found, and how far it may be off, as a share of the true one."""

    what: str
    true: float
    found: float
    bound: float

    @property
    def error(self) -> float:
        """Relative to the true value; absolute where that is 0."""
        return abs(self.found - self.true) / (abs(self.true) or 1.0)

    @property
    def good(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Check:
    """Every answer, and the study that they are from."""

    rows: Sequence[Row]
    study: Study

    def print(self) -> bool:
        """Print the table; whether every error is within its bound."""
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("what", "true", "found", "relative error", "bound"):
            grid.add_column(name, justify="left" if name == "what" else "right")
        for row in self.rows:
            mark = "" if row.good else "[red]"
            grid.add_row(row.what, f"{row.true:.5g}", f"{mark}{row.found:.5g}", f"{row.error:.2%}", f"{row.bound:.0%}")
        Console(width=None if sys.stdout.isatty() else 140).print(grid)
        wrong = sum(not row.good for row in self.rows)
        print(f"{len(self.rows)} known answers, {wrong or 'none'} of them missed")
        return not wrong


def check(days: int = 30, scrape: float = 15.0, whole: Collection[str] = tuple(_NOISE)) -> Check:
    """Generate `days` days of history, sampled each `scrape` seconds, and rebaseline stack dev by it.

    The rules of the alerts in `whole` are replayed another way as well: as they are deployed, nothing taken out.
    """
    if days < FEWEST_DAYS or days > 60:
        raise InputError(f"rebaseline: the check is of {FEWEST_DAYS} to 60 days, not {days}; leave DAYS out.")
    stack = load("dev")
    folder = Path(tempfile.mkdtemp(prefix="rebaseline-"))
    # Prometheus' own lookback: as a live one it sees the last sample for five minutes.
    tsdb = Tsdb(folder, tools.ensure("prometheus"), tools.ensure("promtool"), 300.001, _INTERVAL)
    try:
        with step(f"{days} days of known history, a sample each {scrape:g} s"):
            known.write(tsdb, days, scrape)
        with tsdb.serve() as url:
            found = study(stack, source.of(stack, url), days, known.START + days * known.DAY)
            change.checked(stack, change.tuning(stack, found.verdicts))
            by_alert = {each.case.alert: each for each in found.found}
            with step("the rules replayed whole, at today's and at the proposed thresholds"):
                rows = [*_quantiles(by_alert, days), *_firings(by_alert), *_proposals(by_alert)]
                rows += [row for alert in whole for row in _whole(by_alert[alert], found.span, url)]
    finally:
        shutil.rmtree(folder)
    return Check(rows, found)


def _quantiles(found: dict[str, Found], days: int) -> Iterator[Row]:
    cases = (
        ("RedisMemoryWarning", "a day's sine", known.arcsine_quantile, 0.01),
        ("HighMemoryUsage", "a day's and a week's sine", lambda level: known.load_quantile(level, days), 0.01),
        # 8640 samples are drawn of it: of the last 0.1 % there are nine.
        ("MatchingEngineLatencyHigh", "an exponential distribution", known.exponential_quantile, 0.15),
    )
    for alert, what, true, bound in cases:
        [(_, distribution)] = spread(found[alert].observed)
        assert distribution is not None
        pairs = (
            (0.5, distribution.median),
            (0.95, distribution.q95),
            (0.99, distribution.q99),
            (0.999, distribution.q999),
        )
        for level, value in pairs:
            yield Row(f"{what}: {level:.1%} quantile", true(level), value, bound)
    [(_, deposits)] = spread(found["LargePendingDepositsBacklog"].observed)
    assert deposits is not None
    yield Row("deposits that wait: the furthest", known.DEPOSITS_INCIDENT.level, deposits.worst, 0.0)
    [observed] = found["RabbitMQQueueBacklogWarning"].observed
    [series] = observed.of("rabbitmq")
    year = once_a_year(daily(series.times, series.values, above=True), above=True)
    # Of the estimate from 30 extremes, three standard deviations by simulation (test_rebaseline.py).
    yield Row("Gumbel's daily extremes: once a year", known.gumbel_year(), year or 0.0, 0.3)


def _firings(found: dict[str, Found]) -> Iterator[Row]:
    for alert, (spells, hold, keep) in _NOISE.items():
        now = found[alert].now
        yield Row(f"{alert}: firings", len(spells), now.times, 0.0)
        yield Row(f"{alert}: minutes of firing", _minutes(spells, hold, keep), now.minutes, 0.01)


def _minutes(spells: Sequence[Spell], hold: float, keep: float) -> float:
    return sum(known.firing_minutes(spell, hold, keep) for spell in spells)


def _proposals(found: dict[str, Found]) -> Iterator[Row]:
    for alert, firings, proposed in _PROPOSED:
        has = any(verdict.proposed is not None for verdict in found[alert].verdicts)
        yield Row(f"{alert}: is there a proposal", float(proposed), float(has), 0.0)
        yield Row(f"{alert}: firings after it", firings, found[alert].then.times, 0.0)
    others = sum(
        verdict.proposed is not None
        for alert, each in found.items()
        for verdict in each.verdicts
        if alert not in {name for name, _, _ in _PROPOSED}
    )
    yield Row("proposals for any other alert", 0, others, 0.0)


def _whole(found: Found, span: Span, url: str) -> Iterator[Row]:
    """The same counts by another way: the deployed expression, asked as it is."""
    for when, levels, count in (("today", found.case.levels, found.now), ("proposed", found.proposed, found.then)):
        rule = replace(found.case.rule, expr=found.case.expr(levels))
        episodes = replay.replay(url, [rule], span.start, span.end)
        yield Row(f"{found.case.alert}: firings, {when}, rule asked whole", len(episodes), count.times, 0.0)
