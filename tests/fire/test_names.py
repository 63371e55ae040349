"""What is lost, and who is told, when no name resolves any more."""

import os

import pytest

from tests.fire.conftest import Record
from tests.fire.names import NAMELESS
from tests.fire.stage import FIRST, FULL, PATIENCE, SECOND
from tests.fire.table import Row, after, seconds

# Seconds. A scrape that takes 5 closes its connection: of targets that took nearly as long the share says nothing.
STANDS_STILL = 2.0


@pytest.mark.skipif(os.geteuid() != 0, reason="a resolver of their own needs root")
def test_no_name_resolves(row: Record) -> None:
    seen = NAMELESS.result(PATIENCE)
    row(
        Row(
            13,
            f"DNS silent for {seen.gone_for:.0f} s, one target restarted meanwhile",
            samples=f"0; {seen.up_share:.0%} of the scrapes of other targets went well",
            notifications=str(sum(count == 0 for count in seen.pages.values())),
            twice=str(sum(max(0, count - 1) for count in seen.pages.values())),
            blind=f"{seen.gone_for:.0f}; all well {seconds(seen.recovered)} s after its return",
            page=seconds(seen.page),
            tells=f"the heartbeat, missed{after(seen.heart_stopped, 'the fault')}"
            + "".join(f"; {title.split(': ')[0]}" for title in seen.told),
        )
    )
    assert seen.pages == {FIRST: 1, SECOND: 1}
    assert seen.up_share > 0.95 or seen.slowest > STANDS_STILL, "connections that are open need no name"
    assert seen.longest_gap < 40
    assert seen.recovered < 60
    if FULL:
        assert seen.told or seen.heart_stopped is not None, "nobody could be told, and nobody was told of that"
