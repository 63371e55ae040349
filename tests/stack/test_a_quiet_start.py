"""First of the live tests: a stack that has just started, with nothing wrong, tells nobody anything."""

import time

import pytest

from tests.stack.conftest import KEPT, Live


@pytest.mark.skipif(KEPT, reason="the stack was kept from an earlier run; its inbox is not new")
def test_cold_start_sends_no_notification(live: Live) -> None:
    # Longer than a scrape, `for` and group_wait together: what the start set off has been told by now.
    time.sleep(45)
    assert live.notifications() == []
    assert live.query('ALERTS{alertstate="firing"}') == []
