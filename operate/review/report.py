"""What is told of the week: the table, the page, the figures."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from operate import pages
from operate.review.database import Figure, Statement
from operate.review.episodes import Episode
from operate.review.silences import Silence
from operate.review.week import FLAP_GAP, FLAP_RETURNS, NIGHT_FROM, NIGHT_TO, Row, Week

_COLUMNS = (
    "alert",
    "severity",
    "team",
    "began",
    "before",
    "firing in all",
    "half of them below",
    "first silence after",
    "silenced",
    "flapping",
)


@dataclass(frozen=True)
class Review:
    """Everything a review says. `never` are deployed alerts without an episode, `muted` those that the settings mute.

    `evaluated` is the share of the week in which Prometheus evaluated its rules, None where that is not known;
    `delivered` the notifications by channel; `acknowledging` whether Alertmanager was asked for silences.
    """

    stack: str
    week: Week
    deployed: int
    never: tuple[str, ...]
    muted: tuple[str, ...]
    figures: tuple[Figure, ...]
    statements: tuple[Statement, ...]
    delivered: dict[str, float]
    evaluated: float | None

    @property
    def period(self) -> str:
        """From when until when, in words."""
        return f"{date(self.week.start)} to {date(self.week.end)}"

    def verdict(self) -> str:
        """The one sentence."""
        began, calls = self.week.began(), self.week.pages()
        if not [each for each in began if each.severity in ("critical", "warning")]:
            said = "A quiet week: no page and no warning began"
        else:
            nights = sum(page.at_night for page in calls)
            warnings = sum(episode.severity == "warning" for episode in began)
            said = f"{counted(len(calls), 'page')} ({nights or 'none'} at night) and {counted(warnings, 'warning')}"
        return f"{said}{self._compared()}."

    def _compared(self) -> str:
        before = self.week.pages_before()
        if before is None:
            return "; there is no history of the time before"
        warnings = sum(episode.severity == "warning" for episode in self.week.before or ())
        return f"; {counted(len(before), 'page')} and {counted(warnings, 'warning')} in the time before"

    def in_force(self) -> list[Silence]:
        """Silences that hold at the end of the week."""
        return [silence for silence in self.week.silences if silence.start <= self.week.end < silence.end]

    def beyond(self) -> list[Figure]:
        """Figures of the stores whose worst moment lay beyond an alert's threshold."""
        return [figure for figure in self.figures if figure.over]

    def print(self) -> None:
        """The alerts, the stores, and what was said of them."""
        console = Console(width=None if sys.stdout.isatty() else 180)
        rows = self.week.rows()
        if rows:
            console.print(_grid(_COLUMNS, [_cells(row) for row in rows]))
        if moved := [figure for figure in self.figures if figure.worst]:
            console.print(_grid(_STORE_COLUMNS, [_store(figure) for figure in moved]))
        print(self.verdict())

    def page(self) -> pages.Page:
        """The page."""
        rows, week = self.week.rows(), self.week
        marks = [pages.BAD if row.severity == "critical" and row.count else "" for row in rows]
        alerts = pages.Table(_COLUMNS, [_cells(row) for row in rows], marks)
        teams = pages.Table(
            ("team", "criticals", "warnings", "pages at night", "firing in all"),
            [(team, critical, warning, night, span(total)) for team, critical, warning, night, total in week.teams()],
        )
        calls = pages.Table(
            ("began", "alert", "service", "team", "at night"),
            [(moment(p.start), p.alert, p.service, p.team, "yes" if p.at_night else "") for p in week.pages()],
        )
        return pages.Page(
            f"Alerts of {self.stack}, {self.period}",
            self.verdict(),
            [
                pages.Section("Alerts", self._remarks(), [alerts] if rows else []),
                pages.Section("Teams", tables=[teams] if week.teams() else []),
                pages.Section("Pages", _ON_CALL, [calls] if week.pages() else []),
                pages.Section("Silenced and muted", self.muted or ["Nothing is muted."], self._silences()),
                pages.Section("Firing now", self._calm(), [_firing(week.firing())] if week.firing() else []),
                pages.Section("Databases, cache and queues", _STORES, [*self._store_tables()]),
                pages.Section(f"Never fired: {len(self.never)} of {self.deployed} alerts", [", ".join(self.never)]),
                pages.Section("How this is counted", _METHOD),
            ],
        )

    def data(self) -> dict[str, Any]:
        """The same as plain data; durations are seconds, moments Unix seconds."""
        week = self.week
        return {
            "stack": self.stack,
            "start": week.start,
            "end": week.end,
            "verdict": self.verdict(),
            "evaluated_ratio": self.evaluated,
            "alerts": [asdict(row) for row in week.rows()],
            "episodes": [asdict(episode) for episode in week.episodes],
            "pages": [asdict(page) | {"at_night": page.at_night} for page in week.pages()],
            "pages_before": None if week.before is None else len(week.pages_before() or ()),
            "silences": [asdict(silence) for silence in self.in_force()],
            "muted": list(self.muted),
            "never_fired": list(self.never),
            "notifications": self.delivered,
            "stores": [asdict(figure) for figure in self.figures],
            "statements": [
                asdict(each) | {"worst": each.worst if math.isfinite(each.worst) else None} for each in self.statements
            ],
        }

    def _remarks(self) -> list[str]:
        said = []
        if not self.week.rows():
            said.append("Nothing fired.")
        if self.evaluated is not None and self.evaluated < 0.99:
            said.append(
                f"Prometheus evaluated its rules in {self.evaluated:.0%} of the time; in the rest no alert is known."
            )
        if self.delivered:
            sent = ", ".join(f"{count:.0f} by {name}" for name, count in sorted(self.delivered.items()))
            said.append(f"Messages that left Alertmanager, heartbeats apart: {sent}.")
        return said

    def _calm(self) -> list[str]:
        return [] if self.week.firing() else ["No critical and no warning fires."]

    def _silences(self) -> list[pages.Table]:
        found = [(s.subject, s.author, s.comment, moment(s.start), moment(s.end)) for s in self.in_force()]
        return [pages.Table(("silence", "by", "because", "since", "until"), found)] if found else []

    def _store_tables(self) -> list[pages.Table]:
        marks = [pages.BAD if figure.over else "" for figure in self.figures]
        found = []
        if self.figures:
            found.append(pages.Table(_STORE_COLUMNS, [_store(figure) for figure in self.figures], marks))
        if self.statements:
            slow = [(s.query, s.where, duration(s.worst), span(s.total)) for s in self.statements]
            columns = ("statement (queryid)", "where", "worst mean", "time in all")
            found.append(pages.Table(columns, slow, caption="The statements that took most time"))
        return found


_ON_CALL = (
    "A page is a critical alert of a service that no silence covered; its instances at the same time are one. Night "
    f"is {NIGHT_FROM}:00 to {NIGHT_TO:02}:00 UTC. What another alert held back is counted too: history does not tell.",
)
_STORES = (
    "A worst value beyond the threshold is no alert yet: that has to hold for longer, and cache hits count only while "
    "much is read. A statement's "
    "text stands in pg_stat_statements under its queryid.",
)
_METHOD = (
    "Counted is what Prometheus fired, out of ALERTS as recorded. An alert that Prometheus was away from is one alert "
    "when its condition began at the same moment before and after.",
    f"Flapping is what began again within {FLAP_GAP / 60:.0f} minutes of its end, {FLAP_RETURNS} times in a row or "
    "more.",
    "The first silence made while an alert fires counts as its acknowledgement. Acknowledgements in PagerDuty are not "
    "visible from here. Alertmanager forgets a silence five days after its end.",
)
_STORE_COLUMNS = ("what", "where", "usual", "worst", "when", "threshold")


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*("" if cell is None else str(cell) for cell in row))
    return grid


def _cells(row: Row) -> tuple[Any, ...]:
    return (
        row.alert,
        row.severity,
        ", ".join(row.teams),
        row.count,
        row.before,
        span(row.total),
        None if row.half is None else span(row.half),
        None if row.acknowledged is None else f"{span(row.acknowledged)} ({row.answers} of {row.count})",
        row.silenced or None,
        ", ".join(row.flapping) or None,
    )


def _store(figure: Figure) -> tuple[Any, ...]:
    limit = None if figure.limit is None else value(figure.limit, figure.unit)
    usual, worst = value(figure.usual, figure.unit), value(figure.worst, figure.unit)
    return figure.what, figure.subject, usual, worst, moment(figure.at), limit


def _firing(episodes: Sequence[Episode]) -> pages.Table:
    rows = [(each.alert, each.severity, each.team, each.subject, moment(each.start)) for each in episodes]
    return pages.Table(("alert", "severity", "team", "about", "since"), rows)


def counted(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A duration as somebody says it: 45 s, 12 min, 3.5 h, 2.1 d."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    """A short duration: of a statement."""
    if not math.isfinite(seconds):
        return ""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def value(number: float, unit: str) -> str:
    """A figure with its unit."""
    if unit == "ratio":
        return f"{number * 100:.3g} %"
    return duration(number) if unit == "seconds" else f"{number:,.0f}"


def moment(at: float) -> str:
    """A Unix time to the minute."""
    return f"{datetime.fromtimestamp(at, UTC):%a %Y-%m-%d %H:%M}"


def date(at: float) -> str:
    """The day of a Unix time."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
