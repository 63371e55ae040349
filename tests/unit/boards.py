"""The dashboards taken apart for their tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from operate.dashboards.reading import Dashboard, Panel, PanelQuery

GRAPHS = ("timeseries", "state-timeline")
RANGE_SECONDS = 3 * 3600
STEP_SECONDS = 60


@dataclass(frozen=True)
class Asked:
    """One query with where it stands; `panel` is None for an annotation."""

    board: Dashboard
    panel: Panel | None
    name: str
    query: PanelQuery

    @property
    def place(self) -> str:
        """Dashboard and panel."""
        return f"{self.board.uid}: {self.name}"

    @property
    def is_graph(self) -> bool:
        """Whether the answer is drawn over time."""
        return self.panel is not None and self.panel.document["type"] in GRAPHS

    def filled(self, values: dict[str, str] | None = None) -> str:
        """The expression as Grafana sends it, with "All" for what `values` do not choose."""
        chosen = {**self.board.everything(), **(values or {})}
        return self.query.filled(chosen, range_seconds=RANGE_SECONDS, step_seconds=STEP_SECONDS)


def asked(boards: list[Dashboard], source: str = "prometheus") -> list[Asked]:
    """Every query of a kind of data source: of panels, and for Prometheus of annotations."""
    found = [
        Asked(board, panel, panel.title, query) for board in boards for panel in board.panels for query in panel.queries
    ]
    found += [
        Asked(
            board, None, f"annotation {each['name']}", PanelQuery(each["expr"], "", False, each["datasource"]["type"])
        )
        for board in boards
        for each in board.document["annotations"]["list"]
    ]
    return [each for each in found if each.query.source == source]


def overridden(panel: Panel, name: str) -> Iterator[Any]:
    """What the panel sets for a field's property: its default, then that of each override."""
    config = panel.document["fieldConfig"]
    if name in config["defaults"]:
        yield config["defaults"][name]
    for override in config["overrides"]:
        yield from (each["value"] for each in override["properties"] if each["id"] == name)


def columns(panel: Panel) -> tuple[list[str], dict[str, str]]:
    """A table's label columns in their order, and the heading of every column by its field."""
    (organize,) = (t["options"] for t in panel.document["transformations"] if t["id"] == "organize")
    places: dict[str, int] = organize["indexByName"]
    labels = [name for name in sorted(places, key=lambda name: places[name]) if not re.match(r"Value( #\w)?$", name)]
    return labels, dict(organize["renameByName"])


def report(found: list[str]) -> str:
    """What is wrong, a line each."""
    return "\n".join(["", *found])
