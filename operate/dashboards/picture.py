"""`make dashboards-page`: the dashboards as one HTML page, for reviewers and machines that have no Grafana.

A picture, not a second Grafana: every dashboard on its grid at one moment, with every variable at "All".
"""

from __future__ import annotations

import argparse
import re
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from infra.dashboards import pages
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack, load
from operate import replay
from operate.dashboards import snapshot as snapshots
from operate.dashboards.drawing import draw, grid
from operate.dashboards.reading import Dashboard
from operate.dashboards.snapshot import Snapshot
from operate.progress import step

_HIDDEN = 2  # models.VariableHide.HIDE_VARIABLE


class _Template(string.Template):
    delimiter = "%%"  # a dollar is JavaScript's


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dashboards-page`."""
    parser.add_argument("--prometheus", metavar="URL", help="whom to ask (default: the stack's)")
    parser.add_argument("--loki", metavar="URL", help="whom to ask for logs (default: the stack's)")
    parser.add_argument("--range", default="3h", help="how far back the graphs go (default: 3h)")
    parser.add_argument("--snapshot", type=Path, metavar="FILE", help="draw what was saved, ask nobody")
    parser.add_argument("--save-snapshot", type=Path, metavar="FILE", help="save the answers too")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(default: .render/<stack>/dashboards.html)")


def run(options: argparse.Namespace) -> int:
    """Write the dashboards as one HTML page, drawn from Prometheus and Loki or from a saved snapshot."""
    stack = load(options.stack)
    dashboards = [Dashboard(page.document) for page in pages(stack)]
    snapshot = _snapshot(options, stack, dashboards)
    if options.save_snapshot:
        snapshot.save(options.save_snapshot)
    output: Path = options.output or ROOT / ".render" / stack.name / "dashboards.html"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(html(dashboards, snapshot, stack.settings.environment))
    shown = output.relative_to(ROOT) if output.is_relative_to(ROOT) else output
    failed = sum(bool(answer.error) for answer in snapshot.answers.values())
    print(
        f"{shown}: {len(dashboards)} dashboards, {sum(len(d.panels) for d in dashboards)} panels, "
        f"{len(snapshot.answers)} queries{f', {failed} of them failed' if failed else ''}"
    )
    return 0


def _snapshot(options: argparse.Namespace, stack: Stack, dashboards: Sequence[Dashboard]) -> Snapshot:
    if options.snapshot:
        return snapshots.read(options.snapshot)
    if not re.fullmatch(r"(\d+[smhdw])+", options.range) or not replay.seconds(options.range):
        raise InputError(f"dashboards-page: --range is {options.range!r}; give a duration, for example 3h or 2d.")
    prometheus = (options.prometheus or stack.link(stack.settings.prometheus_port)).rstrip("/")
    loki = (options.loki or stack.link(stack.settings.loki_port)).rstrip("/")
    with step(f"asking {prometheus} and {loki}"):
        return snapshots.take(dashboards, prometheus, loki, int(replay.seconds(options.range)))


def html(dashboards: Sequence[Dashboard], snapshot: Snapshot, environment: str) -> str:
    """The page: it needs nothing but itself."""
    template = _Template(Path(__file__).with_name("picture.html").read_text())
    end = datetime.fromtimestamp(snapshot.end, UTC)
    return template.substitute(
        tabs="".join(f'<a href="#{d.uid}">{escape(d.document["title"])}</a>' for d in dashboards),
        pages="".join(_page(dashboard, snapshot, environment) for dashboard in dashboards),
        moment=f"{end:%Y-%m-%d %H:%M} UTC",
        environment=escape(environment),
        plotly=get_plotlyjs(),
    )


def _page(dashboard: Dashboard, snapshot: Snapshot, environment: str) -> str:
    document = dashboard.document
    rows = "".join(
        f'<h2 style="{grid(row["gridPos"])}">{escape(row["title"])}</h2>'
        for row in document["panels"]
        if row["type"] == "row"
    )
    choices = "".join(
        f"<span>{escape(v['label'])} <b>{escape(environment) if v['type'] == 'datasource' else 'All'}</b></span>"
        for v in document["templating"]["list"]
        if v.get("hide") != _HIDDEN
    )
    start, end = (datetime.fromtimestamp(at, UTC) for at in (snapshot.start, snapshot.end))
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    choices += f"<span>{start:%Y-%m-%d} <b>{start:%H:%M}</b> to <b>{until}</b> UTC</span>"
    panels = "".join(draw(dashboard, panel, snapshot) for panel in dashboard.panels)
    return (
        f'<article data-uid="{dashboard.uid}" hidden><header><h1>{escape(document["title"])}</h1>'
        f'<p>{escape(document.get("description", ""))}</p><p class="choices">{choices}</p></header>'
        f'<div class="grid">{rows}{panels}</div></article>'
    )
