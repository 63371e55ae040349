"""A stack's Prometheus and Alertmanager over HTTP: on Docker directly, on a cluster through its API server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests

from infra.components import alertmanager
from infra.errors import InputError, quoted, shown
from infra.stack import Stack
from operate import cluster

# A month of hours of each series is a small answer, but a slow disk has to read it.
_SECONDS = 120
Series = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """One server: `get` is what it answers to a path as JSON, None while it does not answer."""

    name: str
    get: Callable[[str], Any]
    remedy: str

    def ask(self, path: str, **parameters: object) -> Any:
        """What it answers to GET `path`. Raises InputError where nobody does, or with the server's own words."""
        answer = self.get(f"{path}?{urlencode(parameters)}" if parameters else path)
        if answer is None:
            raise InputError(f"{self.name} does not answer; {self.remedy}.")
        if isinstance(answer, dict) and answer.get("status") == "error":
            raise InputError(f"{self.name} refuses {path}: {answer.get('error')}; correct the query.")
        return answer

    def vector(self, expression: str, at: float) -> list[Series]:
        """The series of an instant query at a Unix time: `metric` and `value`, or `values` where it gives a range."""
        return self._series("/api/v1/query", query=expression, time=at)

    def matrix(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """The series of a range query between two Unix times, `step` in seconds."""
        return self._series("/api/v1/query_range", query=expression, start=start, end=end, step=step)

    def _series(self, path: str, **parameters: object) -> list[Series]:
        answer = self.ask(path, **parameters)
        try:
            found: list[Series] = answer["data"]["result"]
        except (KeyError, TypeError):
            raise InputError(f"{self.name} answers, but not as one; {self.remedy}.") from None
        return found


def prometheus(stack: Stack, url: str | None = None) -> Api:
    """The Prometheus at `url`, else the stack's own."""
    if url:
        return Api(f"the Prometheus at {shown(url)}", _over_http(url), "start it, or name another with --prometheus")
    name, remedy = f"the Prometheus of stack {stack.name}", f"`make status STACK={stack.name}` says what runs"
    if stack.settings.target == "kubernetes":
        return Api(name, cluster.Cluster(stack).ask_prometheus, remedy)
    return Api(name, _over_http(stack.link(stack.settings.prometheus_port)), remedy)


def alertmanager_of(stack: Stack, url: str | None = None) -> Api:
    """The Alertmanager at `url`, else the stack's own; its replicas know the same silences."""
    if url:
        return Api(
            f"the Alertmanager at {shown(url)}", _over_http(url), "start it, or name another with --alertmanager"
        )
    name, remedy = f"the Alertmanager of stack {stack.name}", f"`make status STACK={stack.name}` says what runs"
    if stack.settings.target == "kubernetes":
        here = cluster.Cluster(stack)
        return Api(name, lambda path: here.ask("alertmanager-0", alertmanager.PORT, path), remedy)
    return Api(name, _over_http(stack.link(stack.settings.alertmanager_port)), remedy)


def _over_http(url: str) -> Callable[[str], Any]:
    def get(path: str) -> Any:
        try:
            return requests.get(url.rstrip("/") + path, timeout=_SECONDS).json()
        except (requests.RequestException, ValueError):
            return None

    return get


def days(text: str, most: int = 3650) -> int:
    """A number of days from the command line. Raises InputError."""
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= most:
        raise InputError(f"DAYS is {quoted(text)}; give a whole number of days from 1 to {most}, for example DAYS=7.")
    return int(text)
