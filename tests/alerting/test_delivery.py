"""What must get through: a receiver that fails, a configuration that is refused, and the heartbeat."""

from collections import Counter

import pytest

from tests.alerting.edits import EDITED, SUCCESSFUL, WATCHED
from tests.alerting.restarts import RESTARTED
from tests.alerting.scene import Scene
from tests.alerting.troubles import ERROR, HANG, HEART, HEARTBEAT_TIMEOUT, Outlived
from tests.conftest import Figure

# From a fault to the notification, in seconds: the platform's promise.
PROMISED = 60.0


@pytest.mark.parametrize("scene", [ERROR, HANG], ids=["500", "hanging"])
def test_nothing_is_lost_while_slack_fails(scene: Scene[Outlived], figure: Figure) -> None:
    seen = scene.result()
    figure(
        f"pages after {seen.seconds_to_page:.1f} s, Slack {seen.seconds_to_slack:.1f} s after it recovered; "
        f"failed {seen.failed}, requests failed {seen.requests_failed}"
    )
    everything = Counter(f"Outlives{number}" for number in range(4))
    assert Counter(seen.pages) == everything, "PagerDuty does not wait for Slack"
    assert seen.seconds_to_page < 15
    assert seen.slack_meanwhile == 0
    assert Counter(seen.slack_later) == everything
    assert sum(seen.failed.values()) >= 3
    assert sum(seen.requests_failed.values()) >= 3


@pytest.mark.parametrize("name", list(SUCCESSFUL))
def test_a_broken_edit_is_refused(name: str) -> None:
    seen = EDITED.result()
    assert 400 <= seen.refused[name] < 600
    assert seen.gauge[name] == 0


def test_a_prometheus_that_starts_pages_nobody() -> None:
    assert EDITED.result().early == []


def test_a_prometheus_that_starts_again_and_again_pages_nobody(figure: Figure) -> None:
    """Of a service that it could not scrape between its starts it knows nothing."""
    seen = RESTARTED.result()
    figure(f"{len(seen.unseen)} services unseen for 30 s when Prometheus had started for the last time")
    assert seen.unseen, "every service was scraped: the test shows nothing"
    assert seen.told == []
    assert seen.pages == []


def test_the_old_configuration_keeps_alerting(figure: Figure) -> None:
    seen = EDITED.result()
    assert seen.paged == [f"[FIRING] ServiceDown: {WATCHED} is down: no instance of it answers."]
    figure(f"page {seen.seconds_to_page:.1f} s after the service stopped, by the refused configurations' predecessors")
    assert seen.seconds_to_page < PROMISED


@pytest.mark.parametrize("name", list(SUCCESSFUL))
def test_a_mended_edit_is_taken(name: str) -> None:
    seen = EDITED.result()
    assert (seen.accepted[name], seen.gauge_after[name]) == (200, 1)


def test_what_ended_while_prometheus_was_away_is_over() -> None:
    """What it recorded before is still to be seen for five minutes, and must not be believed."""
    assert "firing" not in EDITED.result().believed


def test_the_heart_beats_each_minute_and_stops_with_the_watchdog(figure: Figure) -> None:
    seen = HEART.result()
    figure(f"beats {seen.gap:.0f} s apart; stopped {seen.seconds_to_stop:.0f} s after the Watchdog was over")
    assert seen.first
    assert seen.gap < HEARTBEAT_TIMEOUT
    assert seen.stopped
    assert seen.messages == 0, "a heartbeat is nobody's message"
