"""The thresholds of a stack as they are deployed, each with its rule and with what the rule compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra import assembly, documents, rules
from infra.stack import Stack
from operate import replay
from operate.rebaseline.separate import Separated, separate
from operate.replay import Rule

# Which alert is heard first.
_RANK = {"info": 0, "warning": 1, "critical": 2}
_INTEGRITY = "money and the order of events are right or wrong, whatever is usual"


@dataclass(frozen=True)
class Levels:
    """A threshold: `default`, and what a service has instead of it."""

    default: float
    by_service: Mapping[str, float]

    def of(self, service: str) -> float:
        """The threshold of a service."""
        return self.by_service.get(service, self.default)

    def with_(self, service: str, value: float) -> Levels:
        """The same with another value for one service, or for those that have none of their own (rules.EVERY)."""
        if service == rules.EVERY:
            return replace(self, default=value)
        return replace(self, by_service={**self.by_service, service: value})

    def values(self) -> list[float]:
        """Every threshold there is."""
        return [self.default, *self.by_service.values()]


@dataclass(frozen=True)
class Case:
    """One threshold. `limit` is the reason why history cannot change it, None where it is a baseline.

    `muted` are the services for which the alert is silent; rules.EVERY stands for all.
    """

    alert: str
    unit: str
    severity: str
    symptom: bool
    limit: str | None
    levels: Levels
    muted: frozenset[str]
    rule: Rule
    separated: Separated

    @property
    def above(self) -> bool:
        """Whether the alert fires above its threshold."""
        return self.separated.comparisons[0].above

    @property
    def subjects(self) -> frozenset[str]:
        """What the rule compares, as PromQL."""
        return frozenset(comparison.subject for comparison in self.separated.comparisons)

    def outranks(self, other: Case) -> bool:
        """Whether this alert is the more severe one of two about the same quantity."""
        same = self.above == other.above and bool(self.subjects & other.subjects)
        return same and _RANK[self.severity] > _RANK[other.severity]

    def expr(self, levels: Levels) -> str:
        """The rule's expression with other thresholds."""
        selector = f'alert:threshold{{alert="{self.alert}"}}'
        return self.rule.expr.replace(
            selector, f"({rules.threshold_expr({rules.EVERY: levels.default, **levels.by_service})})"
        )


def read(stack: Stack) -> list[Case]:
    """Every threshold of the stack, in the order of thresholds.yml. Raises InputError."""
    workloads = assembly.workloads(stack)
    alerting = rules.load(stack, workloads)
    found = {rule["alert"]: rule for _, rule in alerting.alerts}
    texts = [documents.dump(document) for document in rules.deployed(stack, workloads).values()]
    deployed = {rule.name: rule for rule in replay.read(texts, stack.settings.scrape_interval_seconds) if rule.alerting}
    return [_case(alerting, alert, found[alert]["labels"], deployed[alert]) for alert in alerting.thresholds]


def _case(alerting: rules.Alerting, alert: str, labels: Mapping[str, Any], rule: Rule) -> Case:
    threshold = alerting.thresholds[alert]
    tuning = alerting.tuning.get(alert, {})
    values = {service: tuned.threshold for service, tuned in tuning.items() if tuned.threshold is not None}
    default = values.pop(rules.EVERY, threshold.threshold)
    return Case(
        alert=alert,
        unit=threshold.unit,
        severity=str(labels["severity"]),
        symptom=labels.get("symptom") == "yes",
        limit=threshold.limit or (_INTEGRITY if labels.get("category") == "integrity" else None),
        levels=Levels(default, values),
        muted=frozenset(service for service, tuned in tuning.items() if tuned.mute is not None),
        rule=rule,
        separated=separate(rule.expr, alert),
    )
