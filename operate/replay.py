"""Replays Prometheus rules over history: which alerts would have fired, from when until when.

`promtool test rules` takes its series from the test file, and `promtool tsdb create-blocks-from rules` leaves
alerts out. So an expression is asked as range queries at its group's interval, and `for` and `keep_firing_for`
are applied to the answers as rules/alerting.go of Prometheus 2.48 does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import requests

from infra import documents
from infra.errors import InputError
from operate import promql

Labels = dict[str, str]
Samples = list[tuple[float, float]]

# Prometheus refuses a range query of more points in a series.
MAX_POINTS = 11_000
ALERTS = ("ALERTS", "ALERTS_FOR_STATE")
_MILLISECOND = 0.001
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_TEMPLATE = re.compile(r"\{\{\s*(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}")


@dataclass(frozen=True)
class Rule:
    """One rule. `interval`, `hold` (`for`) and `keep` (`keep_firing_for`) are seconds."""

    name: str
    expr: str
    labels: Labels
    interval: float
    alerting: bool
    hold: float = 0.0
    keep: float = 0.0


@dataclass(frozen=True)
class Episode:
    """An alert that fired, as Unix seconds: its condition held from `since`, it fired from `start` until before `end`.

    `end` is None where it still fired at the end of the replay. `start` is None while it was only pending.
    """

    alert: str
    labels: Labels
    since: float
    start: float | None
    end: float | None


def seconds(duration: str | None) -> float:
    """Seconds of a Prometheus duration such as 1h30m; 0 for None."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration or ""))


def read(texts: Iterable[str], default_interval: float) -> list[Rule]:
    """The rules of rule files, given as their text. `default_interval` is the global evaluation interval in seconds."""
    rules = []
    for group in (group for text in texts for group in documents.load(text)["groups"]):
        interval = seconds(group.get("interval")) or default_interval
        for entry in group["rules"]:
            rules.append(
                Rule(
                    entry.get("alert") or entry["record"],
                    str(entry["expr"]),
                    {key: str(value) for key, value in entry.get("labels", {}).items()},
                    interval,
                    "alert" in entry,
                    seconds(entry.get("for")),
                    seconds(entry.get("keep_firing_for")),
                )
            )
    return rules


def prepare(rules: Iterable[Rule], lookback: float) -> list[Rule]:
    """The alerts, and of the recording rules those whose output has to be stored for them.

    Written out where it is read, instead of stored, is what is recorded more often than `lookback` (s): without
    staleness markers a stored value would outlive its condition. And a name recorded by many rules of which each
    reader picks one by its own labels (a threshold by its alert): storing all of them would be most of the work.
    """
    rules = [without_itself(rule) for rule in rules]
    recorded: dict[str, list[Rule]] = {}
    for rule in rules:
        if not rule.alerting:
            recorded.setdefault(rule.name, []).append(rule)

    def written_out(selector: promql.Selector) -> str | None:
        candidates = recorded.get(selector.name, [])
        # A matcher on a label that the rule itself does not set is decided only by the data.
        if not selector.exact or not all(selector.equal.keys() <= rule.labels.keys() for rule in candidates):
            return None
        chosen = [rule for rule in candidates if selector.equal.items() <= rule.labels.items()]
        picked = len(chosen) == 1 < len(candidates)
        short = bool(chosen) and all(rule.interval < lookback for rule in chosen)
        if selector.modifier or not (picked or short):
            return None
        return " or ".join(_labelled(rule, promql.substitute(rule.expr, written_out)) for rule in chosen)

    rules = [replace(rule, expr=promql.substitute(rule.expr, written_out)) for rule in rules]
    read: set[str] = set()
    pending = [rule.expr for rule in rules if rule.alerting]
    while pending:
        fresh = promql.names(pending.pop()) - read
        read |= fresh
        pending += [rule.expr for rule in rules if not rule.alerting and rule.name in fresh]
    return [rule for rule in rules if rule.alerting or rule.name in read]


def without_itself(rule: Rule) -> Rule:
    """A rule that keeps a moment by reading its last output has kept it for ever: in a replay nobody was away."""
    kept = lambda selector: "vector(0)" if selector.name == rule.name and not rule.alerting else None  # noqa: E731
    return replace(rule, expr=promql.substitute(rule.expr, kept))


def _labelled(rule: Rule, expr: str) -> str:
    expr = f"({expr})"
    for label, value in rule.labels.items():
        expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
    return expr


def passes(rules: Iterable[Rule]) -> list[list[Rule]]:
    """The rules in the order in which they can be evaluated one after the other: each after what it reads.

    Raises InputError for a rule that reads its own output.
    """
    rules = list(rules)
    sources: dict[str, set[str]] = {}
    for rule in rules:
        # Rules are nodes by name; alerts have a name space of their own.
        sources.setdefault(_node(rule), set()).update(_read(promql.selectors(rule.expr)))
    # An alert about alerts would feed itself; in ALERTS as a whole such alerts are left out.
    feeding = {_node(rule) for rule in rules if rule.alerting and not _reach(sources, _node(rule)) & set(ALERTS)}
    sources.update(dict.fromkeys(ALERTS, feeding))
    depths: dict[str, int] = {}

    def depth(node: str, above: tuple[str, ...]) -> int:
        if node in above:
            raise InputError(f"rule {node.removeprefix(_ALERT)} reads its own output; it cannot be replayed.")
        if node not in depths:
            below = [depth(name, (*above, node)) for name in sources[node] if name in sources]
            depths[node] = 1 + max(below, default=-1)
        return depths[node]

    ordered: dict[int, list[Rule]] = {}
    for rule in rules:
        ordered.setdefault(depth(_node(rule), ()), []).append(rule)
    return [ordered[number] for number in sorted(ordered)]


def _reach(sources: Mapping[str, set[str]], node: str) -> set[str]:
    found: set[str] = set()
    pending = [node]
    while pending:
        fresh = sources.get(pending.pop(), set()) - found
        found |= fresh
        pending += fresh
    return found


def alerts_read(rules: Iterable[Rule]) -> set[str]:
    """The alerts whose ALERTS or ALERTS_FOR_STATE some rule reads; all of them where a rule names none."""
    rules = list(rules)
    nodes = {node for rule in rules for node in _read(promql.selectors(rule.expr))}
    if nodes & set(ALERTS):
        return {rule.name for rule in rules if rule.alerting}
    return {node.removeprefix(_ALERT) for node in nodes if node.startswith(_ALERT)}


def read_between(rules: Iterable[Rule]) -> set[str]:
    """Recorded names whose present value is asked for at moments between two evaluations of their rule."""
    rules = list(rules)
    intervals = {rule.name: rule.interval for rule in rules if not rule.alerting}
    return {
        selector.name
        for rule in rules
        for selector in promql.selectors(rule.expr)
        if selector.modifier != "[" and rule.interval % intervals.get(selector.name, rule.interval)
    }


_ALERT = "alert "


def _node(rule: Rule) -> str:
    return f"{_ALERT}{rule.name}" if rule.alerting else rule.name


def _read(selectors: Iterable[promql.Selector]) -> Iterator[str]:
    for selector in selectors:
        named = selector.name in ALERTS and selector.equal.get("alertname")
        yield f"{_ALERT}{named}" if named else selector.name


class History:
    """The HTTP API of the Prometheus that holds the history."""

    def __init__(self, url: str, timeout: float = 300.0) -> None:
        self._url, self._timeout = f"{url.rstrip('/')}/api/v1/query_range", timeout
        self._session = requests.Session()

    def series(self, rule: Rule, start: float, end: float) -> list[tuple[Labels, Samples]]:
        """The rule's result at start, start + interval ... up to `end`, as Prometheus would label it.

        Raises InputError when the query fails, and as Prometheus does when two results get the same labels.
        """
        found: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        reach = (MAX_POINTS - 1) * rule.interval
        for number in range(math.floor((end - start) / (reach + rule.interval)) + 1):
            chunk = start + number * (reach + rule.interval)
            for result in self._ask(rule, chunk, min(end, chunk + reach)):
                samples = found.setdefault(tuple(sorted(_labels(rule, result["metric"]).items())), {})
                fresh = {float(at): float(value) for at, value in result["values"]}
                if samples.keys() & fresh.keys():
                    labels = _labels(rule, result["metric"])
                    raise InputError(f"rule {rule.name}: two results have the labels {labels}; keep them apart.")
                samples.update(fresh)
        return [(dict(key), sorted(samples.items())) for key, samples in found.items()]

    def _ask(self, rule: Rule, start: float, end: float) -> list[dict[str, Any]]:
        form = {"query": rule.expr, "start": start, "end": end, "step": rule.interval}
        answer = self._session.post(self._url, data=form, timeout=self._timeout)
        body = answer.json()
        if body["status"] != "success":
            raise InputError(f"rule {rule.name}: Prometheus refuses its expression: {body['error']}; correct the rule.")
        return list(body["data"]["result"])


def _labels(rule: Rule, metric: Mapping[str, str]) -> Labels:
    labels = {name: value for name, value in metric.items() if name != "__name__"}
    for name, text in rule.labels.items():
        value = _TEMPLATE.sub(lambda match: metric.get(match[1], ""), text) if rule.alerting else text
        if "{{" in value:
            raise InputError(f"rule {rule.name}: label {name}: only {{{{ $labels.x }}}} can be replayed, not {text!r}.")
        labels[name] = value
    # An empty label is no label.
    return {name: value for name, value in labels.items() if value}


def episodes(rule: Rule, labels: Labels, times: Iterable[float], end: float) -> Iterator[Episode]:
    """`for` and `keep_firing_for` applied to the evaluations (Unix seconds, ascending) that returned the labels.

    `end` is the last evaluation of the replay. What never fired is given with `start` None.
    """
    since: float | None = None
    start: float | None = None
    resolved = math.inf
    for at in times:
        # An evaluation that still returns the alert at the very moment of its resolution keeps it.
        if since is not None and at > resolved + rule.interval / 2:
            yield Episode(rule.name, labels, since, start, resolved)
            since = start = None
        if since is None:
            since = at
        if start is None and at - since >= rule.hold - _MILLISECOND:
            start = at
        # A firing alert outlives a gap shorter than `keep_firing_for`; a pending one starts anew.
        kept = math.ceil(rule.keep / rule.interval) * rule.interval if start is not None else 0.0
        resolved = at + rule.interval + kept
    if since is not None:
        yield Episode(rule.name, labels, since, start, resolved if resolved <= end + _MILLISECOND else None)


def replay(url: str, rules: Iterable[Rule], start: float, end: float) -> list[Episode]:
    """Every episode of the alerting rules among `rules` between two Unix times, by start.

    What the rules read, other rules' output included, must be in the history already.
    """
    history = History(url)
    alerting = [rule for rule in rules if rule.alerting]
    # Two at a time keep Prometheus busy while an answer is being read.
    with ThreadPoolExecutor(2) as pool:
        found = [
            episode for part in pool.map(lambda rule: spells(history, rule, start, end), alerting) for episode in part
        ]
    fired = [episode for episode in found if episode.start is not None]
    return sorted(fired, key=lambda episode: (episode.start or 0.0, episode.alert, sorted(episode.labels.items())))


def spells(history: History, rule: Rule, start: float, end: float) -> list[Episode]:
    """Every time the rule's alerts were pending or firing."""
    last = start + math.floor((end - start) / rule.interval) * rule.interval
    return [
        episode
        for labels, samples in history.series(rule, start, end)
        for episode in episodes(rule, {**labels, "alertname": rule.name}, (at for at, _ in samples), last)
    ]
