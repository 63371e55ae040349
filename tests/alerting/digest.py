"""The scenes of the daily digest and of grouping."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from infra.stack import Stack
from tests.alerting.alerts import every_alert, made_up, matchers_of
from tests.alerting.links import silence_filter, slack_links
from tests.alerting.platform import Alert, Platform
from tests.alerting.scene import Scene, wait_for

Message = dict[str, Any]


@dataclass(frozen=True)
class Digested:
    """What reached the teams in the minute in which the digest leaves."""

    stack: Stack
    alerts: list[Alert]
    messages: list[Message]


def a_digest_of_every_team(folder: Path) -> Digested:
    """Every info alert of the rule files, and two more for each team, with the window open."""
    # A minute early: the clock may step over the window's end of the day, never over its beginning.
    opened = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%H:%M")
    with Platform(folder, overrides={"digestTime": opened}) as platform:
        teams = platform.stack.catalog.teams
        alerts = [alert for alert in every_alert(platform.stack) if alert.labels["severity"] == "info"]
        alerts += [
            made_up(f"Note{n}", "info", f"{team} > note {n} & more", team=team, service=f"of-{team}")
            for team in teams
            for n in (1, 2)
        ]
        platform.fire(alerts)
        wait_for(lambda: len(platform.inbox.kept()) >= 2 * len(teams), 45)
        wait_for(lambda: len(platform.inbox.kept()) > 2 * len(teams), 5)
        return Digested(platform.stack, alerts, platform.inbox.kept())


@dataclass(frozen=True)
class Grouped:
    """Ten alerts of one service and name beside one of another service; then a silence from a message's link."""

    messages: list[Message]
    silenced: set[str]
    heard: set[str]


def ten_alerts_of_one_name(folder: Path) -> Grouped:
    """The same fault on ten instances of one service, and on one instance of another."""
    with Platform(folder) as platform:
        crowd = [
            made_up(
                "InstanceBroken",
                "critical",
                f"crowd {n} is broken.",
                team="trading",
                service="crowd",
                instance=f"crowd-{n}",
            )
            for n in range(10)
        ]
        single = made_up(
            "InstanceBroken", "critical", "single is broken.", team="trading", service="single", instance="single"
        )
        platform.fire([*crowd, single])
        wait_for(lambda: len(platform.inbox.kept()) >= 4, 15)
        wait_for(lambda: len(platform.inbox.kept()) > 4, 5)
        messages = platform.inbox.kept()
        of_crowd = next(m for m in messages if m["channel"] == "slack" and "crowd" in m["title"])
        _silence(platform, silence_filter(slack_links(of_crowd)["Silence"]))
        api = f"{platform.alertmanager_url}/api/v2/alerts"
        # The state is worked out when the alert is next looked at.
        wait_for(lambda: bool(requests.get(api, params={"active": "false"}, timeout=5).json()), 10)
        states = {"silenced": set[str](), "heard": set[str]()}
        for alert in requests.get(api, timeout=5).json():
            state = "silenced" if alert["status"]["silencedBy"] else "heard"
            states[state].add(alert["labels"]["instance"])
        return Grouped(messages, states["silenced"], states["heard"])


def _silence(platform: Platform, text: str) -> None:
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers_of(text).items()
    ]
    now = datetime.now(UTC)
    body = {
        "matchers": matchers,
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "on-call",
        "comment": "known",
    }
    answer = requests.post(f"{platform.alertmanager_url}/api/v2/silences", json=body, timeout=5)
    assert answer.ok, answer.text


DIGEST = Scene(a_digest_of_every_team)
GROUPED = Scene(ten_alerts_of_one_name)
