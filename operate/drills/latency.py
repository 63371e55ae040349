"""`make drill REPEAT=20`: the same faults at random moments, and how long until the last channel has the message."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from operate import bench, pages
from operate.bench.report import where
from operate.documents.alert_test_plan import Alert, Plan
from operate.documents.performance import Part
from operate.drills.course import Course
from operate.drills.report import document

# The promise of the alerts about a service that is gone: from the fault to the message, in seconds.
TARGET_95, TARGET_MOST = 45.0, 60.0
PART = "fault-to-notification"
COLUMNS = ("alert", "faults", "told", "median (s)", "95th percentile (s)", "longest (s)")


def run(course: Course, plan: Plan, alerts: Sequence[Alert], times: int, say: Callable[[str], None]) -> int:
    """Drill the alerts `times` times, print the percentiles and write them for docs/PERFORMANCE.md."""
    found: dict[str, list[float | None]] = {alert.name: [] for alert in alerts}
    scrape = plan.stack.settings.scrape_interval_seconds
    for number in range(1, times + 1):
        say(f"round {number} of {times}")
        # Where within the interval of scrapes and evaluations a fault falls decides most of its time.
        time.sleep(random.uniform(0, scrape))  # noqa: S311
        trials = course.run([_elsewhere(plan, alert) for alert in alerts])
        for trial in trials:
            if not trial.verdict:
                return _end(plan, found, stopped=True)
            found[trial.alert.name].append(trial.seconds["notify"])
    return _end(plan, found, stopped=False)


def _elsewhere(plan: Plan, alert: Alert) -> Alert:
    """ServiceDown of another service each time, of those that no other alert speaks for.

    Not of the engine's team: two dead services of a small team are one page of MultipleServicesDown.
    """
    if alert.name != "ServiceDown":
        return alert
    catalog = plan.stack.catalog
    engines = [service for service in catalog.services if "trading" in service.capabilities]
    names, teams = {engine.name for engine in engines}, {engine.team for engine in engines}
    # What depends on a service that another drill stops would be silenced by it.
    free = [s for s in catalog.services if s.team not in teams and not names & set(s.dependencies)]
    chosen = random.choice(free)  # noqa: S311
    drill = alert.drill.model_copy(update={"fault": f"{chosen.name}/stop"})
    return replace(alert, drill=drill, labels={**alert.labels, "service": chosen.name, "team": chosen.team})


def _end(plan: Plan, found: Mapping[str, list[float | None]], stopped: bool) -> int:
    rows, good = [], not stopped
    for name, seconds in found.items():
        told = np.array([value for value in seconds if value is not None])
        row: list[Any] = [name, len(seconds), told.size]
        if told.size:
            row += [round(float(value), 1) for value in (np.median(told), np.percentile(told, 95), told.max())]
            good &= row[4] < TARGET_95 and row[5] < TARGET_MOST
        else:
            row += [None, None, None]
        good &= told.size == len(seconds) > 0
        rows.append(row)
        print(f"{name}: " + ", ".join(f"{column} {value}" for column, value in zip(COLUMNS[1:], row[1:], strict=True)))
    holds = f"95 of 100 under {TARGET_95:.0f} s, each under {TARGET_MOST:.0f} s"
    print(f"{'holds' if good else 'missed'}: {holds}")
    machine = bench.machine()
    part = Part(
        title="Fault to notification",
        method=(
            f"`make drill ALERT={','.join(found)} REPEAT={max(map(len, found.values()), default=0)}` on stack "
            f"{plan.stack.name}. Each fault begins at a random moment; ServiceDown is of another service each time.",
            "The time ends when the last of the alert's channels has the message in the inbox.",
            f"Wanted: {holds}.",
        ),
        columns=COLUMNS,
        rows=tuple(map(tuple, rows)),
        machine=where(machine),
        day=machine.day,
    )
    sections = [pages.Section("Faults", part.method, [pages.Table(COLUMNS, rows)])]
    page = pages.Page(part.title, f"{'Holds' if good else 'Missed'}: {holds}.", sections)
    figures = {**part.model_dump(), "seconds": dict(found)}
    print(f"page: {pages.shown(pages.write(plan.stack.name, 'drill-latency', page, figures))}")
    if not stopped:
        document(plan.stack, PART, part)
    return 0 if good else 1
