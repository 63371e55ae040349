"""The scene in which every alert fires and is over again, and what it should bring to whom."""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.stack import Stack
from tests.alerting.alerts import Inhibitions, every_alert, made_up
from tests.alerting.platform import Alert, Platform, stack_of
from tests.alerting.scene import Scene, wait_for

Message = dict[str, Any]
WATCHDOG = "Watchdog"
# No team, a team that is gone from the catalog, and severities that no rule has.
ODD = [
    made_up("OddNoTeam", "critical", service="odd-a"),
    made_up("OddUnknownTeam", "critical", service="odd-b", team="department-of-gone"),
    made_up("OddNoTeamWarning", "warning", service="odd-c"),
    made_up("OddNoTeamInfo", "info", service="odd-d"),
    made_up("OddNoService", "critical", team="finance"),
    made_up("OddSecurity", "critical", service="odd-e", team="finance", category="security"),
    made_up("OddSecurityWarning", "warning", service="odd-f", team="trading", category="security"),
    made_up("OddSecurityOwn", "critical", service="odd-g", team="security", category="security"),
    made_up("OddSecurityNoTeam", "critical", service="odd-h", category="security"),
    made_up("OddSeverity", "catastrophic", service="odd-i", team="database"),
]


@dataclass(frozen=True)
class Routed:
    """What every alert brought: firing, then over; and how often the heart beat."""

    stack: Stack
    alerts: list[Alert]
    fired: list[Message]
    resolved: list[Message]
    heart: dict[str, Any]
    seconds_to_page: float


def owner(stack: Stack, alert: Alert) -> str:
    """The team that answers for an alert; the platform team for what nobody else does."""
    team = alert.labels.get("team", "")
    return team if team in stack.catalog.teams else "platform"


def wanted(stack: Stack, alert: Alert) -> Counter[tuple[str, str]]:
    """How many messages an alert brings by channel and receiver, as the specification has it.

    The receiver is a Slack channel, or the team in `group` of a PagerDuty event.
    """
    severity, team = alert.labels["severity"], owner(stack, alert)
    if severity == "info" or alert.labels["alertname"] == WATCHDOG:
        return Counter()
    teams = {team} | ({"security"} if alert.labels.get("category") == "security" else set())
    found = Counter({("slack", stack.catalog.teams[team].slack_channel): 1 for team in teams})
    return found + Counter({("pagerduty", team): 1 for team in teams if severity == "critical"})


def to_whom(message: Message) -> tuple[str, str]:
    """Channel and receiver of a message that arrived."""
    if message["channel"] == "pagerduty":
        return "pagerduty", message["raw"].get("payload", {}).get("group", "")
    return message["channel"], message["receiver"]


def named(message: Message) -> str:
    """The alert's name in a message of one group."""
    return str(message["alerts"][0]["alertname"]) if message["alerts"] else ""


def far_from_now() -> str:
    """A digest time whose window is not open."""
    return (datetime.now(UTC) + timedelta(hours=12)).strftime("%H:%M")


def every_alert_in_turn(folder: Path) -> Routed:
    """Fires all of them, on as many Alertmanagers as it takes for none to silence another."""
    stack = stack_of()
    alerts = [*every_alert(stack), *ODD]
    total = sum(wanted(stack, alert).total() for alert in alerts)
    with ExitStack() as running:
        first = running.enter_context(Platform(folder / "0", overrides={"digestTime": far_from_now()}))
        batches = Inhibitions(stack).apart(alerts)
        platforms = [first]
        for number in range(1, len(batches)):
            overrides = {"digestTime": far_from_now()}
            platform = Platform(folder / str(number), overrides=overrides, inbox=first.inbox)
            platforms.append(running.enter_context(platform))
        for platform, batch in zip(platforms, batches, strict=True):
            platform.fire(batch)
        inbox = first.inbox
        to_page = wait_for(lambda: len(inbox.kept(channel="pagerduty")) >= _pages(stack, alerts), 20)
        wait_for(lambda: len(inbox.kept()) >= total, 50)
        # Whatever is one too many comes now.
        wait_for(lambda: len(inbox.kept()) > total, 5)
        fired = inbox.kept()
        for platform, batch in zip(platforms, batches, strict=True):
            platform.resolve(batch)
        wait_for(lambda: len(inbox.kept(channel="pagerduty", status="resolved")) >= _pages(stack, alerts), 75)
        # A warning's group is looked at each five minutes, and at once when the configuration is read anew.
        for platform in platforms:
            assert platform.reload().ok
        wait_for(lambda: len(inbox.kept()) >= 2 * total, 30)
        wait_for(lambda: len(inbox.kept()) > 2 * total, 5)
        later = {message["id"] for message in fired}
        resolved = [message for message in inbox.kept() if message["id"] not in later]
        return Routed(stack, alerts, fired, resolved, inbox.heart(), to_page)


def _pages(stack: Stack, alerts: Iterable[Alert]) -> int:
    return sum(n for a in alerts for (channel, _), n in wanted(stack, a).items() if channel == "pagerduty")


EVERY_ALERT = Scene(every_alert_in_turn)
