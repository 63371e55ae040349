"""Dashboards read back from their JSON, and their queries with the variables filled in as Grafana does it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

_NAMED = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
# What Grafana 10.2 escapes in a value that a regular expression is made of; double quotes are not among it.
_SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|']")


@dataclass(frozen=True)
class PanelQuery:
    """One query of a panel. `source` is prometheus or loki."""

    expr: str
    legend: str
    instant: bool
    source: str

    def filled(self, values: Mapping[str, str], *, range_seconds: int, step_seconds: int) -> str:
        """The expression with `values` for its variables; the rate interval is four scrapes of 15 s, or more."""
        rate = max(step_seconds + 15, 60)
        built_in = {
            "__interval": f"{step_seconds}s",
            "__rate_interval": f"{rate}s",
            "__range": f"{range_seconds}s",
        }

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            return {**built_in, **values}.get(name, match[0])

        return _NAMED.sub(value, self.expr)

    def name(self, labels: Mapping[str, str]) -> str:
        """What the legend calls a series; empty where it leaves that to Grafana."""
        return re.sub(
            r"\{\{\s*(\w+)\s*\}\}", lambda m: labels.get(m[1], ""), self.legend.removeprefix("__auto")
        ).strip()

    def variables(self, known: Iterable[str]) -> list[str]:
        """Those of the `known` variables that the expression uses."""
        used = {match[1] or match[2] for match in _NAMED.finditer(self.expr)}
        return [name for name in known if name in used]


@dataclass(frozen=True)
class Panel:
    """One panel: `document` is its JSON, `queries` what it asks."""

    document: dict[str, Any]
    queries: tuple[PanelQuery, ...]

    @property
    def title(self) -> str:
        """Its heading."""
        return str(self.document["title"])


@dataclass(frozen=True)
class Variable:
    """A choice a reader has; `metric` and `label` are where its values come from, `all` what "All" stands for."""

    name: str
    metric: str
    label: str
    all: str

    def values(self, prometheus: str) -> list[str]:
        """The values there are now in the Prometheus at this address, whatever other variables have chosen."""
        metric = _NAMED.sub(self.all, self.metric)
        address = f"{prometheus}/api/v1/label/{self.label}/values"
        answer = requests.get(address, params={"match[]": metric}, timeout=10).json()
        if answer["status"] != "success":
            raise ValueError(f"{prometheus}: label_values({self.metric}, {self.label}): {answer['error']}")
        return list(answer["data"])


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, read from `document`."""

    document: dict[str, Any]

    @property
    def uid(self) -> str:
        """The name in its address."""
        return str(self.document["uid"])

    @property
    def panels(self) -> list[Panel]:
        """Its panels without the row headings, in the order of reading."""
        return [Panel(p, tuple(_queries(p))) for p in self.document["panels"] if p["type"] != "row"]

    @property
    def variables(self) -> list[Variable]:
        """Its variables whose values come from a query."""
        return [_variable(v) for v in self.document["templating"]["list"] if v["type"] == "query"]

    def choices(self, query: PanelQuery, values: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
        """ "All" of every variable that matters to the query, then each value of each, "All" of the others."""
        names = query.variables(v.name for v in self.variables)
        every = {name: choice for name, choice in self.everything().items() if name in names}
        yield every
        for name in names:
            yield from ({**every, name: escaped(value)} for value in values[name])

    def everything(self) -> dict[str, str]:
        """The choice of "All" for each variable."""
        return {v.name: v.all for v in self.variables}


def escaped(value: str) -> str:
    """A chosen value as it stands in a regular expression inside a PromQL string."""
    return _SPECIAL.sub(lambda match: "\\\\" + ("\\\\" if match[0] == "\\" else match[0]), value)


def _queries(panel: dict[str, Any]) -> Iterator[PanelQuery]:
    for target in panel.get("targets", []):
        yield PanelQuery(
            target["expr"], target.get("legendFormat", ""), bool(target.get("instant")), target["datasource"]["type"]
        )


def _variable(document: dict[str, Any]) -> Variable:
    match = re.fullmatch(r"label_values\((.*), *(\w+)\)", document["query"]["query"], re.DOTALL)
    if match is None:
        raise ValueError(f"variable {document['name']}: its query is not label_values(metric, label)")
    return Variable(document["name"], match[1], match[2], document["allValue"])
