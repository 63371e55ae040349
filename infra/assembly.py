"""The platform: which workloads a stack has."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from infra.components import (
    alertmanager,
    data_stores,
    exporters,
    grafana,
    inbox,
    log_collector,
    loki,
    prometheus,
    simulator,
)
from infra.errors import InputError, quoted
from infra.stack import Stack
from infra.workload import Resources, Workload


def workloads(stack: Stack, environ: Mapping[str, str] = os.environ) -> list[Workload]:
    """Every workload of the stack, without those that no image can be had for."""
    settings, catalog = stack.settings, stack.catalog
    found = [
        alertmanager.build(stack, pagerduty_is_real=bool(environ.get("PAGERDUTY_SERVICE_KEY"))),
        grafana.build(stack),
        loki.build(stack),
        log_collector.build(stack),
        exporters.node(stack),
        exporters.blackbox(stack),
    ]
    if stack.surroundings.own_cadvisor:
        found.append(exporters.containers(stack))
    if settings.inbox:
        found.append(inbox.build(stack))
    if settings.data_stores:
        found += [data_stores.postgres(stack, "primary"), data_stores.postgres(stack, "replica")]
        found += [data_stores.redis(stack), data_stores.rabbitmq(stack)]
    for name, store in catalog.dependencies.items():
        found += exporters.of_dependency(stack, name, store)
    if settings.simulator:
        found += [simulator.service(stack, service) for service in catalog.services]
        found.append(simulator.control(stack))
    kept = [workload for workload in found if workload.name not in stack.images.unavailable]
    # RabbitMQ speaks for itself, also where it runs elsewhere.
    rabbitmq = [
        scrape
        for name, store in catalog.dependencies.items()
        if store.kind == "rabbitmq"
        for scrape in exporters.rabbitmq_scrapes(name, store)
    ]
    _check_hosts(stack, kept)
    _check_sizes(stack, ["prometheus", *(workload.name for workload in found)])
    sized = [_sized(stack, workload) for workload in kept]
    return [_sized(stack, prometheus.build(stack, sized, rabbitmq)), *sized]


def _check_hosts(stack: Stack, found: Iterable[Workload]) -> None:
    """A bare host has a team that exists, and a name that no other node exporter has."""
    inventory = stack.inventory
    if inventory is None:
        return
    taken = {scrape.labels.get("instance") for w in found for scrape in w.scrapes if scrape.job == "node"}
    for host in inventory.hosts:
        if host.team not in stack.catalog.teams:
            raise InputError(
                f"{inventory.place}: {host.name}: node_exporter_team: unknown team {quoted(host.team)}; known: "
                f"{', '.join(sorted(stack.catalog.teams))}."
            )
        if host.name in taken:
            raise InputError(
                f"{inventory.place}: {host.name}: the stack watches a machine of that name itself; rename the host."
            )


def _check_sizes(stack: Stack, known: list[str]) -> None:
    unknown = sorted(set(stack.settings.sizes) - set(known))
    if unknown:
        raise InputError(
            f"Pulumi.{stack.name}.yaml: monitoring:sizes: there is no workload {quoted(unknown[0])} in this stack; "
            f"known: {', '.join(sorted(known))}."
        )


def _sized(stack: Stack, workload: Workload) -> Workload:
    """The workload with what the settings say about its size."""
    size = stack.settings.size(workload.name)
    had = workload.resources
    request = size.cpu or had.cpu_request
    return replace(
        workload,
        replicas=size.replicas or workload.replicas,
        resources=Resources(size.memory or had.memory, size.cpu_limit or max(had.cpu, request), request),
        storage=workload.storage and replace(workload.storage, size=size.storage or workload.storage.size),
    )
