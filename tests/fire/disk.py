"""The scenes in which Prometheus' disk is full, or what is written on it is damaged."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.alerting.pod import SCRIPTS
from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import FIRST, FULL, SECOND, missing, stage

# Seconds for which the volume stays full: in the long form until the heartbeat's receiver has noticed.
_FULL_FOR = 600 if FULL else 30
_MIB = 40


@dataclass(frozen=True)
class Filled:
    """With `FIRST` paged for, the volume filled as `SECOND` stopped. Seconds, and counts of messages."""

    full_for: float
    pages: dict[str, int]
    page: float | None  # of SECOND
    page_while_full: bool
    ends: int  # of FIRST, which had not ended
    heart_stopped: float | None  # from the fault; None where it did not stop in that time
    recorded_again: float  # from the room
    samples_before: int
    samples_lost: int
    corruptions: float  # of the log, found by a start that followed
    lost_later: int  # samples that were there before that start, and not after it


@contextmanager
def _volume(folder: Path) -> Iterator[Path]:
    """The folder of Prometheus' data as a file system of its own."""
    data = folder / "prometheus/prometheus"
    data.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={_MIB}m", "tmpfs", data), check=True)
    try:
        yield data
    finally:
        subprocess.run(("umount", "--lazy", data), check=True)


def full_disk(folder: Path) -> Filled:
    """Prometheus as Docker runs it: it goes on with a volume that takes nothing."""
    return _filled(folder, lambda _data: ())


def full_disk_on_a_cluster(folder: Path) -> Filled:
    """Prometheus as a cluster runs it: the script that stops it until there is room."""
    return _filled(folder, lambda data: ("sh", str(SCRIPTS / "start.sh"), str(data)))


def _filled(folder: Path, runs: Callable[[Path], Sequence[str]]) -> Filled:
    with _volume(folder) as data, stage(folder, before={"prometheus": runs(data)}) as found:
        platform = found.platform
        first = found.stop(FIRST)
        assert found.paged(FIRST, first) is not None
        before = found.samples(120)
        _fill(data / "ballast")
        full, second = time.time(), found.stop(SECOND)
        stopped: list[float] = []

        def watch() -> bool:
            if not stopped and not platform.inbox.heart()["beating"]:
                stopped.append(time.time() - full)
            return bool(stopped) and FULL

        wait_for(watch, _FULL_FOR)
        page_while_full = bool(found.told(SECOND))
        (data / "ballast").unlink()
        room = time.time()
        again = "max(timestamp(up))"
        wait_for(lambda: any(float(each["value"][1]) > room for each in found.query(again)), 90)
        recorded = time.time() - room
        page = found.paged(SECOND, second, 120)
        after = found.samples(int(time.time() - first) + 180)
        since = after
        if runs(data):
            platform.restart("prometheus", meanwhile=lambda: None)
        else:
            platform.kill("prometheus")
            platform.start("prometheus")
        corruptions = found.metric("prometheus_tsdb_wal_corruptions_total")
        after = found.samples(int(time.time() - first) + 180)
        later = missing(since, after)
        return Filled(
            full_for=room - full,
            pages={name: len(found.told(name)) for name in (FIRST, SECOND)},
            page=page,
            page_while_full=page_while_full,
            ends=len(found.told(FIRST, "resolved")),
            heart_stopped=next(iter(stopped), None),
            recorded_again=recorded,
            samples_before=sum(map(len, before.values())),
            samples_lost=missing(before, after),
            corruptions=corruptions,
            lost_later=later,
        )


def _fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


@dataclass(frozen=True)
class Damaged:
    """The log damaged after a kill with `FIRST` paged for and `SECOND` pending. Seconds, and counts."""

    said: str
    corruptions: float
    samples_before: int
    samples_lost: int
    pages: dict[str, int]
    page: float | None
    blind: float
    ends: int
    told: float | None  # PlatformStorageFailing in Slack, from the start


def torn_log(folder: Path) -> Damaged:
    """The last segment ends in the middle of a record, as after a power cut."""
    return _damaged(folder, lambda segment: os.truncate(segment, segment.stat().st_size - 100))


def garbage_in_the_log(folder: Path) -> Damaged:
    """Bytes in the middle of the last segment are others."""

    def overwrite(segment: Path) -> None:
        with segment.open("r+b") as file:
            file.seek(segment.stat().st_size // 2)
            file.write(os.urandom(256))

    return _damaged(folder, overwrite)


def _damaged(folder: Path, damage: Callable[[Path], None]) -> Damaged:
    with stage(folder) as found:
        platform = found.platform
        first = found.stop(FIRST)
        assert found.paged(FIRST, first) is not None
        second = found.stop(SECOND)
        assert found.until("pending", SECOND)
        before = found.samples(240)
        killed = time.time()
        platform.kill("prometheus")
        damage(max((folder / "prometheus/prometheus/wal").glob("0*")))
        platform.start("prometheus")
        started = time.time()
        blind = found.blind(killed)
        page = found.paged(SECOND, second)

        def told() -> list[float]:
            return list(found.told("prometheus", alert="PlatformStorageFailing", channel="slack"))

        wait_for(lambda: bool(told()), 120 if FULL else 75)
        after = found.samples(int(time.time() - killed) + 300)
        lines = [line for line in platform.log("prometheus").splitlines() if "level=warn" in line]
        return Damaged(
            said="\n".join(lines),
            corruptions=found.metric("prometheus_tsdb_wal_corruptions_total"),
            samples_before=sum(map(len, before.values())),
            samples_lost=missing(before, after),
            pages={name: len(found.told(name)) for name in (FIRST, SECOND)},
            page=page,
            blind=blind,
            ends=len(found.told(FIRST, "resolved")),
            told=next((at - started for at in told()), None),
        )


DISK = Scene(full_disk)
CLUSTER_DISK = Scene(full_disk_on_a_cluster)
TORN = Scene(torn_log)
GARBAGE = Scene(garbage_in_the_log)
