"""The Prometheus whose history is read: over HTTP, or through a cluster's API, a little at a time.

Production goes on while it is asked: two questions at once, each of at most 11,000 steps (Prometheus' own limit), and
one that is too much for it is asked again in halves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import urlencode

import numpy as np

from infra.errors import InputError, quoted
from infra.stack import Stack
from operate import api
from operate.api import Api
from operate.quiet_week.week import Array
from operate.replay import MAX_POINTS, Labels

Key = tuple[tuple[str, str], ...]
AT_ONCE = 2
_FEWEST_STEPS = 60
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Series:
    """One series of an answer; `times` are Unix seconds, ascending. The metric's name is left out, as alerts do."""

    labels: Labels
    times: Array
    values: Array


class Source:
    """Range queries, of any number of steps."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._answered = False

    def range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """The result at start, start + step ... up to `end`; NaN is left out. Raises InputError."""
        found: dict[Key, list[tuple[Array, Array]]] = {}
        for result in self._answers(expr, start, end, step, MAX_POINTS):
            labels = tuple(sorted((k, v) for k, v in result["metric"].items() if k != "__name__"))
            times = np.array([float(at) for at, _ in result["values"]])
            values = np.array([float(value) for _, value in result["values"]])
            known = ~np.isnan(values)
            found.setdefault(labels, []).append((times[known], values[known]))
        joined = [
            Series(
                dict(labels), np.concatenate([at for at, _ in pieces]), np.concatenate([value for _, value in pieces])
            )
            for labels, pieces in found.items()
        ]
        return [series for series in joined if series.times.size]

    def _answers(self, expr: str, start: float, end: float, step: float, points: int) -> Iterator[dict[str, Any]]:
        for number in range(math.floor((end - start) / step / points + 1e-9) + 1):
            first = start + number * points * step
            last = min(end, first + (points - 1) * step)
            form = {"query": expr, "start": f"{first:.3f}", "end": f"{last:.3f}", "step": f"{step:.3f}"}
            body = self.api.get(f"/api/v1/query_range?{urlencode(form)}")
            if body is not None and body.get("status") == "success":
                self._answered = True
                yield from body["data"]["result"]
            elif points > _FEWEST_STEPS and (self._answered if body is None else _too_much(body)):
                yield from self._answers(expr, first, last, step, points // 2)
            elif body is None:
                raise InputError(f"{self.api.name} does not answer; {self.api.remedy}.")
            else:
                raise InputError(f"{self.api.name} cannot evaluate `{expr}`: {body.get('error')}; correct the rule.")


def _too_much(body: Mapping[str, Any]) -> bool:
    return body.get("errorType") in ("timeout", "canceled") or "too many samples" in str(body.get("error"))


def of(stack: Stack, url: str | None) -> Source:
    """The Prometheus at `url`, or the stack's own. Raises InputError for what is no address."""
    if url is not None and not url.startswith(("http://", "https://")):
        raise InputError(
            f"rebaseline: --prometheus is {quoted(url)}; give an address, for example http://localhost:9090."
        )
    found = api.prometheus(stack, url)
    if url is None and stack.settings.target == "kubernetes":
        # A connection through the API server changes the client that it is made with.
        one = Lock()

        def get(path: str) -> Any:
            with one:
                return found.get(path)

        return Source(replace(found, get=get))
    return Source(found)


def each(function: Callable[[_Item], _Result], items: list[_Item]) -> list[_Result]:
    """The function of each item, AT_ONCE at a time; Ctrl-C leaves out what has not begun."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
