"""The scenes in which delivery breaks, and the heart stops."""

from dataclasses import dataclass
from pathlib import Path

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
    """For longer than Alertmanager tries one notification, which is a group_interval of one minute."""
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


ERROR = Scene(slack_answers_500)
HANG = Scene(slack_hangs)
HEART = Scene(the_heart_beats_and_stops)
