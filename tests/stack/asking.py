"""The dashboards of the live stack, asked as a reader's browser asks them."""

import functools
import time
from dataclasses import dataclass
from typing import Any

import requests

from infra import dashboards
from operate.dashboards.drawing import Field
from operate.dashboards.reading import Dashboard, Panel, PanelQuery
from tests.stack.conftest import Live

RANGE, STEP = 900, 15  # seconds


@functools.cache
def all_of(live: Live) -> list[Dashboard]:
    """Every dashboard of the stack."""
    return [Dashboard(page.document) for page in dashboards.pages(live.stack)]


def ask(live: Live, query: PanelQuery, chosen: dict[str, str]) -> list[dict[str, Any]]:
    """The series of a query, `chosen` for its variables: now, or over the last quarter of an hour."""
    expr = query.filled(chosen, range_seconds=RANGE, step_seconds=STEP)
    base = f"{live.loki}/loki" if query.source == "loki" else live.prometheus
    now = time.time()
    if query.instant:
        answer = requests.post(f"{base}/api/v1/query", data={"query": expr, "time": now}, timeout=30)
    else:
        when: dict[str, str | float] = {"query": expr, "start": now - RANGE, "end": now, "step": STEP}
        answer = requests.get(f"{base}/api/v1/query_range", params=when, timeout=30)
    assert answer.ok, f"{expr}: {answer.text[:500]}"
    series: list[dict[str, Any]] = answer.json()["data"]["result"]
    return series


@dataclass(frozen=True)
class Shown:
    """One figure of an opening row: the panel's title, whose it is, the value, and the colour behind it."""

    title: str
    name: str
    value: float
    colour: str


def opening_row(dashboard: Dashboard) -> list[Panel]:
    """The panels above the second row heading."""
    headings = [panel["gridPos"]["y"] for panel in dashboard.document["panels"] if panel["type"] == "row"]
    return [panel for panel in dashboard.panels if panel.document["gridPos"]["y"] < sorted(headings)[1]]


def shown(live: Live, dashboard: Dashboard) -> list[Shown]:
    """What the opening row says now, with "All" chosen."""
    found = []
    for panel in opening_row(dashboard):
        for query in panel.queries:
            for series in ask(live, query, dashboard.everything()):
                name = query.name(series["metric"])
                value = float((series.get("value") or series["values"][-1])[1])
                found.append(Shown(panel.title, name, value, Field(panel.document, name).colour(value)))
    return found
