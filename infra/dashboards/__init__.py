"""Grafana's dashboards, one file each, and the panel helpers they share."""

from infra import rules
from infra.dashboards import system_health
from infra.dashboards.page import Page, Source
from infra.stack import Stack

HOME = "system-health"
_BUILDERS = (system_health.build,)


def pages(stack: Stack) -> list[Page]:
    """Every dashboard, in the order of a first reading. Raises InputError for bad rules or thresholds."""
    source = Source(stack.catalog, rules.read(stack))
    return [build(source) for build in _BUILDERS]
