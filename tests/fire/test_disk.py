"""What is lost, and who is told, when Prometheus' disk is full or its files are damaged."""

import os

import pytest

from tests.alerting.scene import Scene
from tests.fire.conftest import Record
from tests.fire.disk import CLUSTER_DISK, DISK, GARBAGE, TORN, Damaged, Filled
from tests.fire.stage import FIRST, FULL, PATIENCE, SECOND
from tests.fire.table import Row, after, seconds


def _filled(row: Record, scene: Scene[Filled], place: int, how: str) -> Filled:
    seen = scene.result(PATIENCE)
    heart = seen.heart_stopped
    row(
        Row(
            place,
            f"Prometheus' disk full for {seen.full_for:.0f} s, {how}",
            samples=f"{seen.samples_lost} of {seen.samples_before}; none recorded while full; "
            f"{seen.lost_later} of those since, by the next start",
            notifications=str(sum(count == 0 for count in seen.pages.values())),
            twice=f"{sum(max(0, count - 1) for count in seen.pages.values())}; {seen.ends} false ends",
            blind=seconds(seen.full_for + seen.recorded_again),
            page=f"{seconds(seen.page)}, of which full {seen.full_for:.0f}",
            tells="the alerts on disk space before; then the heartbeat, missed" + after(heart, "the disk was full"),
        )
    )
    assert seen.pages[SECOND] == 1
    # After four minutes without Prometheus, or five without a sample, what fires ends, and is told again afterwards.
    assert seen.ends <= (1 if FULL else 0)
    assert 1 <= seen.pages[FIRST] <= 1 + seen.ends
    assert seen.samples_before > 50
    assert seen.samples_lost == 0
    assert seen.recorded_again < 60
    if FULL:
        assert heart is not None, "alerting was blind and nobody was told"
    return seen


@pytest.mark.skipif(os.geteuid() != 0, reason="to mount a small file system needs root")
def test_a_full_disk(row: Record) -> None:
    seen = _filled(row, DISK, 4, "as on Docker")
    assert not seen.page_while_full
    # What was written half is in the log, and the next start drops what follows it: docs/TROUBLESHOOTING.md.
    assert seen.corruptions == 1
    assert seen.lost_later > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="to mount a small file system needs root")
def test_a_full_disk_on_a_cluster(row: Record) -> None:
    seen = _filled(row, CLUSTER_DISK, 5, "as on a cluster, one replica")
    assert not seen.page_while_full
    assert seen.lost_later == 0


def _damaged(row: Record, scene: Scene[Damaged], place: int, fault: str) -> Damaged:
    seen = scene.result(PATIENCE)
    row(
        Row(
            place,
            fault,
            samples=f"{seen.samples_lost} of {seen.samples_before}",
            notifications=str(sum(count == 0 for count in seen.pages.values())),
            twice=str(sum(max(0, count - 1) for count in seen.pages.values())),
            blind=seconds(seen.blind),
            page=seconds(seen.page),
            tells=f"PlatformStorageFailing in Slack{after(seen.told)}",
        )
    )
    assert "WAL" in seen.said, seen.said
    assert seen.corruptions == 1
    assert seen.pages == {FIRST: 1, SECOND: 1}
    assert seen.ends == 0
    assert seen.told is not None
    return seen


def test_a_torn_log(row: Record) -> None:
    seen = _damaged(row, TORN, 6, "Prometheus killed, its write-ahead log torn in its last record")
    assert seen.samples_lost <= 1


def test_garbage_in_the_log(row: Record) -> None:
    seen = _damaged(row, GARBAGE, 7, "Prometheus killed, garbage in the middle of its write-ahead log")
    assert seen.samples_lost > 0, "nothing was damaged"
