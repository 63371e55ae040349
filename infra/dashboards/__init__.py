"""Grafana's dashboards, one file each (a long one with parts named after it), and the kit they share."""

from infra import rules
from infra.dashboards import (
    alerting,
    app_performance,
    auth_registration,
    business_metrics,
    database_cache,
    infrastructure,
    security_anomaly,
    system_health,
    trading_engine,
)
from infra.dashboards.kit.page import Page, Source
from infra.stack import Stack

HOME = "system-health"
_BUILDERS = (
    system_health.build,
    app_performance.build,
    infrastructure.build,
    database_cache.build,
    trading_engine.build,
    business_metrics.build,
    security_anomaly.build,
    auth_registration.build,
    alerting.build,
)


def pages(stack: Stack) -> list[Page]:
    """Every dashboard, in the order of a first reading. Raises InputError for bad rules or thresholds."""
    source = Source(stack.catalog, rules.read(stack))
    return [build(source) for build in _BUILDERS]
