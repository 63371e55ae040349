"""The report pages of the day-2 commands: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from infra.settings import ROOT

# Verdicts that colour a row.
GOOD, BAD, DULL = "good", "bad", "dull"
# Points up to which a line shows each of them.
_FEW = 40
# Readable on light and on dark paper.
_LAYOUT = {
    "height": 320,
    "margin": {"l": 60, "r": 20, "t": 20, "b": 45},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": "#7a8699"},
    "legend": {"orientation": "h"},
    "xaxis": {"gridcolor": "rgba(127,127,127,.25)"},
    "yaxis": {"gridcolor": "rgba(127,127,127,.25)", "rangemode": "tozero"},
}


@dataclass(frozen=True)
class Table:
    """Rows of cells as text, numbers or None; `marks` (GOOD, BAD, DULL or "") has one for each row, or is empty.

    A cell of the form (text, address) is a link.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    marks: Sequence[str] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells for the columns {', '.join(self.columns)}")
        if self.marks and len(self.marks) != len(self.rows):
            raise ValueError(f"{len(self.marks)} marks for {len(self.rows)} rows")


@dataclass(frozen=True)
class Line:
    """A line of a chart: points of (x, y); `dashed` where it is an estimate."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over time, Unix seconds, or over another number where `over` names it; `limits` are level lines by name.

    `band` is the space between two lines: how far an estimate may be off. `logarithmic` is for both axes.
    """

    title: str
    lines: Sequence[Line]
    unit: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    over: str = ""
    band: tuple[Line, Line] | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and charts, shown in this order. `code` is text shown as it is."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    code: str = ""


@dataclass(frozen=True)
class Page:
    """A report: its title, the one sentence that a reader in a hurry needs, and what it rests on."""

    title: str
    verdict: str
    sections: Sequence[Section]
    made: datetime = field(default_factory=lambda: datetime.now(UTC))


def folder(stack: str) -> Path:
    """Where the reports of a stack lie."""
    return ROOT / ".reports" / stack


def write(stack: str, name: str, page: Page, figures: Any) -> Path:
    """Write .reports/<stack>/<name>.html and .json, whole or not at all; the path of the page."""
    target = folder(stack)
    target.mkdir(parents=True, exist_ok=True)
    _replace(target / f"{name}.json", json.dumps(figures, indent=2, sort_keys=True, allow_nan=False) + "\n")
    _replace(target / f"{name}.html", html(page))
    return target / f"{name}.html"


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.rename(path)


def html(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {id(chart): _drawn(chart) for section in page.sections for chart in section.charts}
    script = get_plotlyjs() if drawn else ""
    return environment.get_template("page.html").render(page=page, drawn=lambda chart: drawn[id(chart)], script=script)


def _drawn(chart: Chart) -> Markup:
    figure = go.Figure(layout=_LAYOUT)
    for line in chart.band or ():
        fill = {} if not figure.data else {"fill": "tonexty"}
        figure.add_scatter(**_points(chart, line), name="range", mode="lines", line_width=0, showlegend=False, **fill)
    for line in chart.lines:
        dash = "dash" if line.dashed else "solid"
        mode = "lines+markers" if len(line.points) < _FEW else "lines"
        figure.add_scatter(**_points(chart, line), name=line.name, mode=mode, line_dash=dash)
    for name, value in chart.limits.items():
        figure.add_hline(y=value, line_dash="dot", line_color="#c0392b", annotation_text=name)
    scale = "log" if chart.logarithmic else None
    figure.update_xaxes(title=chart.over, type=scale)
    figure.update_yaxes(title=chart.unit, type=scale)
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False}))  # noqa: S704 (plotly's own)


def _points(chart: Chart, line: Line) -> dict[str, Any]:
    across = [x if chart.over else datetime.fromtimestamp(x, UTC) for x, _ in line.points]
    return {"x": across, "y": [y for _, y in line.points]}


def shown(path: Path) -> str:
    """The path as it is told: from the project's root where it lies below it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
