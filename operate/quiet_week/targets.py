"""Who is scraped in the simulated week, and which series each target shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra import assembly, documents
from infra.errors import InputError
from infra.stack import Stack
from operate import promql, replay
from operate.quiet_week import every, hosts, platform, services, stores
from operate.quiet_week.shapes import Facts, Labels, Scene, Table
from operate.quiet_week.week import Array, Week

_MACHINES: dict[str, Table] = {
    "node": hosts.NODE,
    "cadvisor": hosts.CADVISOR,
    "postgres": stores.POSTGRES,
    "redis": stores.REDIS,
    "rabbitmq": stores.RABBITMQ,
    "rabbitmq-queues": stores.RABBITMQ_QUEUES,
}
# Jobs whose targets say nothing about a process of their own, and those whose program is not one of Go.
_NO_PROCESS = {"health", "certificates", "rabbitmq", "rabbitmq-queues", "log-collector"}
_NO_GO = {*_NO_PROCESS, "inbox"}


@dataclass(frozen=True)
class Deployment:
    """What Prometheus is given of a stack: targets, the global evaluation interval (s), rules, and facts."""

    targets: tuple[Labels, ...]
    interval: float
    rules: tuple[replay.Rule, ...]
    facts: Facts


def deployment(stack: Stack) -> Deployment:
    """Read targets and rules off the very files Prometheus is deployed with."""
    workloads = assembly.workloads(stack)
    files = {file.path: file.content for w in workloads if w.name == "prometheus" for file in w.config_files}
    config = documents.load(next(text for path, text in files.items() if path.endswith("/prometheus.yml")))
    texts = {path: text for path, text in files.items() if "/rules/" in path}
    interval = replay.seconds(config["global"]["evaluation_interval"])
    groups = (f"{path};{group['name']}" for path, text in texts.items() for group in documents.load(text)["groups"])
    facts = Facts(
        stack.catalog,
        {workload.name: workload.resources.memory for workload in workloads},
        tuple(entry["job_name"] for entry in config["scrape_configs"]),
        tuple(groups),
    )
    targets = tuple(target for entry in config["scrape_configs"] for target in _targets(entry))
    return Deployment(targets, interval, tuple(replay.read(texts.values(), interval)), facts)


def _targets(entry: Mapping[str, Any]) -> Iterator[Labels]:
    for group in entry["static_configs"]:
        for address in group["targets"]:
            # A probe's relabelling makes the probed address the instance, which it is here from the start.
            yield {"job": entry["job_name"], "instance": address, **group.get("labels", {})}


def table(facts: Facts, job: str) -> Table:
    """Every metric that the targets of a job show."""
    catalog = facts.catalog
    if job in catalog.by_name:
        return {**every.EVERY, **services.table(catalog, catalog.by_name[job])}
    found = {**_MACHINES, **platform.PLATFORM}.get(job, {})
    process = {**({} if job in _NO_PROCESS else every.PROCESS), **({} if job in _NO_GO else every.GO)}
    return {**every.EVERY, **process, **found}


def read_by(expressions: Iterable[str], rules: Sequence[replay.Rule]) -> set[str]:
    """The names of everything that is read to evaluate expressions, through recording rules."""
    recorded: dict[str, list[replay.Rule]] = {}
    for rule in rules:
        if not rule.alerting:
            recorded.setdefault(rule.name, []).append(rule)
    found: set[str] = set()
    pending = list(expressions)
    while pending:
        fresh = promql.names(pending.pop()) - found
        found |= fresh
        pending += [rule.expr for name in fresh for rule in recorded.get(name, ())]
    return found


def of_alerts(rules: Sequence[replay.Rule]) -> tuple[replay.Rule, ...]:
    """Alerting rules and what they read, without what is recorded for dashboards alone."""
    read = read_by((rule.expr for rule in rules if rule.alerting), rules)
    return tuple(rule for rule in rules if rule.alerting or rule.name in read)


def needed(deployed: Deployment) -> set[str]:
    """The names of the metrics the alerts read, without those that rules record.

    Raises InputError naming those that no target of any table shows.
    """
    read = read_by((rule.expr for rule in deployed.rules if rule.alerting), deployed.rules)
    # A name with a colon is a rule's output, also where the catalog gives no reason to deploy that rule.
    wanted = {name for name in read if ":" not in name} - set(replay.ALERTS)
    jobs = {*_MACHINES, *platform.PLATFORM, *(service.name for service in deployed.facts.catalog.services)}
    known = set().union(*(table(deployed.facts, job) for job in jobs))
    unknown = sorted(wanted - known)
    if unknown:
        raise InputError(
            f"the quiet week does not know how {', '.join(unknown)} behaves on a normal day; say it in a table of "
            "operate/quiet_week (services.py for the contract, hosts.py, stores.py or platform.py for exporters)."
        )
    return wanted


@dataclass(frozen=True)
class Family:
    """All series of one metric of one target."""

    metric: str
    target: Labels


def families(deployed: Deployment, metrics: set[str]) -> list[Family]:
    """One entry for each target and wanted metric, by target."""
    return [
        Family(metric, target)
        for target in deployed.targets
        for metric in sorted(metrics & set(table(deployed.facts, target["job"])))
    ]


def series(week: Week, facts: Facts, family: Family) -> Iterator[tuple[Labels, Array]]:
    """The labels (with the name) and values of a family's series; NaN where there is no sample."""
    shape = table(facts, family.target["job"])[family.metric]
    scene = Scene(week, facts, family.target, family.metric)
    missed = [] if family.metric in every.EVERY else every.lost(scene)
    for labels, found in shape(scene):
        values = np.array(found, dtype=np.float64)
        values[missed] = np.nan
        yield {"__name__": family.metric, **labels, **family.target}, values
