"""`make drill DELIVERY=1`: breaks nothing, and sends an alert that says so to every receiver of the teams.

It is what can be drilled where customers are served: whether Slack, PagerDuty and mail take what Alertmanager sends
them today, with today's keys and channels. What stands before Alertmanager is drilled on dev and staging.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from infra.errors import InputError
from infra.stack import Stack
from operate import pages
from operate.documents import routes
from operate.documents.alert_test_plan import Plan
from operate.progress import until_nothing_is_left

NAME = "DeliveryDrill"
# Info waits for the digest of the day.
SEVERITIES = ("critical", "warning")
# Longer than a group of warnings waits, and its first tries take.
_SECONDS = 180
_INTEGRATIONS = {"PagerDuty": "pagerduty", "Slack": "slack", "e-mail": "email"}


class Alertmanagers(Protocol):
    """The Alertmanagers of a stack."""

    def send(self, alerts: list[dict[str, Any]]) -> None: ...

    def counters(self) -> dict[tuple[str, str], float]:
        """Sums of alertmanager_notifications(_failed)_total by ("sent" or "failed", integration)."""
        ...


@dataclass(frozen=True)
class Sent:
    """One alert, and the channels that its receivers have."""

    labels: dict[str, str]
    channels: tuple[str, ...]


def planned(plan: Plan) -> list[Sent]:
    """One alert for each team and severity."""
    found = []
    for team in plan.stack.catalog.teams:
        for severity in SEVERITIES:
            labels = {"alertname": NAME, "severity": severity, "team": team, "service": "monitoring"}
            ways = routes.ways(plan.config, labels)
            channels = dict.fromkeys(channel for way in ways for channel in way.channels)
            # `drill` keeps the alerts of two drills of a day apart.
            found.append(Sent({**labels, "drill": f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"}, tuple(channels)))
    return found


def run(stack: Stack, site: Alertmanagers, yes: bool) -> int:
    """Send them and wait until Alertmanager has delivered each; without `yes` only tell whom it would reach.

    Raises InputError where something is not delivered in three minutes.
    """
    plan = Plan(stack)
    alerts = planned(plan)
    for sent in alerts:
        print(f"  {sent.labels['team']:12} {sent.labels['severity']:9} {', '.join(sent.channels)}")
    if not yes:
        print(f"nothing was sent; `make drill STACK={stack.name} DELIVERY=1 YES=1` sends these, pages among them")
        return 0
    before, began = site.counters(), time.time()
    site.send(list(_bodies(stack, alerts)))
    wanted = _wanted(alerts)

    def left() -> list[str]:
        now = site.counters()
        failed = {name for (kind, name), value in now.items() if kind == "failed" and value > before[kind, name]}
        if failed:
            raise InputError(
                f"Alertmanager could not deliver by {', '.join(sorted(failed))}; its log says why, and the alert "
                "NotificationsFailing tells when it is lasting."
            )
        # Each attempt is counted when it begins, and again as failed where it ends so.
        taken = {name: now["sent", name] - before["sent", name] for name in wanted}
        return [
            f"{name} has delivered {taken[name]:.0f} of {count}"
            for name, count in wanted.items()
            if taken[name] < count
        ]

    until_nothing_is_left(left, _SECONDS, lambda _left: "; Alertmanager's log says why.")
    took = time.time() - began
    rows = [[sent.labels["team"], sent.labels["severity"], ", ".join(sent.channels)] for sent in alerts]
    verdict = f"{sum(wanted.values())} messages were taken by {', '.join(wanted)} within {took:.0f} s."
    print(f"{verdict} Ask each team whether it has seen its own; the alerts end by themselves.")
    table = pages.Table(("team", "severity", "channels"), rows)
    page = pages.Page(f"Delivery drill of stack {stack.name}", verdict, [pages.Section("Sent", (), [table])])
    figures = {"began": began, "seconds": took, "messages": wanted}
    print(f"page: {pages.shown(pages.write(stack.name, 'delivery', page, figures))}")
    return 0


def _wanted(alerts: list[Sent]) -> dict[str, int]:
    """Messages by Alertmanager's name of the integration."""
    found: dict[str, int] = {}
    for sent in alerts:
        for channel in sent.channels:
            name = _INTEGRATIONS[channel.split()[0]]
            found[name] = found.get(name, 0) + 1
    return found


def _bodies(stack: Stack, alerts: list[Sent]) -> Iterator[dict[str, Any]]:
    ends = datetime.now(UTC) + timedelta(seconds=_SECONDS)
    for sent in alerts:
        yield {
            "labels": {**sent.labels, "environment": stack.settings.environment},
            "annotations": {
                "summary": "This is a drill: nothing is broken. Whoever reads this would have been told.",
                "description": "Sent by `make drill DELIVERY=1` to see that messages arrive. Nothing is to be done.",
                "runbook_url": f"{stack.settings.runbook_url}/../ALERT_TEST_PLAN.md",
                "dashboard_url": f"{stack.grafana_url}/d/alerting",
            },
            "endsAt": ends.isoformat(),
            "generatorURL": stack.grafana_url,
        }
