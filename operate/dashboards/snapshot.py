"""The answers to every query of the dashboards at one moment; as a file, they need no Prometheus any more."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from infra.errors import InputError
from operate.dashboards.reading import Dashboard, Panel, PanelQuery

# Points of a graph: as many as its pixels can show on a laptop; and no finer than the scrapes.
POINTS, FINEST = 300, 15
# As many as a panel of logs shows.
LINES = 200
# Two answers at a time leave a small Prometheus room for its own rules.
_AT_ONCE = 4


@dataclass(frozen=True)
class Series:
    """One series: samples are [Unix seconds, value as the text it came as], or log lines."""

    labels: dict[str, str]
    samples: list[tuple[float, str]]


@dataclass(frozen=True)
class Answer:
    """What a query gave; `error` says in words why it gave nothing."""

    series: list[Series]
    error: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Answers by query, over `range` seconds up to `end` (Unix seconds) in steps of `step` seconds."""

    end: int
    range: int
    step: int
    answers: dict[str, Answer]

    @property
    def start(self) -> int:
        """The first moment of the graphs, in Unix seconds."""
        return self.end - self.range

    def answer(self, dashboard: Dashboard, panel: Panel, query: PanelQuery) -> Answer:
        """The answer to a panel's query with every variable at "All"."""
        key = _key(panel, query, self._filled(dashboard, query))
        return self.answers.get(key, Answer([], "the snapshot has no answer to this query; save a new one."))

    def _filled(self, dashboard: Dashboard, query: PanelQuery) -> str:
        return query.filled(dashboard.everything(), range_seconds=self.range, step_seconds=self.step)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), separators=(",", ":")))


def read(path: Path) -> Snapshot:
    """A saved snapshot. Raises InputError where the file is none."""
    try:
        document = json.loads(path.read_text())
        answers = {
            key: Answer([Series(**series) for series in answer["series"]], answer["error"])
            for key, answer in document.pop("answers").items()
        }
        return Snapshot(**document, answers=answers)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); name a file that --save-snapshot wrote."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: no snapshot of the dashboards; save one with --save-snapshot.") from None


def take(dashboards: Sequence[Dashboard], prometheus: str, loki: str, seconds: int) -> Snapshot:
    """Ask everything now, over the last `seconds`. Raises InputError when Prometheus does not answer at all.

    A query that fails is an answer that says so; so is one to a Loki that does not answer.
    """
    try:
        requests.get(f"{prometheus}/api/v1/query", params={"query": "1"}, timeout=10).json()["status"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        raise InputError(
            f"{prometheus}: no Prometheus answers; start the stack with `make up`, name another Prometheus with "
            "--prometheus, or draw a saved snapshot with --snapshot."
        ) from None
    step = max(seconds // POINTS, FINEST)
    # Rounded as Grafana does it, so that two pictures of one moment are alike.
    empty = Snapshot(int(time.time()) // step * step, seconds, step, {})
    addresses = {"prometheus": prometheus, "loki": f"{loki}/loki"}
    wanted: dict[str, tuple[str, dict[str, str | int]]] = {}
    for dashboard in dashboards:
        for panel in dashboard.panels:
            for query in panel.queries:
                expr = empty._filled(dashboard, query)
                wanted[_key(panel, query, expr)] = _request(panel, query, expr, empty, addresses)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(wanted, pool.map(lambda request: _ask(*request), wanted.values()), strict=True))
    return Snapshot(empty.end, seconds, step, answers)


def _is_lines(panel: Panel) -> bool:
    return bool(panel.document["type"] == "logs")


def _key(panel: Panel, query: PanelQuery, expr: str) -> str:
    kind = "lines" if _is_lines(panel) else "instant" if query.instant else "range"
    return f"{query.source} {kind} {expr}"


def _request(
    panel: Panel, query: PanelQuery, expr: str, when: Snapshot, addresses: dict[str, str]
) -> tuple[str, dict[str, str | int]]:
    """Address and parameters of a query."""
    base = addresses[query.source]
    if query.instant:
        return f"{base}/api/v1/query", {"query": expr, "time": when.end}
    parameters: dict[str, str | int] = {"query": expr, "start": when.start, "end": when.end, "step": when.step}
    if _is_lines(panel):
        parameters |= {"limit": LINES}
    return f"{base}/api/v1/query_range", parameters


def _ask(address: str, parameters: dict[str, str | int]) -> Answer:
    try:
        reply = requests.get(address, params=parameters, timeout=60)
    except requests.RequestException as error:
        return Answer([], f"{address.partition('/api/')[0]} does not answer ({type(error).__name__}).")
    try:
        document = reply.json()
        if document["status"] != "success":
            return Answer([], str(document["error"]))
        return Answer([_series(found) for found in _found(document["data"])])
    except (ValueError, KeyError, TypeError):
        return Answer([], f"status {reply.status_code}: {reply.text[:300].strip()}")


def _found(data: dict[str, Any]) -> list[dict[str, Any]]:
    if data["resultType"] == "scalar":
        return [{"metric": {}, "value": data["result"]}]
    return list(data["result"])


def _series(found: dict[str, Any]) -> Series:
    if "stream" in found:
        return Series(found["stream"], [(int(at) / 1e9, line) for at, line in found["values"]])
    return Series(found["metric"], [(at, value) for at, value in found.get("values") or [found["value"]]])
