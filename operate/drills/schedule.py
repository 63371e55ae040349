"""Which drills may run beside each other: those that neither break the same thing nor silence each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from infra.components import simulator
from operate.documents import routes
from operate.documents.alert_test_plan import Alert, Plan
from operate.drills.watch import Active

# Seconds of a drill beside which others are worth while.
_LONG = 1900
# What such a fault is of stands behind the services; exchange-control breaks it, and with that the fault ends.
_BEHIND = "infrastructure"
# Faults after which a service gives no metrics, or other ones.
_DOWN = ("stop", "crash", "hang", "no_traffic", "host_down")


@dataclass(frozen=True)
class Schedule:
    """The drills of a plan against each other."""

    plan: Plan
    # By the names of the two: a course asks about each pair every second.
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _needs(self) -> dict[str, set[str]]:
        """What each service depends on."""
        return {service.name: set(service.dependencies) for service in self.plan.stack.catalog.services}

    def apart(self, one: Alert, other: Alert) -> bool:
        """Whether the two must not run at the same time, whatever `alone` says."""
        pair = min(one.name, other.name), max(one.name, other.name)
        if pair not in self._known:
            self._known[pair] = self._disturb(one, other)
        return self._known[pair]

    def _disturb(self, one: Alert, other: Alert) -> bool:
        a, b = one.drill, other.drill
        by_command = a.fault is None and b.fault is None and not a.series and not b.series
        return (
            other.name in a.apart
            or one.name in b.apart
            or (a.fault is not None and a.fault == b.fault)
            or (by_command and bool(_subjects(one) & _subjects(other)))
            # With Prometheus' container goes what was given to it.
            or (a.redeploys and bool(b.series))
            or (b.redeploys and bool(a.series))
            or self._hides(one, other)
            or self._hides(other, one)
            or self._silences(one, other)
            or self._silences(other, one)
        )

    def _hides(self, one: Alert, other: Alert) -> bool:
        """Whether the one takes down what the other is about, or what that depends on."""
        if one.drill.series or other.drill.series:
            return False
        about = _subjects(other)
        if one.drill.fault is None and _subjects(one) & about:
            return True  # with an exporter goes what is known of its store
        down = {*one.drill.stop, *one.drill.pause}
        if one.drill.fault is not None:
            service, _, fault = one.drill.fault.partition("/")
            down |= {service} if fault in _DOWN else set()
        return bool(down & about.union(*(self._needs.get(subject, set()) for subject in about)))

    def _silences(self, one: Alert, other: Alert) -> bool:
        return routes.silences(routes.silencing(self.plan.config, other.labels), one.labels, other.labels)

    def silenced_now(self, alert: Alert, active: list[Active]) -> str:
        """The alert that fires and would silence this one; empty without one."""
        able = routes.silencing(self.plan.config, alert.labels)
        for found in active:
            if found.labels["alertname"] != alert.name and routes.silences(able, found.labels, alert.labels):
                return found.labels["alertname"]
        return ""


def _subjects(alert: Alert) -> set[str]:
    drill = alert.drill
    by = simulator.CONTROL if drill.broken == _BEHIND else ""
    return {drill.broken, by, alert.labels.get("service", ""), *drill.stop, *drill.pause} - {""}


def order(alerts: list[Alert], schedule: Schedule) -> list[Alert]:
    """What waits for most of an hour first, then those that want to be alone, meanwhile; then the longest first.

    One that wants to be alone comes before what would keep it from beginning for most of an hour.
    """
    plan = schedule.plan
    by_length = sorted(alerts, key=lambda alert: -plan.within(alert) - alert.drill.history)
    alone = [alert for alert in by_length if alert.drill.alone]
    ordered: dict[str, Alert] = {}
    for alert in by_length:
        if not alert.drill.alone and plan.within(alert) >= _LONG:
            first = [other for other in alone if schedule.apart(alert, other)]
            ordered |= {each.name: each for each in (*first, alert) if each.name not in ordered}
    return list((ordered | {each.name: each for each in (*alone, *by_length) if each.name not in ordered}).values())
