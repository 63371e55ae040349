"""The platform: which workloads a stack has."""

import os
from collections.abc import Mapping

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
from infra.stack import Stack
from infra.workload import Workload


def workloads(stack: Stack, environ: Mapping[str, str] = os.environ) -> list[Workload]:
    """Every workload of the stack, without those that no image can be had for."""
    settings, catalog = stack.settings, stack.catalog
    found = [
        alertmanager.build(stack, pagerduty_is_real=bool(environ.get("PAGERDUTY_SERVICE_KEY"))),
        grafana.build(stack),
        loki.build(stack),
        log_collector.build(stack),
        exporters.node(stack),
        exporters.containers(stack),
        exporters.blackbox(stack),
    ]
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
    return [prometheus.build(stack, kept, rabbitmq), *kept]
