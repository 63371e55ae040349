"""One panel as HTML, and how it writes and colours a value. What runs over time is left to the charting library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Any, NamedTuple, TypedDict

from operate.dashboards.reading import Panel, PanelQuery

# The series of a query as Prometheus and Loki give them, or {"error": words}.
Answer = Any

# Grafana's name of a unit: what it is written in, as size and name, the smallest first.
_UNITS: dict[str, list[tuple[float, str]]] = {
    "percentunit": [(0.01, "%")],
    "s": [(1e-6, " µs"), (1e-3, " ms"), (1, " s"), (60, " min"), (3600, " hours"), (86400, " days")],
    "bytes": [(1024.0**n, f" {prefix}B") for n, prefix in enumerate(("", "Ki", "Mi", "Gi", "Ti"))],
    "Bps": [(1000.0**n, f" {prefix}B/s") for n, prefix in enumerate(("", "k", "M", "G"))],
    "reqps": [(1000.0**n, f"{prefix} req/s") for n, prefix in enumerate(("", "K", "M"))],
    "short": [(1000.0**n, suffix) for n, suffix in enumerate(("", " K", " Mil", " Bil", " Tri"))],
    "currencyUSD": [(1000.0**n, suffix) for n, suffix in enumerate(("", "K", "M", "B"))],
    "locale": [(1, "")],
    "none": [(1, "")],
}


class Snapshot(TypedDict):
    """Answers by query, over `range` seconds up to `end` (Unix seconds) in steps of `step` seconds."""

    end: int
    range: int
    step: int
    answers: dict[str, Answer]


class Series(NamedTuple):
    """One series of a panel: as the legend calls it, the letter of its query, and [Unix seconds, value or line]."""

    name: str
    letter: str
    labels: dict[str, str]
    samples: list[tuple[float, Any]]


class Field:
    """What a panel says of one of its series or columns, by name: the defaults and the overrides that match."""

    def __init__(self, panel: dict[str, Any], name: str) -> None:
        self.config: dict[str, Any] = dict(panel["fieldConfig"]["defaults"])
        for override in panel["fieldConfig"].get("overrides", []):
            kind, wanted = override["matcher"]["id"], override["matcher"]["options"]
            if wanted == name if kind == "byName" else re.search(wanted.strip("/"), name):
                self.config |= {each["id"]: each["value"] for each in override["properties"]}
        self._states: dict[float | None, dict[str, str]] = {}
        for mapping in self.config.get("mappings", []):
            if mapping["type"] == "special":
                self._states[None] = mapping["options"]["result"]
            else:
                self._states |= {float(value): result for value, result in mapping["options"].items()}

    @property
    def steps(self) -> list[tuple[float, str]]:
        """The thresholds, lowest first: from which value on which colour."""
        steps = self.config["thresholds"]["steps"]
        return [(-math.inf if step.get("value") is None else step["value"], step["color"]) for step in steps]

    def scale(self, value: float) -> tuple[float, str, str]:
        """What to divide by so that a value of this size reads well, and what stands before and behind it."""
        unit = self.config.get("unit", "none")
        known = _UNITS.get(unit) or [(1.0, " " + unit.removeprefix("suffix:").strip())]
        size, suffix = next((each for each in reversed(known) if abs(value or 1) >= each[0]), known[0])
        return size, "$" if unit == "currencyUSD" else "", suffix

    def text(self, value: float | None) -> str:
        """The value as a reader sees it."""
        if value is None:
            return str(self.config.get("noValue", "no data"))
        if value in self._states:
            return self._states[value]["text"]
        size, prefix, suffix = self.scale(value)
        decimals = self.config.get("decimals", 2)
        # Adding 0 makes 0 of -0.
        number = f"{round(value / size, decimals) + 0:,.{decimals}f}".replace("inf", "∞")
        if self.config.get("unit") == "locale" and "." in number:
            number = number.rstrip("0").rstrip(".")
        return f"{prefix}{number}{suffix}"

    def colour(self, value: float | None) -> str:
        """The colour of the state, or of the highest step that the value reaches; of no value, what is said of it."""
        known = None if value is None or math.isnan(value) else value
        reached = [colour for at, colour in self.steps if at <= (-math.inf if known is None else known)]
        return self._states.get(known, {}).get("color") or reached[-1]


def draw(panel: Panel, answers: Sequence[Answer], snapshot: Snapshot) -> str:
    """The panel in its place on the grid, with what it says about itself, drawn from the answers to its queries."""
    document = panel.document
    failures = [answer["error"] for answer in answers if isinstance(answer, dict)]
    asked = zip(document["targets"], panel.queries, answers, strict=True)
    series = [found for each in asked if isinstance(each[-1], list) for found in _series(*each, title=panel.title)]
    body = "".join(f'<p class="failed">Query failed: {escape(error)}</p>' for error in failures)
    if series or (document["type"] == "stat" and not failures):
        body += _DRAWERS[document["type"]](document, series, snapshot)
    elif not failures:
        body = f'<p class="absent">{escape(Field(document, "").text(None))}</p>'
    about = escape(document.get("description", "")).replace("\n\n", "<br><br>")
    side = "left" if document["gridPos"]["x"] < 12 else "right"
    return (
        f'<section class="panel {document["type"]}" style="{grid(document)}"><h3>{escape(panel.title)}&nbsp;'
        f'<span class="about" tabindex="0">i<span class="{side}">{about}</span></span></h3>{body}</section>'
    )


def grid(document: dict[str, Any]) -> str:
    """A panel's place on Grafana's grid as CSS."""
    x, y, width, height = (document["gridPos"][key] for key in "xywh")
    return f"grid-area:{y + 1}/{x + 1}/span {height}/span {width}"


def _series(target: dict[str, Any], query: PanelQuery, answer: Answer, title: str) -> Iterator[Series]:
    for each in answer:
        if "stream" in each:
            labels, samples = each["stream"], [(int(at) / 1e9, line) for at, line in each["values"]]
        else:
            values = each.get("values") or [each["value"]]
            labels, samples = each["metric"], [(at, float(value)) for at, value in values if value != "NaN"]
        if samples:
            made_up = ", ".join(f'{key}="{value}"' for key, value in labels.items() if key != "__name__") or title
            yield Series(query.name(labels) or made_up, target["refId"], labels, samples)


def _stat(document: dict[str, Any], series: list[Series], _: Snapshot) -> str:
    tiles = ""
    for name, value in [(each.name, each.samples[-1][1]) for each in series] or [("", None)]:
        field = Field(document, name)
        text = field.text(value)
        style = f"--length:{max(len(text), 4)}"
        if document["options"]["colorMode"] == "background":
            style += f";color:#111;background:{field.colour(value)}"
        label = f"<span>{escape(name)}</span>" if "name" in document["options"]["textMode"] else ""
        tiles += f'<div style="{style}">{label}<b>{escape(text)}</b></div>'
    return f'<div class="tiles">{tiles}</div>'


def _bars(document: dict[str, Any], series: list[Series], _: Snapshot) -> str:
    longest = max(each.samples[-1][1] for each in series) or 1
    rows = ""
    for name, value in [(each.name, each.samples[-1][1]) for each in series]:
        field = Field(document, name)
        share = min(value / field.config.get("max", longest), 1)
        bar = f'<i style="width:{share:.1%};background:{field.colour(value)}"></i>'
        rows += f'<tr><td>{escape(name)}</td><td class="bar">{bar}</td><td>{escape(field.text(value))}</td></tr>'
    return f'<div class="scroll"><table>{rows}</table></div>'


def _table(document: dict[str, Any], series: list[Series], _: Snapshot) -> str:
    """Grafana's "merge" and "organize", as infra/dashboards/kit/tables.py writes them."""
    organize = next(each["options"] for each in document["transformations"] if each["id"] == "organize")
    order, titles = organize["indexByName"], organize["renameByName"]
    merged: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for each in series:
        named = {titles[label]: value for label, value in each.labels.items() if label in titles}
        row = merged.setdefault(tuple(sorted(named.items())), named)
        row[titles.get(f"Value #{each.letter}", titles["Value"])] = each.samples[-1][1]
    rows = list(merged.values())
    if sort := document["options"].get("sortBy"):
        rows.sort(key=lambda row: row.get(sort[0]["displayName"], -math.inf), reverse=True)
    fields = {titles[name]: Field(document, titles[name]) for name in sorted(order, key=order.__getitem__)}
    head = "".join(f"<th>{escape(title)}</th>" for title in fields)
    body = "".join(f"<tr>{''.join(_cell(f, row.get(title)) for title, f in fields.items())}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(field: Field, value: float | str | None) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    colour = field.colour(value) if value is not None and "custom.cellOptions" in field.config else "transparent"
    style = f' style="color:#111;background:{colour}"' if colour != "transparent" else ""
    return f'<td class="value"{style}>{escape(field.text(value))}</td>'


def _logs(_document: dict[str, Any], series: list[Series], _: Snapshot) -> str:
    found = [(*sample, each.labels.get("detected_level", "")) for each in series for sample in each.samples]
    shown = "".join(
        f'<li class="{escape(level)}"><time>{datetime.fromtimestamp(at, UTC):%H:%M:%S}</time> {escape(line)}</li>'
        for at, line, level in sorted(found, reverse=True)
    )
    return f'<ol class="scroll">{shown}</ol>'


def _on_steps(document: dict[str, Any], series: Series, snapshot: Snapshot) -> list[float | None]:
    """The values at the steps of the picture. One holds until the next, as long as Grafana bridges a gap."""
    values = {at: value for at, value in series.samples if math.isfinite(value)}
    spanned = document["fieldConfig"]["defaults"]["custom"].get("spanNulls") or 0
    row, seen, step = [], -math.inf, snapshot["step"]
    for at in range(snapshot["end"] - snapshot["range"], snapshot["end"] + 1, step):
        seen = at if at in values else seen
        row.append(values[seen] if at - seen <= max(spanned / 1000 - step, 0) else None)
    return row


def _lines(document: dict[str, Any], series: list[Series], snapshot: Snapshot) -> str:
    # As in Grafana the axis and the thresholds are those of the first series.
    field, custom = Field(document, series[0].name), document["fieldConfig"]["defaults"]["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    rows = [_on_steps(document, each, snapshot) for each in series]
    top = max((sum if stacked else max)(value or 0 for value in moment) for moment in zip(*rows, strict=True))
    size, prefix, suffix = field.scale(top)
    low, high = field.config.get("min"), field.config.get("max")
    dashed = custom["thresholdsStyle"]["mode"] != "off"
    return _chart(
        lines=[
            [_short(each.name), Field(document, each.name).text(each.samples[-1][1]), [_figure(v, size) for v in row]]
            for each, row in zip(series, rows, strict=True)
        ],
        stacked=stacked,
        axis=[_figure(low, size), _figure(high, size), prefix, suffix, field.config.get("decimals", 2)],
        # One far above would make the lines flat.
        limits=[[at / size, colour] for at, colour in field.steps if dashed and 0 < at <= (high or top * 1.1)],
        right=document["options"]["legend"]["placement"] == "right",
    )


def _figure(value: float | None, size: float) -> float | None:
    return None if value is None else float(f"{value / size:.7g}")


def _strips(document: dict[str, Any], series: list[Series], snapshot: Snapshot) -> str:
    strips = []
    for each in series:
        field, place = Field(document, each.name), 0
        for value, cells in groupby(_on_steps(document, each, snapshot)):
            steps = len(list(cells))
            if value is not None:
                strips.append([_short(each.name), place, steps, field.text(value), field.colour(value)])
            place += steps
    return _chart(strips=strips)


def _short(name: str) -> str:
    return escape(name if len(name) <= 36 else name[:35] + "…")


def _chart(**data: Any) -> str:
    """What the page gives to the charting library: values at the steps of the picture, lengths in steps."""
    return f'<div class="plot" data-chart="{escape(json.dumps(data, separators=(",", ":")))}"></div>'


_DRAWERS: dict[str, Callable[[dict[str, Any], list[Series], Snapshot], str]] = {
    "stat": _stat,
    "timeseries": _lines,
    "bargauge": _bars,
    "state-timeline": _strips,
    "table": _table,
    "logs": _logs,
}
