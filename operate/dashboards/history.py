"""A month of a large exchange: every series the dashboards read, as the generator of blocks takes them.

Who is scraped, and what each target shows at what level, comes from the tables of the quiet week, for a catalog of
50 services with three instances each. Values follow a slope with chance around it: for the speed of a query it
matters how many series and samples there are and how well they compress, not what they say.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from infra.catalog import Catalog, Service
from infra.errors import InputError
from infra.stack import Stack
from operate import promql, record
from operate.dashboards.raw import FACTS
from operate.quiet_week import targets
from operate.quiet_week.shapes import Facts, Labels, Scene
from operate.quiet_week.targets import Deployment
from operate.quiet_week.week import Array, Week
from operate.replay import ALERTS, Rule

SERVICES, INSTANCES, DAYS = 50, 3, 30
DAY = 86400
# An alert fires for two hours of every third day.
ALERT_EVERY, ALERT_LASTS = 3 * DAY, 7200
# 2024-02-01, 00:00 UTC; a fixed date makes every run the same.
END = 1_706_745_600
START = END - DAYS * DAY

# Targets of a job for each one of the deployed stack. Ten instances of services run on each of the hosts.
_COPIES = {"health": INSTANCES, "node": 8, "cadvisor": 15, "postgres": 3, "redis": 3, "rabbitmq": 3}
# Of the platform itself, as it runs where it must not fail.
_COPIES |= {"prometheus": 2, "alertmanager": 3}
_CONTAINERS = 12
# Values a label has in a large exchange; the tables know two or more, and fewer.
_SPREAD = {"market": 20, "asset": 10, "cpu": 4, "queryid": 50, "queue": 20}
_COUNTED = ("_total", "_bucket", "_count", "_sum")
_BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
_KNOWN_VALUES = {"le": _BOUNDS, "quantile": ("0.5", "0.9", "0.99")}
SAMPLE_HOURS, SAMPLES = 13, 120


@dataclass(frozen=True)
class Series:
    """One series: a sample each `interval` (s) at level + slope * seconds + noise * chance, chance being 0 to 1.

    `phase` is the second of the interval at which it is sampled; series of one `seed` have the same chance. `digits`
    are decimals, below 0 for all of them. With `every` it is there for `lasts` of each `every` seconds.
    """

    labels: Labels
    interval: float
    level: float
    slope: float = 0.0
    noise: float = 0.0
    digits: int = 0
    seed: int = 0
    phase: float = 0.0
    every: float = 0.0
    lasts: float = 0.0

    @property
    def line(self) -> str:
        """As a line of the generator's input, which counts in milliseconds."""
        times = {name: round(getattr(self, name) * 1000) for name in ("interval", "phase", "every", "lasts")}
        plain = {name: getattr(self, name) for name in ("labels", "level", "slope", "noise", "digits")}
        return json.dumps({**plain, **times, "seed": self.seed << 32})


def large(stack: Stack, count: int = SERVICES) -> Stack:
    """The stack with services of HTTP alone beside its own, `count` in all."""
    own = stack.catalog
    teams = list(own.teams)
    more = [
        Service(
            name=f"service-{number:02}",
            description="One of many.",
            port=8080,
            team=teams[number % len(teams)],
            tier="critical" if number % 4 == 0 else "standard",
            slo=0.999 if number % 4 == 0 else None,
            capabilities=("http",),
            dependencies=("database", "redis", "rabbitmq"),
        )
        for number in range(len(own.services) + 1, count + 1)
    ]
    services = (*own.services, *more)
    catalog = Catalog(teams=own.teams, dependencies=own.dependencies, services=services, contract=own.contract)
    return replace(stack, catalog=catalog)


def scraped(deployed: Deployment, wanted: set[str], expressions: Iterable[str]) -> tuple[list[Series], list[str]]:
    """The series of the wanted metrics, and the metrics no table knows: their labels are those of recorded pages.

    `expressions` tell values that labels of such metrics have. Raises InputError for one on no page either.
    """
    facts = one_host(deployed.facts)
    known = {job: set(targets.table(facts, job)) & wanted for job in {target["job"] for target in deployed.targets}}
    assumed = _assumed(wanted - set().union(*known.values()), expressions)
    week = Week((), SAMPLE_HOURS)
    series = []
    for target in deployed.targets:
        copies = list(_copies(target, INSTANCES if target["job"] in facts.catalog.by_name else None))
        for metric in sorted(known[target["job"]]):
            for labels, values in spread(sampled(week, facts, target, metric)):
                series += [shaped(metric, labels, copy, values[-SAMPLES:]) for copy in copies]
        for metric in (name for name, (job, _) in assumed.items() if job == target["job"]):
            series += [shaped(metric, labels, copy, values) for labels, values in assumed[metric][1] for copy in copies]
    return [one for one in series if one is not None], sorted(assumed)


def one_host(facts: Facts) -> Facts:
    """The facts with as many containers as one host has."""
    return replace(facts, containers=dict(list(facts.containers.items())[-_CONTAINERS:]))


def alerts(rules: Iterable[Rule], services: Sequence[Service]) -> Iterator[Series]:
    """Every alerting rule's alert, each of another service and at another hour; five minutes of it are pending."""
    names = {rule.name: rule for rule in rules if rule.alerting}
    for number, (name, rule) in enumerate(sorted(names.items())):
        service = services[number % len(services)]
        who = {"service": service.name, "team": service.team, "tier": service.tier, "job": service.name}
        labels = {**who, **{key: value for key, value in rule.labels.items() if "{{" not in value}, "alertname": name}
        active = Series(
            {"__name__": "ALERTS_FOR_STATE", **labels},
            rule.interval,
            START,
            phase=number * 3600 % ALERT_EVERY,
            every=ALERT_EVERY,
            lasts=ALERT_LASTS,
        )
        yield active
        for state, lasts in (("pending", 300), ("firing", ALERT_LASTS)):
            yield replace(active, labels={"__name__": "ALERTS", **labels, "alertstate": state}, level=1, lasts=lasts)


def recorded(rule: Rule, labels: Labels, value: float) -> Series:
    """A series that a rule records around a value: a fact or a whole number stays, any other varies by a twentieth."""
    constant = value == round(value) or rule.name.startswith(FACTS)
    seed = _seed(rule.name, labels)
    series = Series(
        {"__name__": rule.name, **labels},
        rule.interval,
        value,
        noise=0.0 if constant else value / 20,
        digits=-1,
        seed=seed,
        phase=zlib.crc32(rule.name.encode()) % round(rule.interval),
    )
    if set() < promql.names(rule.expr) <= set(ALERTS):
        # It comes and goes with its alert.
        return replace(series, phase=seed * 3600 % ALERT_EVERY, every=ALERT_EVERY, lasts=ALERT_LASTS)
    return series


def _copies(target: Labels, count: int | None) -> Iterator[Labels]:
    """The target, and others like it under names of their own."""
    yield target
    for number in range(2, (count or _COPIES.get(target["job"], 1)) + 1):
        instance = re.sub(r"^((?:https?://)?[^:/]+)", rf"\1-{number}", target["instance"])
        yield {**target, "instance": instance}


def sampled(week: Week, facts: Facts, target: Labels, metric: str) -> list[tuple[Labels, Array]]:
    """Labels and samples of each series that the target's table has of the metric."""
    return list(targets.table(facts, target["job"])[metric](Scene(week, facts, target, metric)))


def spread(found: list[tuple[Labels, Array]], more: Mapping[str, int] | None = None) -> list[tuple[Labels, Array]]:
    """The series with as many values of each label as a large exchange has; `more` says so for other labels."""
    more = more or {}
    for label, count in {**_SPREAD, **more}.items():
        present = list(dict.fromkeys(labels[label] for labels, _ in found if label in labels))
        if len(present) < (1 if label in more else 2):
            continue
        first = [(labels, values) for labels, values in found if labels.get(label) == present[0]]
        for number in range(len(present) + 1, count + 1):
            found = [*found, *(({**labels, label: f"{label}-{number}"}, values) for labels, values in first)]
    return found


def shaped(metric: str, labels: Labels, target: Labels, values: Array) -> Series | None:
    """The series that goes on as the values, which are samples of 15 s, do; None without any value."""
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    place = {key: value for key, value in labels.items() if key != "le"}
    shape = Series(
        {"__name__": metric, **labels, **target},
        15,
        float(values[0]),
        digits=0 if np.all(values == np.round(values)) else 3 if metric.endswith(_COUNTED) else 6,
        # Buckets of one histogram share their chance, or they would cross.
        seed=_seed("", {**place, **target}),
        phase=zlib.crc32(f"{target['job']} {target['instance']}".encode()) % 15_000 / 1000,
    )
    steps = np.diff(values)
    if not steps.any():
        return shape
    if np.all(steps >= 0):
        slope = float(values[-1] - values[0]) / (15 * steps.size)
        return replace(shape, slope=slope, noise=slope * 15)
    # As wide as an even spread of the same deviation.
    width = 3.46 * float(np.std(values))
    return replace(shape, level=float(np.mean(values)) - width / 2, noise=width)


def _seed(name: str, labels: Mapping[str, str]) -> int:
    return zlib.crc32(f"{name}{sorted(labels.items())}".encode())


def _assumed(metrics: set[str], expressions: Iterable[str]) -> dict[str, tuple[str, list[tuple[Labels, Array]]]]:
    """Job and series of metrics that stand on a recorded page: two values for each label, or those asked for."""
    asked: dict[tuple[str, str], set[str]] = {}
    for selector in (found for expr in expressions for found in promql.selectors(expr)):
        for label, value in selector.equal.items():
            asked.setdefault((selector.name, label), set()).add(value)
    pages: dict[str, tuple[str, record.Metric]] = {}
    # What a cluster has of its own comes last.
    for path in (*sorted(record.FOLDER.glob("*.txt")), *sorted(record.FOLDER.glob("kubernetes/*.txt"))):
        for name, metric in record.read(path)[1].items():
            pages.setdefault(name, (path.stem, metric))
    unknown = sorted(name for name in metrics - set(pages) if ":" not in name and name not in ALERTS)
    if unknown:
        raise InputError(
            f"dashboards read {', '.join(unknown)}, which no recorded page below tests/metrics has; correct the name, "
            "or say how it behaves in a table of operate/quiet_week."
        )
    found: dict[str, Any] = {}
    for name in sorted(metrics & set(pages)):
        job, metric = pages[name]
        labels = sorted(metric.labels)
        choices = [_KNOWN_VALUES.get(label) or _values(label, asked.get((name, label), set())) for label in labels]
        grows = metric.type == "counter" or name.endswith(_COUNTED)
        values = np.arange(0.0, 20.0) if grows else np.array([100.0, 104.5, 98.2, 101.1])
        found[name] = (job, [(dict(zip(labels, choice, strict=True)), values) for choice in product(*choices)])
    return found


def _values(label: str, asked: set[str]) -> list[str]:
    return [*sorted(asked), *(f"{label}-{number}" for number in (1, 2))][: max(2, len(asked))]
