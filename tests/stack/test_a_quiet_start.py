"""First of the live tests: a stack that has just started, with nothing wrong, tells nobody anything."""

import time

import pytest
import requests

from infra.dashboards.kit.limits import CRITICAL
from tests.running import SPREAD, eventually
from tests.stack import asking
from tests.stack.conftest import KEPT, Live


@pytest.mark.skipif(KEPT, reason="the stack was kept from an earlier run; its inbox is not new")
def test_cold_start_sends_no_notification(live: Live) -> None:
    # Longer than a scrape, `for` and group_wait together: what the start set off has been told by now.
    time.sleep(45)
    # A digest leaves at its hour of the day whatever happens.
    assert [told for told in live.notifications() if not told["title"].startswith("[DIGEST]")] == []
    assert live.query('ALERTS{alertstate="firing", severity=~"critical|warning"}') == []


def test_no_dashboard_opens_with_red(live: Live) -> None:
    def red() -> list[tuple[str, asking.Shown]]:
        return [
            (dashboard.uid, figure)
            for dashboard in asking.all_of(live)
            for figure in asking.shown(live, dashboard)
            if figure.colour == CRITICAL
            # The machine under the stack may have a full disk of its own.
            and "docker-host" not in figure.name
        ]

    if SPREAD:
        # An answer that came too late is no fault of the stack, and over at the next scrape.
        eventually("no figure is red", lambda: not red())
    else:
        assert red() == []


def test_the_heart_beats(live: Live) -> None:
    """Watchdog reaches the heartbeat address, so its silence would be noticed."""

    def beating() -> bool:
        hearts = requests.get(f"{live.inbox}/api/heartbeats", timeout=30).json()["heartbeats"]
        return any(heart["name"] == "watchdog" and heart["beating"] for heart in hearts)

    eventually("the watchdog beats", beating, seconds=90)
