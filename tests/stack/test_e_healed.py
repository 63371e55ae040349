"""What test_b_faults.py broke and healed is told to be over; before other tests restart Alertmanager."""

from functools import partial

import pytest

from infra.dashboards.kit.limits import GOOD
from tests.running import eventually
from tests.stack.conftest import Live
from tests.stack.test_b_faults import BREAKS, SHOWN, Break, colours, firing, told


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.alert)
def test_resolved_once_healed(live: Live, each: Break) -> None:
    if live.broke_at is None:
        pytest.skip("nothing was broken in this run")
    eventually(f"{each.alert} ends", lambda: not firing(live, each), seconds=600)
    channels = ("pagerduty", "slack") if each.pages else ("slack",)
    for channel in channels:
        over = eventually(
            f"{each.alert} resolved on {channel}",
            partial(told, live, each, live.broke_at, channel, "resolved"),
            seconds=420,
        )
        assert len(over) == 1


@pytest.mark.parametrize("alert", SHOWN)
def test_what_was_red_is_green_again(live: Live, alert: str) -> None:
    if live.broke_at is None:
        pytest.skip("nothing was broken in this run")
    eventually(f"{SHOWN[alert]} is green", lambda: colours(live, alert) == {GOOD}, seconds=120)
