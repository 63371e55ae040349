"""The alerts of the deployed rule files as Prometheus fires them, and what the inhibitions make of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.components import alertmanager
from infra.stack import Stack
from tests.alerting.platform import Alert
from tests.rules import harness

Labels = Mapping[str, str]

_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


def every_alert(stack: Stack) -> list[Alert]:
    """One alert for each case of tests/rules/cases, with the annotations of its rule."""
    rules = [rule for rule in harness.deployed_rules(stack) if "alert" in rule]
    return [_alert(case, rules) for case in harness.cases().values() if any(r["alert"] == case.alert for r in rules)]


def _alert(case: harness.Case, rules: list[harness.Rule]) -> Alert:
    rule = harness.rule_of(case, rules)
    return Alert({"alertname": case.alert, **case.labels}, harness.annotations_of(case, rule), str(rule["expr"]))


def made_up(alertname: str, severity: str, summary: str = "", **labels: str) -> Alert:
    """An alert of no rule file, with annotations of the form that rules have."""
    links = {
        "runbook_url": f"https://runbooks.example.com/{alertname}.md",
        "dashboard_url": f"http://localhost:3000/d/system-health?var-service={labels.get('service', '')}",
    }
    text = summary or f"{labels.get('service', 'something')} has {alertname}."
    return Alert(
        {"alertname": alertname, "severity": severity, **labels},
        {"summary": text, "description": "Customers notice.", **links},
    )


@dataclass(frozen=True)
class Inhibition:
    """One inhibit rule of Alertmanager's configuration."""

    source: tuple[tuple[str, str, str], ...]
    target: tuple[tuple[str, str, str], ...]
    equal: tuple[str, ...]

    def is_cause(self, labels: Labels) -> bool:
        return _matches(self.source, labels)

    def is_target(self, labels: Labels) -> bool:
        return _matches(self.target, labels)

    def silences(self, cause: Labels, other: Labels) -> bool:
        """Whether `cause` silences `other`, as Alertmanager 0.26 decides it."""
        if not (self.is_cause(cause) and self.is_target(other)):
            return False
        # What is on both sides of a rule is not silenced by another of that kind.
        if self.is_target(cause) and self.is_cause(other):
            return False
        return all(cause.get(name, "") == other.get(name, "") for name in self.equal)


@dataclass(frozen=True)
class Inhibitions:
    """The inhibit rules of a stack."""

    stack: Stack

    @cached_property
    def rules(self) -> tuple[Inhibition, ...]:
        config = alertmanager.config(self.stack, pagerduty_is_real=False)
        return tuple(
            Inhibition(
                _matchers(rule["source_matchers"]), _matchers(rule["target_matchers"]), tuple(rule.get("equal", ()))
            )
            for rule in config["inhibit_rules"]
        )

    def silences(self, cause: Labels, other: Labels) -> bool:
        return any(rule.silences(cause, other) for rule in self.rules)

    def apart(self, alerts: Iterable[Alert]) -> list[list[Alert]]:
        """The alerts in as few batches as a simple search finds, none silencing another of its batch."""
        batches: list[list[Alert]] = []
        for alert in alerts:
            place = next((batch for batch in batches if not self._meet(alert, batch)), None)
            if place is None:
                batches.append([alert])
            else:
                place.append(alert)
        return batches

    def _meet(self, alert: Alert, batch: Iterable[Alert]) -> bool:
        return any(
            self.silences(alert.labels, other.labels) or self.silences(other.labels, alert.labels) for other in batch
        )


def matchers_of(text: str) -> dict[str, str]:
    """The label values a list of equality matchers such as `{a="b", c="d"}` asks for; AssertionError for others."""
    assert text.startswith("{"), text
    assert text.endswith("}"), text
    found = {}
    for part in text[1:-1].split(", "):
        match = _MATCHER.fullmatch(part)
        assert match is not None, text
        assert match[2] == "=", text
        found[match[1]] = match[3]
    return found


def _matchers(texts: Iterable[Any]) -> tuple[tuple[str, str, str], ...]:
    found = []
    for text in texts:
        match = _MATCHER.fullmatch(str(text))
        assert match is not None, f"{text!r} is no matcher"
        found.append((match[1], match[2], match[3]))
    return tuple(found)


def _matches(matchers: Iterable[tuple[str, str, str]], labels: Labels) -> bool:
    return all(_holds(operator, value, labels.get(name, "")) for name, operator, value in matchers)


def _holds(operator: str, wanted: str, value: str) -> bool:
    if operator in ("=", "!="):
        return (value == wanted) == (operator == "=")
    return bool(re.fullmatch(wanted, value)) == (operator == "=~")
