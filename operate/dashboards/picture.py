"""`make dashboards-page`: the dashboards as one HTML page, for reviewers and machines that have no Grafana.

A picture, not a second Grafana: every dashboard on its grid at one moment, with every variable at "All".
"""

from __future__ import annotations

import argparse
import json
import re
import string
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import requests
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from infra.dashboards import pages
from infra.errors import InputError, quoted, shown
from infra.settings import ROOT
from infra.stack import load
from operate import replay
from operate.dashboards.drawing import Answer, Snapshot, draw, grid
from operate.dashboards.reading import Dashboard, PanelQuery
from operate.progress import step as progress

# Points of a graph: as many as its pixels can show on a laptop; and no finer than the scrapes.
_POINTS, _FINEST = 300, 15
# Two answers at a time leave a small Prometheus room for its own rules.
_AT_ONCE = 4


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
    prometheus = options.prometheus or stack.link(stack.settings.prometheus_port)
    loki = options.loki or stack.link(stack.settings.loki_port)
    saved: Path | None = options.snapshot
    snapshot = read(saved) if saved else take(dashboards, prometheus.rstrip("/"), loki.rstrip("/"), options.range)
    if options.save_snapshot:
        options.save_snapshot.parent.mkdir(parents=True, exist_ok=True)
        options.save_snapshot.write_text(json.dumps(snapshot, separators=(",", ":")))
    output: Path = options.output or ROOT / ".render" / stack.name / "dashboards.html"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(html(dashboards, snapshot, stack.settings.environment))
    failed = sum(isinstance(answer, dict) for answer in snapshot["answers"].values())
    place = output.relative_to(ROOT) if output.is_relative_to(ROOT) else output
    print(
        f"{place}: {len(dashboards)} dashboards, {len(snapshot['answers'])} queries, {failed or 'none'} of them failed"
    )
    return 0


def read(path: Path) -> Snapshot:
    """A saved snapshot. Raises InputError where the file is none."""
    try:
        found = json.loads(path.read_text())
        end, seconds, step = (int(found[key]) for key in ("end", "range", "step"))
        return Snapshot(end=end, range=seconds, step=step, answers=dict(found["answers"]))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); name a file that --save-snapshot wrote."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path}: no snapshot of the dashboards; save one with --save-snapshot.") from None


def take(dashboards: Sequence[Dashboard], prometheus: str, loki: str, duration: str) -> Snapshot:
    """Ask everything now, as far back as `duration`. Raises InputError when Prometheus does not answer at all.

    A query that fails is an answer that says so; so is one to a Loki that does not answer.
    """
    if not re.fullmatch(r"(\d+[smhdw])+", duration) or not (seconds := int(replay.seconds(duration))):
        raise InputError(f"dashboards-page: --range is {quoted(duration)}; give a duration, for example 3h or 2d.")
    if isinstance(_ask(f"{prometheus}/api/v1/query", {"query": "vector(1)"}), dict):
        raise InputError(
            f"{shown(prometheus)}: no Prometheus answers; start the stack with `make up`, name another Prometheus with "
            "--prometheus, or draw a saved snapshot with --snapshot."
        )
    step = max(seconds // _POINTS, _FINEST)
    # Rounded as Grafana does it, so that two pictures of one moment are alike.
    end = int(time.time()) // step * step
    when = {"time": end, "start": end - seconds, "end": end, "step": step}
    snapshot = Snapshot(end=end, range=seconds, step=step, answers={})

    def answer(key: str) -> Answer:
        source, path, expr = key.split(" ", 2)
        if source == "loki":
            return _ask(f"{loki}/loki/api/v1/{path}", {"query": expr, "limit": 200} | when)
        return _ask(f"{prometheus}/api/v1/{path}", {"query": expr} | when)

    keys = list(dict.fromkeys(_key(d, query, snapshot) for d in dashboards for p in d.panels for query in p.queries))
    with progress(f"asking {prometheus} and {loki}"), ThreadPoolExecutor(_AT_ONCE) as pool:
        snapshot["answers"].update(zip(keys, pool.map(answer, keys), strict=True))
    return snapshot


def _key(dashboard: Dashboard, query: PanelQuery, snapshot: Snapshot) -> str:
    """Whom to ask, for a moment or a range, and the expression with every variable at "All"."""
    expr = query.filled(dashboard.everything(), range_seconds=snapshot["range"], step_seconds=snapshot["step"])
    return f"{query.source} {'query' if query.instant else 'query_range'} {expr}"


def _ask(address: str, parameters: dict[str, Any]) -> Answer:
    try:
        reply = requests.get(address, params=parameters, timeout=60)
        if reply.ok:
            return list(reply.json()["data"]["result"])
        return {"error": f"status {reply.status_code}: {reply.text[:300].strip()}"}
    except (requests.RequestException, KeyError, TypeError) as error:
        return {"error": f"{address.partition('/api/')[0]} does not answer ({type(error).__name__})."}


def html(dashboards: Sequence[Dashboard], snapshot: Snapshot, environment: str) -> str:
    """The page: it needs nothing but itself."""
    start, end = (datetime.fromtimestamp(snapshot["end"] - back, UTC) for back in (snapshot["range"], 0))
    moment = f"{escape(environment)}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    return _Template(Path(__file__).with_name("picture.html").read_text()).substitute(
        tabs="".join(f'<a href="#{d.uid}">{escape(d.document["title"])}</a>' for d in dashboards),
        pages="".join(_page(dashboard, snapshot, moment) for dashboard in dashboards),
        moment=moment,
        plotly=get_plotlyjs(),
        **{key: str(snapshot[key]) for key in ("end", "range", "step")},
    )


def _page(dashboard: Dashboard, snapshot: Snapshot, moment: str) -> str:
    unknown = {"error": "the snapshot has no answer to this query; save a new one."}
    document = dashboard.document
    rows = [row for row in document["panels"] if row["type"] == "row"]
    drawn = [f'<h2 style="{grid(row)}">{escape(row["title"])}</h2>' for row in rows]
    for panel in dashboard.panels:
        keys = [_key(dashboard, query, snapshot) for query in panel.queries]
        drawn.append(draw(panel, [snapshot["answers"].get(key, unknown) for key in keys], snapshot))
    return (
        f'<article data-uid="{dashboard.uid}" hidden><h1>{escape(document["title"])} <small>{moment}</small></h1>'
        f'<p>{escape(document["description"])}</p><div class="grid">{"".join(drawn)}</div></article>'
    )
