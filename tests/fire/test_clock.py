"""What is lost, and who is told, when the machine's clock is set."""

import pytest

from tests.alerting.scene import Scene
from tests.fire.clock import BACKWARDS, FORWARDS, OTHER_NODE, Jumped
from tests.fire.conftest import Record
from tests.fire.stage import FIRST, FULL, PATIENCE, SECOND
from tests.fire.table import Row, after, seconds
from tests.fire.vdso import can_be_set

pytestmark = pytest.mark.skipif(not can_be_set(), reason="to set a program's clock needs root on x86-64")


def _told(row: Record, scene: Scene[Jumped], place: int, fault: str, tells: str) -> Jumped:
    seen = scene.result(PATIENCE)
    row(
        Row(
            place,
            fault,
            samples=f"0; {seen.refused:.0f} refused",
            notifications=str(sum(count == 0 for count in seen.pages.values())),
            twice=f"{sum(max(0, count - 1) for count in seen.pages.values())}; {seen.ends} false ends",
            blind=seconds(seen.blind),
            page=seconds(seen.page),
            tells=tells,
        )
    )
    assert seen.pages[SECOND] == 1
    assert seen.pages[FIRST] >= 1
    assert seen.others == []
    return seen


def test_a_clock_an_hour_ahead(row: Record) -> None:
    seen = _told(row, FORWARDS, 10, "the clock set an hour ahead", "nothing, it is over at once")
    assert seen.blind < 40


def test_a_clock_set_back(row: Record) -> None:
    seen = BACKWARDS.result(PATIENCE)
    tells = (
        "nobody on one machine: the clock of Alertmanager, which keeps the heartbeat going, is set back too; "
        "on a cluster HostClockSkewed, by the replica on another node"
    )
    _told(row, BACKWARDS, 11, f"the clock set back by {-seen.jump:.0f} s", tells)
    # Nothing older than the newest sample is recorded: it is over when the clock is where it was.
    assert -seen.jump <= seen.blind < -seen.jump + 60
    assert seen.refused > 0
    # A gap that is known, of a single machine: on a cluster HostClockSkewed tells. Whoever closes it says so in the
    # table.
    assert seen.heart_stopped is None


def test_the_clock_of_another_node_set_back(row: Record) -> None:
    """What the replica on another node sees of it."""
    seen = OTHER_NODE.result(PATIENCE)
    row(
        Row(
            12,
            f"the clock of another node set back by {-seen.jump:.0f} s",
            tells=f"HostClockSkewed by PagerDuty{after(seen.page, 'the fault')}",
        )
    )
    assert seen.deviates == pytest.approx(seen.jump, abs=5)
    assert seen.pending is not None
    assert seen.others == []
    if FULL:
        assert seen.page is not None
        assert seen.page < 180
