"""The scenes in which delivery breaks, and the heart stops."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from infra import documents
from tests.alerting.alerts import made_up
from tests.alerting.platform import Platform
from tests.alerting.scene import Scene, wait_for

FAILED = "alertmanager_notifications_failed_total"
REQUESTS_FAILED = "alertmanager_notification_requests_failed_total"


@dataclass(frozen=True)
class Outlived:
    """What a Slack that does not take messages did to four alerts that fired meanwhile.

    Seconds are from firing to the page, and from recovery to the last Slack message.
    """

    pages: list[str]
    seconds_to_page: float
    slack_meanwhile: int
    slack_later: list[str]
    seconds_to_slack: float
    failed: dict[str, float]
    requests_failed: dict[str, float]


def slack_answers_500(folder: Path) -> Outlived:
    """For longer than Alertmanager tries one notification, which is ten seconds at least."""
    return _outlive(folder, "error")


def slack_hangs(folder: Path) -> Outlived:
    """For longer than Alertmanager waits for an answer."""
    return _outlive(folder, "hang")


def _outlive(folder: Path, mode: str) -> Outlived:
    with Platform(folder) as platform:
        inbox = platform.inbox
        assert inbox.behave("slack", mode) == 200
        names = [f"Outlives{number}" for number in range(4)]
        platform.fire([made_up(name, "critical", team="trading", service="s") for name in names[:3]])
        to_page = wait_for(lambda: len(inbox.kept(channel="pagerduty")) >= 3, 20)
        # One more in the midst of it.
        platform.fire(made_up(names[3], "critical", team="finance", service="s"))
        wait_for(lambda: sum(_of_slack(platform, FAILED).values()) >= 3, 80)
        failed, requests_failed = _of_slack(platform, FAILED), _of_slack(platform, REQUESTS_FAILED)
        meanwhile = len(inbox.kept(channel="slack"))
        assert inbox.behave("slack", "ok") == 200
        to_slack = wait_for(lambda: len(inbox.kept(channel="slack")) >= len(names), 60)
        wait_for(lambda: len(inbox.kept(channel="slack")) > len(names), 5)
        pages = [message["alerts"][0]["alertname"] for message in inbox.kept(channel="pagerduty")]
        later = [message["alerts"][0]["alertname"] for message in inbox.kept(channel="slack")]
        return Outlived(pages, to_page, meanwhile, later, to_slack, failed, requests_failed)


def _of_slack(platform: Platform, metric: str) -> dict[str, float]:
    series = platform.metric(platform.alertmanager_url, metric)
    return {labels: value for labels, value in series.items() if 'integration="slack"' in labels}


@dataclass(frozen=True)
class Again:
    """An alert that ended while Alertmanager was away, and fires again when that believes that it was told.

    `deployed` is the repeat interval of pages as deployed; here it is `SHORTER`. `seconds` are from the second firing
    to its page.
    """

    deployed: str
    early: int
    seconds: float
    incidents: set[str]


SHORTER = "1m"


def ends_unseen(folder: Path) -> Again:
    """The alert's end falls into a restart, which forgets what fires and keeps what was told."""
    with Platform(folder) as platform:
        told = {"channel": "pagerduty", "alertname": "EndsUnseen"}
        platform.fire(made_up("EndsUnseen", "critical", team="trading", service="s"))
        wait_for(lambda: bool(platform.inbox.kept(**told)), 20)
        platform.restart("alertmanager", meanwhile=lambda: None)
        routes = platform.path("/etc/alertmanager/alertmanager.yml")
        config = documents.load(routes.read_text())
        deployed, config["route"]["repeat_interval"] = config["route"]["repeat_interval"], SHORTER
        routes.write_text(documents.dump(config))
        assert platform.reload().ok
        platform.fire(made_up("EndsUnseen", "critical", team="trading", service="s"))
        wait_for(lambda: len(platform.inbox.kept(**told)) > 1, 15)
        early = len(platform.inbox.kept(**told)) - 1
        seconds = 15 + wait_for(lambda: len(platform.inbox.kept(**told)) > 1, 150)
        return Again(deployed, early, seconds, {note["raw"]["dedup_key"] for note in platform.inbox.kept(**told)})


@dataclass(frozen=True)
class Beats:
    """The heart while the Watchdog fires: age in seconds after the first beat, the second, and without more."""

    first: bool
    gap: float
    stopped: bool
    seconds_to_stop: float
    messages: int


HEARTBEAT_TIMEOUT = 64.0


def the_heart_beats_and_stops(folder: Path) -> Beats:
    """The Watchdog fires for two beats; then it is over, as when Prometheus is gone."""
    with Platform(folder, heartbeat_timeout=HEARTBEAT_TIMEOUT) as platform:
        inbox = platform.inbox
        watchdog = made_up("Watchdog", "none", team="platform", service="prometheus")
        platform.fire(watchdog)
        wait_for(lambda: bool(inbox.heart()), 10)
        first = inbox.heart()
        gap = wait_for(lambda: inbox.heart()["last_beat"] != first["last_beat"], 75)
        platform.resolve(watchdog)
        to_stop = wait_for(lambda: not inbox.heart()["beating"], HEARTBEAT_TIMEOUT + 10)
        return Beats(first["beating"], gap, not inbox.heart()["beating"], to_stop, len(inbox.kept()))


@dataclass(frozen=True)
class FiredAgain:
    """Pages told by service when all had fired once, and `seconds` from their firing again to the last page of it."""

    first: dict[str, int]
    all: dict[str, int]
    seconds: float


# As many as there are seconds in a round, and begun a second apart: one for each moment at which it may fire again.
ROUND = 15


def fire_again(folder: Path) -> FiredAgain:
    """Soon after everybody was told of the end."""
    with Platform(folder) as platform:

        def told(status: str) -> dict[str, int]:
            kept = platform.inbox.kept(channel="slack", alertname="FiresAgain", status=status)
            return dict(Counter(alert["service"] for message in kept for alert in message["alerts"]))

        names = [f"s{number}" for number in range(ROUND)]
        alerts = {name: made_up("FiresAgain", "critical", team="trading", service=name) for name in names}
        for alert in alerts.values():
            platform.fire(alert)
            time.sleep(1)
        wait_for(lambda: len(told("firing")) == ROUND, 20)
        first = told("firing")
        platform.resolve(alerts.values())
        wait_for(lambda: len(told("resolved")) == ROUND, 2 * ROUND)
        # Prometheus says for a quarter of an hour that it is over: the group is there again, and was told just now.
        platform.resolve(alerts.values())
        time.sleep(6)
        platform.fire(replace(alert, started=datetime.now(UTC)) for alert in alerts.values())
        seconds = wait_for(lambda: sum(told("firing").values()) >= 2 * ROUND, 60)
        return FiredAgain(first, told("firing"), seconds)


ERROR = Scene(slack_answers_500)
HANG = Scene(slack_hangs)
FIRED_AGAIN = Scene(fire_again)
HEART = Scene(the_heart_beats_and_stops)
UNSEEN = Scene(ends_unseen)
