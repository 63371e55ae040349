"""What the drills came to: the table, the page and the figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from infra.settings import ROOT
from infra.stack import Stack
from operate import bench, pages
from operate.bench.report import where
from operate.documents import performance
from operate.documents.alert_test_plan import Alert, Plan
from operate.documents.performance import Part
from operate.drills.course import Trial

Say = Callable[[str], None]
COLUMNS = ("alert", "severity", "team", "fires (s)", "told (s)", "planned (s)", "over (s)", "verdict")


@dataclass(frozen=True)
class Row:
    """One alert of the report; seconds are None where nothing was measured. `good` is None where nothing ran."""

    alert: Alert
    seconds: Mapping[str, float | None]
    planned: float
    verdict: str
    good: bool | None
    # By channel, seconds from the fault to its message, and from the healing to the message that it is over.
    told: Mapping[str, float] = field(default_factory=dict)
    over: Mapping[str, float] = field(default_factory=dict)

    @property
    def cells(self) -> list[Any]:
        """As the columns say."""
        measured = [_whole(self.seconds.get(key)) for key in ("fire", "notify")]
        labels = self.alert.labels
        over = _whole(self.seconds.get("resolve"))
        return [
            self.alert.name,
            labels["severity"],
            labels["team"],
            *measured,
            _whole(self.planned),
            over,
            self.verdict,
        ]


@dataclass(frozen=True)
class Report:
    """The trials of the chosen alerts; `seconds` is how long they took.

    `earlier` has what a run that was continued had found, by alert, in the form of `figures`.
    """

    plan: Plan
    alerts: Sequence[Alert]
    trials: Sequence[Trial]
    refused: Mapping[str, str]
    seconds: float
    earlier: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[Row]:
        """One for each alert, those that failed first, those that cannot be run last."""
        ran = {trial.alert.name: trial for trial in self.trials}
        return sorted((self._row(alert, ran.get(alert.name)) for alert in self.alerts), key=lambda row: _RANK[row.good])

    def _row(self, alert: Alert, trial: Trial | None) -> Row:
        planned = self.plan.within(alert)
        if (found := self.earlier.get(alert.name)) is not None:
            measured = {key: found.get(f"{key}_seconds") for key in _MEASURED}
            verdict, good = found["verdict"], found["good"]
            return Row(alert, measured, found["planned_seconds"], verdict, good, found["told"], found["over"])
        if trial is None:
            return Row(alert, {}, planned, f"not on {self.plan.stack.name}: {self.refused[alert.name]}", None)
        if not trial.verdict:
            return Row(alert, trial.seconds, planned, "interrupted" if trial.broke else "not begun", None)
        told = {channel: at - trial.broke for channel, at in trial.told.items()}
        over = {channel: at - trial.healed for channel, at in trial.over.items()}
        return Row(alert, trial.seconds, planned, trial.verdict, trial.good, told, over)

    @property
    def good(self) -> bool:
        """Whether every drill that was run ended as planned, and none was cut off."""
        return all(trial.verdict and trial.good is not False for trial in self.trials)

    @property
    def summary(self) -> str:
        """The counts in one line."""
        counts = [
            (sum(row.good is True for row in self.rows), "as planned"),
            (sum(row.good is False for row in self.rows), "failed"),
            (sum(row.good is None for row in self.rows) - len(self.refused), "not done"),
            (len(self.refused), f"not on {self.plan.stack.name}"),
        ]
        told = ", ".join(f"{count} {words}" for count, words in counts if count)
        return f"{len(self.rows)} alerts in {self.seconds / 60:.0f} minutes: {told}"

    def print(self) -> None:
        """The table and the counts."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="right" if "(s)" in column else "left", overflow="fold")
        colours = {True: "green", False: "bold red", None: "dim"}
        for row in self.rows:
            *cells, verdict = ["" if cell is None else str(cell) for cell in row.cells]
            table.add_row(*cells, f"[{colours[row.good]}]{_escaped(verdict)}")
        Console(width=None if sys.stdout.isatty() else 150).print(table)
        print(self.summary)

    def page(self) -> pages.Page:
        """The report as a page."""
        marks = {True: pages.GOOD, False: pages.BAD, None: pages.DULL}
        rows = [self._linked(row) for row in self.rows]
        table = pages.Table(COLUMNS, rows, [marks[row.good] for row in self.rows])
        sections = [pages.Section("Alerts", _MEANING, [table]), pages.Section("Messages", (), [self._messages()])]
        return pages.Page(f"Drill of stack {self.plan.stack.name}", f"{self.summary}.", sections)

    def _linked(self, row: Row) -> list[Any]:
        name, *others = row.cells
        return [(name, f"{self.plan.stack.settings.runbook_url}/{name}.md"), *others]

    def _messages(self) -> pages.Table:
        return pages.Table(("alert", "channel", "told (s)", "over (s)"), list(self._channels()))

    def _channels(self) -> Iterator[list[Any]]:
        for row in self.rows:
            for channel, seconds in row.told.items():
                yield [row.alert.name, channel, _whole(seconds), _whole(row.over.get(channel))]

    def figures(self) -> dict[str, Any]:
        """The same for programs: seconds."""
        return {
            "stack": self.plan.stack.name,
            "seconds": self.seconds,
            "good": self.good,
            "alerts": [
                {
                    "alert": row.alert.name,
                    **{key: row.alert.labels.get(key, "") for key in ("severity", "service", "team")},
                    **{f"{key}_seconds": row.seconds.get(key) for key in _MEASURED},
                    "planned_seconds": row.planned,
                    "good": row.good,
                    "verdict": row.verdict,
                    "told": dict(row.told),
                    "over": dict(row.over),
                }
                for row in self.rows
            ],
        }

    def part(self) -> Part:
        """The table for docs/PERFORMANCE.md."""
        machine = bench.machine()
        return Part(
            title="Every alert drilled",
            method=(f"`make drill` on stack {self.plan.stack.name}: {self.summary}.", *_MEANING),
            columns=COLUMNS,
            rows=tuple(tuple(row.cells) for row in self.rows),
            machine=where(machine),
            day=machine.day,
        )


def document(stack: Stack, name: str, part: Part) -> None:
    """Keep what was measured on stack dev for docs/PERFORMANCE.md, and say so."""
    if stack.name == "dev":
        (file,) = performance.save(ROOT, {name: part})
        print(f"{file} is rewritten; `make documents` brings {performance.FILE} up to date")


_MEASURED = ("fire", "notify", "resolve")
# Of each alert's figures, what the report of a run that goes on needs.
KEPT = ("verdict", "good", "planned_seconds", "told", "over", *(f"{key}_seconds" for key in _MEASURED))
_RANK = {False: 0, True: 1, None: 2}
_MEANING = (
    "Seconds from the fault until the alert fires, and until the last of its channels has the message; planned is the "
    "latest moment that docs/ALERT_TEST_PLAN.md gives; over counts from the healing until the message that it is over.",
)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
