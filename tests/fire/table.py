"""The table of faults: one row for each, from the tests that played them to docs/performance/under-fire.json."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from infra.settings import ROOT

PATH = ROOT / "docs/performance/under-fire.json"
# The same fields of every row, with what they are headed by.
COLUMNS = {
    "fault": "fault",
    "samples": "samples lost",
    "notifications": "notifications lost",
    "twice": "sent twice",
    "silences": "silences lost",
    "blind": "alerting blind, s",
    "page": "page of what failed meanwhile, s",
    "tells": "who is told, and by what",
}
METHOD = (
    "Prometheus 2.48.1, Alertmanager 0.26.0 and the blackbox exporter run as processes on one machine of 2 cores, with "
    "the stack's own arguments, rules and routes. They watch the services of the catalog and their exporters, which "
    "answer on loopback, and notify the inbox.",
    "Blind is the time from the fault until rules are evaluated again, or until Alertmanager sends again where that is "
    "what failed. The page is that of a service that stopped answering during the fault: seconds from its stop to the "
    "arrival in the inbox. Without a fault it takes the seconds of the first row.",
    "Samples lost are those that had been recorded before the fault and cannot be read after it; counted are those of "
    "`up`, one for each scrape of the last minutes. What is not scraped while Prometheus is away is named apart.",
)


@dataclass(frozen=True)
class Row:
    """What one fault did. Cells are text; an empty one does not apply. `place` orders the rows."""

    place: int
    fault: str
    samples: str = ""
    notifications: str = ""
    twice: str = ""
    silences: str = ""
    blind: str = ""
    page: str = ""
    tells: str = ""

    def __post_init__(self) -> None:
        known = {field.name for field in fields(self)} - {"place"}
        assert known == set(COLUMNS), "a row has what the table has columns for"

    def cells(self) -> list[str]:
        """In the order of the columns."""
        values = asdict(self)
        return [str(values[name]) for name in COLUMNS]


def seconds(value: float | None) -> str:
    """A duration as it stands in the table."""
    if value is None or math.isnan(value):
        return "never"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def after(value: float | None, since: str = "the start") -> str:
    """When somebody was told, where the scene was long enough to see it."""
    return "" if value is None else f", {value:.0f} s after {since}"


def merged(rows: Iterable[Row], old: dict[str, Any] | None) -> dict[str, Any]:
    """The file's content: these rows, and of an older file those of faults that were not played now."""
    kept = {_kind(cells[0]): cells for cells in (old or {}).get("rows", [])}
    places = {kind: float(index) for index, kind in enumerate(kept)}
    for row in rows:
        kept[_kind(row.fault)] = row.cells()
        places[_kind(row.fault)] = row.place
    return {
        "title": "Faults of the platform",
        "method": list(METHOD),
        "columns": list(COLUMNS.values()),
        "rows": [kept[kind] for kind in sorted(kept, key=lambda kind: places[kind])],
    }


def _kind(fault: str) -> str:
    """The fault without how long it lasted this time."""
    return re.sub(r"\d+", "", fault)


def write(rows: Iterable[Row]) -> None:
    """Write the file with these rows in it."""
    old = json.loads(PATH.read_text()) if PATH.exists() else None
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps(merged(rows, old), indent=2, ensure_ascii=False) + "\n")
