"""One panel as HTML. Lines over time are left to the charting library: data for it goes along."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from typing import Any

from operate.dashboards.reading import Dashboard, Panel, PanelQuery
from operate.dashboards.snapshot import Answer, Series, Snapshot
from operate.dashboards.values import Field

# Grafana's grid: rows of 30 px, 8 px apart; the rest of a panel's height is its frame and heading.
COLUMNS = 24
# Neither orange nor red, which are the thresholds'; mid tones, for a dark ground and a light one.
PALETTE = ("#3D8BD4", "#8F6BD1", "#2A9D8F", "#C2569B", "#7A8B99", "#6B9E3B", "#B08D57", "#5A6BC4")
# Styles of a line in CSS, and what the charting library calls them: told apart when the colours begin anew.
DASHES = {"solid": "solid", "dotted": "dot", "dashed": "dash"}
_LEVELS = {"error": "bad", "critical": "bad", "fatal": "bad", "warn": "odd", "warning": "odd"}
# What the charting library writes beside a pointer; it does not know Grafana's units.
_HOVER = {"percentunit": ".2%", "s": ".3s", "bytes": ".3s", "Bps": ".3s", "currencyUSD": "$,.0f"}

Asked = list[tuple[PanelQuery, Answer]]


def draw(dashboard: Dashboard, panel: Panel, snapshot: Snapshot) -> str:
    """The panel in its place on the grid, with what it says about itself, drawn from the snapshot's answers."""
    asked = [(query, snapshot.answer(dashboard, panel, query)) for query in panel.queries]
    kind = panel.document["type"]
    failures = [f'<p class="failed">Query failed: {escape(answer.error)}</p>' for _, answer in asked if answer.error]
    body = "".join(failures)
    if len(failures) < len(asked):
        empty = not any(answer.series for _, answer in asked)
        if empty and kind != "stat":
            body += f'<p class="absent">{escape(Field(panel.document, "").absent)}</p>'
        else:
            body += _DRAWERS[kind](panel, asked, snapshot)
    place = panel.document["gridPos"]
    side = "left" if place["x"] + place["w"] / 2 < COLUMNS / 2 else "right"
    return (
        f'<section class="panel {kind}" style="{grid(place)}"><h3>{escape(panel.title)}'
        f'<span class="about" tabindex="0" aria-label="About this panel">i<span class="note {side}">'
        f"{_about(panel)}</span></span></h3>{body}</section>"
    )


def grid(place: dict[str, int]) -> str:
    """A place on Grafana's grid as CSS."""
    return f"grid-column:{place['x'] + 1}/span {place['w']};grid-row:{place['y'] + 1}/span {place['h']}"


def _about(panel: Panel) -> str:
    text = escape(panel.document.get("description", "")).replace("\n\n", "<br><br>")
    titles = [link["title"] for link in panel.document["fieldConfig"]["defaults"].get("links", [])]
    return text + (f"<br><br>Links: {escape(', '.join(titles))}" if titles else "")


def _name(query: PanelQuery, series: Series, title: str) -> str:
    """The series as the legend calls it."""
    if query.legend in ("", "__auto"):
        shown = [f'{key}="{value}"' for key, value in series.labels.items() if key != "__name__"]
        return ", ".join(shown) or title
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: series.labels.get(match[1], ""), query.legend).strip()


def _named(panel: Panel, asked: Asked) -> list[tuple[str, Series]]:
    return [(_name(query, each, panel.title), each) for query, answer in asked for each in answer.series]


def _now(series: Series) -> float | None:
    """The last value that is one."""
    return next((float(v) for _, v in reversed(series.samples) if not math.isnan(float(v))), None)


def _ground(colour: str) -> str:
    """CSS of a coloured ground with text that can be read on it; nothing for a colour that is none."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", colour):
        return ""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    # Luma of ITU-R BT.601.
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 125
    return f"background:{colour};color:{'#fff' if dark else '#111'}"


def _stat(panel: Panel, asked: Asked, _: Snapshot) -> str:
    options = panel.document["options"]
    named = _named(panel, asked)
    values: list[tuple[str, float | None]] = [(name, _now(series)) for name, series in named] or [("", None)]
    tiles = []
    for name, value in values:
        field = Field(panel.document, name)
        text, colour = field.text(value), field.colour(value)
        style = _ground(colour) if options["colorMode"] == "background" else ""
        style = f"color:{colour}" if options["colorMode"] == "value" else style
        label = f'<span class="of">{escape(name)}</span>' if "name" in options["textMode"] else ""
        tiles.append(
            f'<div class="tile" style="{style};--length:{max(len(text), 4)}">{label}<b>{escape(text)}</b></div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _bars(panel: Panel, asked: Asked, _: Snapshot) -> str:
    named = [(name, _now(series) or 0.0) for name, series in _named(panel, asked)]
    longest = max((value for _, value in named), default=0)
    bars = []
    for name, value in named:
        field = Field(panel.document, name)
        share = min(max(value / (field.maximum or longest or 1), 0), 1)
        bars.append(
            f'<tr><th title="{escape(name)}">{escape(name)}</th><td class="track">'
            f'<i style="width:{share:.1%};background:{field.colour(value)}"></i></td>'
            f"<td>{escape(field.text(value))}</td></tr>"
        )
    return f'<div class="scroll"><table class="bars">{"".join(bars)}</table></div>'


def _table(panel: Panel, asked: Asked, _: Snapshot) -> str:
    """Grafana's "merge" and "organize", as infra/dashboards/panels.py writes them."""
    document = panel.document
    organize: dict[str, dict[str, Any]] = next(
        (each["options"] for each in document["transformations"] if each["id"] == "organize"), {}
    )
    hidden, order, titles = (organize.get(key, {}) for key in ("excludeByName", "indexByName", "renameByName"))
    merged: dict[tuple[tuple[str, str], ...], dict[str, str | float]] = {}
    columns: dict[str, bool] = {}  # whether it holds values
    # A query without series leaves no column behind, and the only one with some has no letter.
    single = sum(bool(answer.series) for _, answer in asked) == 1
    for target, (_query, answer) in zip(document["targets"], asked, strict=True):
        value = "Value" if single else f"Value #{target['refId']}"
        for series in answer.series:
            key = tuple(sorted(series.labels.items()))
            merged.setdefault(key, dict(key))[value] = float(series.samples[-1][1])
            columns |= {**dict.fromkeys(series.labels, False), value: True}
    shown = sorted((c for c in columns if not hidden.get(c)), key=lambda column: order.get(column, len(order)))
    rows = list(merged.values())
    for sort in reversed(document["options"].get("sortBy", [])):
        by = next((column for column in shown if titles.get(column, column) == sort["displayName"]), "")
        filled = sorted((row for row in rows if by in row), key=lambda row: row[by], reverse=sort.get("desc", False))
        rows = filled + [row for row in rows if by not in row]
    fields = {column: Field(document, titles.get(column, column)) for column in shown}
    head = "".join(
        f"<th{' class=value' if columns[column] else ''}>{escape(titles.get(column, column))}</th>" for column in shown
    )
    body = "".join(
        f"<tr>{''.join(_cell(fields[column], row.get(column), columns[column]) for column in shown)}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table class="rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(field: Field, value: str | float | None, is_value: bool) -> str:
    if not is_value or isinstance(value, str):
        return f"<td>{escape(str(value or ''))}</td>"
    style = f' style="{_ground(field.colour(value))}"' if field.on_ground else ""
    return f"<td class=value{style}>{escape(field.text(value))}</td>"


def _on_grid(series: Series, snapshot: Snapshot) -> list[float | None]:
    """A value, or none, for each step of the picture."""
    values: list[float | None] = [None] * (snapshot.range // snapshot.step + 1)
    for at, value in series.samples:
        place = round((at - snapshot.start) / snapshot.step)
        if 0 <= place < len(values) and math.isfinite(float(value)):
            values[place] = float(f"{float(value):.6g}")
    return values


def _bridge(panel: Panel) -> float:
    """Seconds of a gap that is no gap yet."""
    spanned = panel.document["fieldConfig"]["defaults"].get("custom", {}).get("spanNulls", False)
    return spanned / 1000 if isinstance(spanned, int) and not isinstance(spanned, bool) else 0


def _lines(panel: Panel, asked: Asked, snapshot: Snapshot) -> str:
    defaults = panel.document["fieldConfig"]["defaults"].get("custom", {})
    stacked = defaults.get("stacking", {}).get("mode") == "normal"
    drawn = [(name, _on_grid(series, snapshot)) for name, series in _named(panel, asked)]
    drawn = [(name, values) for name, values in drawn if any(value is not None for value in values)]
    if stacked:
        heights = [sum(value or 0 for value in moment) for moment in zip(*(v for _, v in drawn), strict=True)]
    else:
        heights = [value for _, values in drawn for value in values if value is not None]
    # As in Grafana the axis and the thresholds are those of the first series.
    field = Field(panel.document, drawn[0][0] if drawn else "")
    low, high = _axis(field, heights)
    dashed = defaults.get("thresholdsStyle", {}).get("mode", "off") != "off"
    dashes = list(DASHES)
    styles = [(PALETTE[n % len(PALETTE)], dashes[n // len(PALETTE) % len(dashes)]) for n in range(len(drawn))]
    data = {
        "traces": [
            {"name": name, "y": values, "colour": colour, "dash": DASHES[dash]}
            for (name, values), (colour, dash) in zip(drawn, styles, strict=True)
        ],
        "stacked": stacked,
        "start": snapshot.start * 1000,
        "step": snapshot.step * 1000,
        "bridge": _bridge(panel) * 1000,
        "range": [low, high],
        "ticks": field.ticks(low, high),
        "limits": [(at, colour) for at, colour in field.steps if dashed and low <= at <= high],
        "hover": _HOVER.get(field.unit, ",.4~g"),
    }
    rows = "".join(_legend(panel, *line, *style) for line, style in zip(drawn, styles, strict=True))
    return (
        f'<div class="lines {panel.document["options"]["legend"]["placement"]}"><div class="plot"></div>'
        f'<script type="application/json">{for_script(data)}</script><div class="legend"><table><thead><tr>'
        f"<th></th><td>last</td><td>max</td></tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _axis(field: Field, heights: list[float]) -> tuple[float, float]:
    """Lowest and highest value of the axis: what the panel says, otherwise what the values need and some room."""
    low = field.minimum if field.minimum is not None else min(heights, default=0)
    high = field.maximum if field.maximum is not None else max(heights, default=1)
    if high <= low:
        high = low + (abs(low) or 1)
    room = (high - low) * 0.06
    return low - room * (field.minimum is None), high + room * (field.maximum is None)


def _legend(panel: Panel, name: str, values: list[float | None], colour: str, dash: str) -> str:
    field = Field(panel.document, name)
    present = [value for value in values if value is not None]
    return (
        f'<tr tabindex="0"><th title="{escape(name)}"><i style="border-top:3px {dash} {colour}"></i>{escape(name)}</th>'
        f"<td>{escape(field.text(present[-1]))}</td><td>{escape(field.text(max(present)))}</td></tr>"
    )


def for_script(data: object) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _strips(panel: Panel, asked: Asked, snapshot: Snapshot) -> str:
    strips = []
    pixels = panel.document["gridPos"]["w"] * 40  # of a strip on a laptop, which a word must fit into
    for name, series in _named(panel, asked):
        field = Field(panel.document, name)
        parts = []
        for begin, end, value in _segments(series, max(_bridge(panel), snapshot.step)):
            until = min(end, snapshot.end)
            left, width = (begin - snapshot.start) / snapshot.range, (until - begin) / snapshot.range
            text = field.text(value)
            said = f"{text}, {clock(begin)} to {clock(until)}"
            parts.append(
                f'<i title="{escape(said)}" style="left:{left:.2%};width:{width:.2%};{_ground(field.colour(value))}">'
                f"{escape(text) if width * pixels > 7 * len(text) + 6 else ''}</i>"
            )
        strips.append(f'<tr><th title="{escape(name)}">{escape(name)}</th><td class="strip">{"".join(parts)}</td></tr>')
    times = "".join(f"<span>{clock(snapshot.start + snapshot.range * part / 4)}</span>" for part in range(5))
    axis = f'<tr class="times"><th></th><td><div>{times}</div></td></tr>'
    return f'<div class="scroll"><table class="strips">{"".join(strips)}{axis}</table></div>'


def _segments(series: Series, bridge: float) -> list[tuple[float, float, float]]:
    """From when until when the series had which value; a value holds until the next one, at most `bridge` seconds."""
    found: list[tuple[float, float, float]] = []
    for at, text in series.samples:
        if found and found[-1][1] >= at:
            begin, _, before = found.pop()
            found.append((begin, at, before))
        if found and found[-1][1] == at and found[-1][2] == float(text):
            found.append((found.pop()[0], at + bridge, float(text)))
        else:
            found.append((at, at + bridge, float(text)))
    return found


def clock(at: float) -> str:
    """Hours and minutes in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def _logs(_panel: Panel, asked: Asked, _: Snapshot) -> str:
    found = [(at, line, each.labels) for _, answer in asked for each in answer.series for at, line in each.samples]
    shown = "".join(
        f'<li class="{_LEVELS.get(labels.get("detected_level", ""), "")}">'
        f"<time>{datetime.fromtimestamp(at, UTC):%H:%M:%S}</time> {escape(line.strip())}</li>"
        for at, line, labels in sorted(found, key=lambda each: each[0], reverse=True)
    )
    return f'<ol class="scroll">{shown}</ol>'


_DRAWERS: dict[str, Callable[[Panel, Asked, Snapshot], str]] = {
    "stat": _stat,
    "timeseries": _lines,
    "bargauge": _bars,
    "state-timeline": _strips,
    "table": _table,
    "logs": _logs,
}
