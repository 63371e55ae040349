"""What must get through: a receiver that fails, a configuration that is refused, and the heartbeat."""

from collections import Counter

import pytest

from tests.alerting.edits import EDITED, SUCCESSFUL, WATCHED
from tests.alerting.restarts import RESTARTED
from tests.alerting.scene import Scene
from tests.alerting.troubles import ERROR, FIRED_AGAIN, HANG, HEART, HEARTBEAT_TIMEOUT, ROUND, UNSEEN, Outlived
from tests.alerting.turns import ALERTS, STILL, TURNS
from tests.conftest import Figure
from tests.running import PATIENCE

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
    assert seen.seconds_to_page < 15 * PATIENCE
    assert seen.slack_meanwhile == 0
    assert Counter(seen.slack_later) == everything
    assert sum(seen.failed.values()) >= 3
    assert sum(seen.requests_failed.values()) >= 3


def test_what_ended_unseen_and_fires_again_pages_at_the_next_repeat(figure: Figure) -> None:
    """Into the same incident, which PagerDuty opens anew where somebody has closed it by hand."""
    seen = UNSEEN.result()
    assert seen.deployed == "30m", "an hour in which nobody is told of a stalled engine must not be"
    assert seen.early == 0, "it is no repeat: the test shows nothing"
    assert len(seen.incidents) == 1
    figure(f"an alert that ended unseen pages again {seen.seconds:.0f} s later where the repeat interval is a minute")
    assert seen.seconds < 150


def test_what_fires_again_soon_is_told_within_a_round(figure: Figure) -> None:
    """Though its group is still there."""
    seen = FIRED_AGAIN.result()
    figure(f"{ROUND} pages that fired again soon after their end came in {seen.seconds:.0f} s")
    assert seen.first == dict.fromkeys(seen.first, 1)
    assert seen.all == dict.fromkeys(seen.first, 2)
    assert len(seen.first) == ROUND
    assert seen.seconds < ROUND + 5 * PATIENCE


def test_three_alertmanagers_tell_what_two_prometheus_say_once(figure: Figure) -> None:
    """But for what an Alertmanager forgets between the two ends, as it does of what is over each half minute."""
    seen = TURNS.result()
    if len(seen.judged) < ALERTS / 2:
        pytest.skip(f"the machine stood still for longer than {STILL:g} s at a time, so replicas missed their turns")
    again = {name for name in seen.judged if (seen.firing[name], seen.resolved[name]) != (1, 1)}
    figure(f"{len(seen.judged)} alerts that two Prometheus told three Alertmanagers apart: {len(again)} told again")
    assert all(seen.firing[name] and seen.resolved[name] for name in seen.judged)
    # With rounds of 5 s, or turns of 15 s, it is more than half of them.
    assert len(again) < len(seen.judged) / 3


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
    assert EDITED.result().believed == []


def test_the_heart_beats_each_minute_and_stops_with_the_watchdog(figure: Figure) -> None:
    seen = HEART.result()
    figure(f"beats {seen.gap:.0f} s apart; stopped {seen.seconds_to_stop:.0f} s after the Watchdog was over")
    assert seen.first
    assert seen.gap < HEARTBEAT_TIMEOUT
    assert seen.stopped
    assert seen.messages == 0, "a heartbeat is nobody's message"
