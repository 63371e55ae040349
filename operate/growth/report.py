"""What is told of the readings: the table, the page, the figures."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from operate import pages
from operate.growth.bins import DAY
from operate.growth.readings import Reading
from operate.growth.trend import HORIZON, LEAST_DAYS, Estimate, TooShort, Trend

# Days from the decision to the larger disk: ordering, a window for the change.
LEAD = 14.0
# Of its limit, what something may fill at the end of the horizon.
_FULL = 0.8
_AT_ONCE = "at once"
# Beyond ten years a line is not worth a number.
_FAR = 3650.0
_COLUMNS = (
    "what",
    "last hour",
    "busy day",
    "limit",
    "growth in a day",
    "days to the limit",
    "90 % range",
    "change",
    "by",
)


@dataclass(frozen=True)
class Row:
    """A reading in words; `urgent` where something has to be changed, `earliest` sorts (days)."""

    reading: Reading
    cells: tuple[str, ...]
    urgent: bool
    earliest: float

    @property
    def change(self) -> str:
        """What has to be changed, empty where nothing has."""
        return self.cells[-2]

    @property
    def by(self) -> str:
        """The day by which, empty where nothing has to be changed."""
        return self.cells[-1]


@dataclass(frozen=True)
class Report:
    """The readings of `days` days before `now` (Unix seconds)."""

    stack: str
    days: int
    now: float
    readings: tuple[Reading, ...]

    def rows(self) -> list[Row]:
        """What reaches its limit first comes first, what has no trend last."""
        return sorted((self._row(reading) for reading in self.readings), key=lambda row: (not row.urgent, row.earliest))

    def verdict(self) -> str:
        """The one sentence."""
        urgent = [row for row in self.rows() if row.urgent]
        known = [reading for reading in self.readings if isinstance(reading.trend, Trend)]
        if urgent:
            first = urgent[0]
            when = first.by if first.by == _AT_ONCE else f"by {first.by}"
            return (
                f"{len(urgent)} of {len(known)} quantities may reach their limit within {HORIZON:.0f} days, first "
                f"{first.reading.name}: {first.change} {when}."
            )
        if known:
            return f"Nothing to change: none of {len(known)} quantities reaches its limit within {HORIZON:.0f} days."
        return f"No trend yet: {LEAST_DAYS} days of history are needed, and there are {self._longest():.1f}."

    def print(self) -> None:
        """The table of what grows or is half full, how many others there are, and the verdict."""
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(_COLUMNS):
            grid.add_column(column, justify="right" if 1 <= number <= 6 else "left", overflow="fold")
        rows = self.rows()
        shown = [row for row in rows if _notable(row)]
        for row in shown:
            grid.add_row(*row.cells, style="bold yellow" if row.urgent else "")
        if shown:
            Console(width=None if sys.stdout.isatty() else 180).print(grid)
        if still := [row for row in rows if row not in shown and isinstance(row.reading.trend, Trend)]:
            print(f"Less than half full and without growth: {len(still)}.")
        for line in self._short():
            print(line)
        print(self.verdict())

    def page(self) -> pages.Page:
        """The page: the table, then each quantity that has a trend with its history and where it goes."""
        rows = self.rows()
        marks = [_mark(row) for row in rows]
        table = pages.Table(_COLUMNS, [row.cells for row in rows], marks)
        shown = [row for row in rows if isinstance(row.reading.trend, Trend)]
        shown = [row for row in shown if row.urgent or row.reading.trend.grows] or shown[:6]  # type: ignore[union-attr]
        charts = [chart for row in shown if (chart := self._chart(row.reading))]
        return pages.Page(
            f"Capacity of {self.stack}",
            self.verdict(),
            [
                pages.Section("What reaches its limit, and when", tables=[table]),
                pages.Section("Where it goes", charts=charts),
                pages.Section("How this is found", text=_METHOD),
            ],
        )

    def figures(self) -> dict[str, Any]:
        """The same as plain data; a number that is not finite is null, which for days says never."""
        return {
            "stack": self.stack,
            "at": self.now,
            "days": self.days,
            "verdict": self.verdict(),
            "rows": [_figures(row) for row in self.rows()],
        }

    def _short(self) -> Iterator[str]:
        short = [reading for reading in self.readings if isinstance(reading.trend, TooShort)]
        if short and len(short) < len(self.readings):
            yield f"Less than the {LEAST_DAYS} days of history that a trend needs: {len(short)}."
        if absent := [reading.name for reading in self.readings if reading.today is None]:
            yield f"Not measured here: {'; '.join(absent)}."

    def _longest(self) -> float:
        return max((r.trend.days for r in self.readings if isinstance(r.trend, TooShort)), default=0.0)

    def _row(self, reading: Reading) -> Row:
        quantity, trend = reading.quantity, reading.trend
        today = "" if reading.today is None else _said(reading.today, quantity.unit)
        limit = "" if quantity.limit is None else _said(quantity.limit, quantity.unit)
        if reading.today is None:
            return Row(reading, (reading.name, "not measured", "", limit, "", "", "", "", ""), False, math.inf)
        if not isinstance(trend, Trend):
            have = trend.days if trend else 0
            needs = f"needs {LEAST_DAYS} days of history, has {have:.1f}"
            return Row(reading, (reading.name, today, "", limit, needs, "", "", "", ""), False, math.inf)
        growth = _growth(trend, quantity.unit, reading.restarts)
        days, between = _days(trend)
        earliest = trend.days.low if trend.days else math.inf
        urgent = (trend.grows and earliest < HORIZON) or earliest == 0
        change, by = self._change(reading, trend, earliest) if urgent else ("", "")
        busy = _said(trend.level.middle, quantity.unit)
        return Row(reading, (reading.name, today, busy, limit, growth, days, between, change, by), urgent, earliest)

    def _change(self, reading: Reading, trend: Trend, earliest: float) -> tuple[str, str]:
        limit = reading.quantity.limit
        assert limit is not None
        wanted = max(trend.ahead[-1][1].high, trend.level.high) / limit / _FULL
        by = self.now + max(earliest - LEAD, 0) * DAY
        soon = earliest <= LEAD
        # What grows between restarts grows by itself, not with the load.
        leak = "find the leak, or " if reading.restarts and trend.grows else ""
        return leak + reading.quantity.remedy(reading.labels, max(wanted, 1.0)), _AT_ONCE if soon else _date(by)

    def _chart(self, reading: Reading) -> pages.Chart | None:
        trend, limit = reading.trend, reading.quantity.limit
        if not isinstance(trend, Trend):
            return None
        ahead = [(self.now + days * DAY, estimate) for days, estimate in trend.ahead]
        return pages.Chart(
            reading.name,
            [
                pages.Line("a busy day's value", trend.points),
                pages.Line("trend", [(at, estimate.middle) for at, estimate in ahead], dashed=True),
            ],
            unit=reading.quantity.unit,
            limits={} if limit is None else {"limit": limit},
            band=(
                pages.Line("low", [(at, estimate.low) for at, estimate in ahead]),
                pages.Line("high", [(at, estimate.high) for at, estimate in ahead]),
            ),
        )


_METHOD = (
    "A day counts by the median of its busy hours, the six that are highest in the whole history: that takes the daily "
    "season out and leaves what reaches a limit first. Weekdays have an effect of their own where they differ. What "
    "restarts is measured between its restarts, and a lasting step is no growth.",
    "The errors from one day to the next are taken as related, by every degree as much as the data support it, so that "
    "the range is not too narrow. It has 90 %: in one case of ten the truth lies outside. The line is straight: what "
    "doubles is seen when this is run each month.",
    f"Something has to be changed where growth is certain and the early end of the range lies within {HORIZON:.0f} "
    f"days. The date is that early end less {LEAD:.0f} days to act. The size named leaves a fifth free after "
    f"{HORIZON:.0f} days at the fast end of the range.",
)


def _notable(row: Row) -> bool:
    reading = row.reading
    limit, today = reading.quantity.limit, reading.today
    grows = isinstance(reading.trend, Trend) and reading.trend.grows
    return row.urgent or grows or (limit is not None and today is not None and today >= limit / 2)


def _mark(row: Row) -> str:
    if row.urgent:
        return pages.BAD
    return pages.GOOD if isinstance(row.reading.trend, Trend) else pages.DULL


def _growth(trend: Trend, unit: str, restarts: int) -> str:
    if not trend.grows:
        said = "shrinks" if trend.shrinks else "no growth"
    else:
        said = f"{_said(trend.growth.middle, unit, sign=True)}"
    said += f", between {restarts} restarts" if restarts and trend.grows else ""
    return said + (f", step on {_date(trend.steps[-1])}" if trend.steps else "")


def _days(trend: Trend) -> tuple[str, str]:
    if trend.days is None:
        return "no limit", ""
    if trend.days.middle == 0:
        return "reached", ""
    if not trend.grows:
        early = trend.days.low
        return "not in sight", f"not before {early:.0f}" if early < _FAR else ""
    return _number(trend.days.middle), f"{_number(trend.days.low)} to {_number(trend.days.high)}"


def _number(days: float) -> str:
    return f"{days:.0f}" if days < _FAR else "never"


def _said(value: float, unit: str, *, sign: bool = False) -> str:
    plus = "+" if sign and value >= 0 else ""
    if unit == "ratio":
        return f"{plus}{value * 100:.2g} %" if sign else f"{value:.1%}".replace("%", " %")
    if unit == "bytes":
        for name, size in (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20)):
            if abs(value) >= size:
                return f"{plus}{value / size:.3g} {name}"
        return f"{plus}{value:,.0f} B"
    return f"{plus}{value:,.0f}" if abs(value) >= 100 else f"{plus}{value:.3g}"


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _figures(row: Row) -> dict[str, Any]:
    reading, trend = row.reading, row.reading.trend
    found: dict[str, Any] = {
        "what": reading.quantity.name,
        "labels": reading.labels,
        "unit": reading.quantity.unit,
        "last_hour": reading.today,
        "limit": reading.quantity.limit,
        "restarts": reading.restarts,
        "change": row.change,
        "by": row.by,
    }
    if isinstance(trend, Trend):
        return found | {
            "level": dict(_finite(trend.level)),
            "growth_a_day": dict(_finite(trend.growth)),
            "grows": trend.grows,
            "days": trend.days and dict(_finite(trend.days)),
            "steps": list(trend.steps),
        }
    return found | {"days_of_history": trend.days if trend else 0, "days_needed": LEAST_DAYS}


def _finite(estimate: Estimate) -> Iterator[tuple[str, float | None]]:
    for name in ("low", "middle", "high"):
        value = getattr(estimate, name)
        yield name, value if math.isfinite(value) else None
