"""Rules that follow from the catalog: what is expected to exist, and what must not go missing."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from infra.catalog import Catalog
from infra.stack import Stack
from infra.workload import Workload

METRIC_MISSING = "MetricMissing"

# The scrape job that metrics of a prefix come from, for what the contract does not cover.
JOBS = {
    "pg_": "postgres",
    "redis_": "redis",
    "rabbitmq_detailed_": "rabbitmq-queues",
    "rabbitmq_": "rabbitmq",
    "node_": "node",
}

# Metrics that a healthy target need not have, each with what else speaks when they are gone.
OPTIONAL = {
    "pg_up": "its exporter always reports it; without the exporter DependencyDown speaks",
    "redis_up": "its exporter always reports it; without the exporter DependencyDown speaks",
    "pg_replication_slots_active": "a replica has no slots",
    "node_exporter_certificate_not_after_timestamp_seconds": "only bare hosts have it, from the playbook",
}

# Facts that are there only while somebody set the flag they stand for.
FLAGS = ("catalog:service:maintenance", "catalog:alert:muted")

Rule = dict[str, Any]
Document = dict[str, Any]


def facts(stack: Stack, workloads: Iterable[Workload]) -> list[Rule]:
    """One constant series per fact of the catalog.

    Facts are there whether or not what they speak of is: a target that vanished from discovery leaves
    no `up` behind, comparing against its fact sees that.
    """
    rules = [*_services(stack.catalog), *_dependencies(stack.catalog), *_components(workloads)]
    rules.append(
        {
            # What thresholds are made for: everything scraped, and everything that should be.
            "record": "alert:subject",
            "expr": "group by (service) (up) or group by (service) (catalog:service:expected)"
            " or group by (service) (catalog:dependency:expected)",
        }
    )
    return rules


def _fact(name: str, labels: dict[str, str], value: float = 1) -> Rule:
    return {"record": name, "expr": f"vector({value:g})", "labels": labels}


def _services(catalog: Catalog) -> Iterator[Rule]:
    for service in catalog.services:
        who = {"service": service.name, "team": service.team}
        yield _fact("catalog:service:expected", {**who, "tier": service.tier})
        for capability in service.capabilities:
            yield _fact("catalog:service:capability", {**who, "capability": capability})
        for dependency in service.dependencies:
            yield _fact("catalog:service:depends", {**who, "dependency": dependency})
        if service.slo is not None:
            yield _fact("catalog:service:error_budget", {"service": service.name}, 1 - service.slo)
        if service.maintenance is not None:
            yield _fact("catalog:service:maintenance", {**who, "reason": service.maintenance})


def _dependencies(catalog: Catalog) -> Iterator[Rule]:
    for name, store in catalog.dependencies.items():
        who = {"service": name, "team": store.team}
        # Replicas may be lost without their dependents noticing; hosts have none.
        needed = store.hosts if store.kind == "host" else store.hosts[:1]
        for host in needed:
            yield _fact("catalog:dependency:expected", {**who, "kind": store.kind, "instance": host})
        if store.kind == "postgres":
            for number, host in enumerate(store.hosts):
                yield _fact("catalog:postgres:is_replica", {**who, "instance": host}, int(number > 0))
        if store.maintenance is not None:
            yield _fact("catalog:service:maintenance", {**who, "reason": store.maintenance})


def _components(workloads: Iterable[Workload]) -> Iterator[Rule]:
    """The platform's own parts, with what they may use."""
    for workload in workloads:
        if workload.part_of != "platform" or not workload.scrapes:
            continue
        service = workload.scrapes[0].labels["service"]
        yield _fact("catalog:component:expected", {"service": service, "team": workload.team})
        yield _fact("catalog:component:memory_limit_bytes", {"service": service}, workload.resources.memory)
        if workload.storage is not None:
            yield _fact("catalog:component:storage_bytes", {"service": service}, workload.storage.size)


def missing_metrics(stack: Stack, documents: dict[str, Document]) -> list[Rule]:
    """A warning for every metric an alert of the rule files reads that its target no longer exposes.

    An alert whose series are gone cannot fire; this says so while the target itself still answers.
    """
    rules = [rule for document in documents.values() for group in document["groups"] for rule in group["rules"]]
    recorded = {rule["record"]: str(rule["expr"]) for rule in rules if "record" in rule}
    names: set[str] = set()
    for rule in rules:
        if "alert" in rule:
            names |= _names(str(rule["expr"]), recorded)
    sources = {name: jobs for name in sorted(names - set(OPTIONAL)) if (jobs := _jobs(stack.catalog, name))}
    return [_missing(name, jobs) for name, jobs in sources.items()]


def _names(expr: str, recorded: dict[str, str]) -> set[str]:
    """Every metric an expression reads, through recording rules, with words of the language among them."""
    found: set[str] = set()
    pending = [expr]
    while pending:
        for name in set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", pending.pop())) - found:
            found.add(name)
            if name in recorded:
                pending.append(recorded[name])
    return found


def _jobs(catalog: Catalog, metric: str) -> tuple[str, ...]:
    family = re.sub("_(bucket|sum|count)$", "", metric)
    of_contract = tuple(
        service.name
        for service in catalog.services
        # Whoever calls nothing has no series of this one.
        if (metric != "service_dependency_up" or catalog.called_by(service))
        and (found := catalog.metrics_of(service).get(metric) or catalog.metrics_of(service).get(family))
        # Only a histogram has series of those endings.
        and (metric in catalog.metrics_of(service) or found.type == "histogram")
    )
    if of_contract:
        return of_contract
    return tuple(job for prefix, job in JOBS.items() if metric.startswith(prefix))[:1]


def _missing(metric: str, jobs: tuple[str, ...]) -> Rule:
    # A histogram that is there has this bucket in any case, and it has a dozen others.
    series = f'{metric}{{le="+Inf"}}' if metric.endswith("_bucket") else metric
    return {
        "alert": METRIC_MISSING,
        "expr": f'(group by (job, service, team, instance) (up{{job=~"{"|".join(jobs)}"}} == 1))\n'
        f"unless on (job, instance) group by (job, instance) ({series})",
        "for": "10m",
        "labels": {"severity": "warning", "metric": metric},
        "annotations": {
            # `$labels` has the labels of the series, not those a rule adds.
            "summary": "{{ $labels.service }} ({{ $labels.instance }}) answers but no longer exposes " + f"{metric}.",
            "description": f"Alerts that read {metric} cannot fire for it. Likely causes: a new version renamed or "
            "dropped the metric, a label set is empty since a restart, a collector of the exporter fails.",
            "dashboard": "alerting",
        },
    }
