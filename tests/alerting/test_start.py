"""A tool on Kubernetes runs for as long as its volume takes writes: the script in busybox, on a small file system."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.alerting.pod import SCRIPTS, busybox
from tests.running import eventually

# What runs says when it starts and when it is ended, and ends by itself once there is a file `end`.
TOOL = 'trap "trap : TERM; echo ended; exit 0" TERM; echo started; while [ ! -e "$0/end" ]; do sleep 0.1; done; exit 3'


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB."""
    if os.geteuid():
        pytest.skip("to mount a small file system needs root")
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder), check=True)
    yield folder
    subprocess.run(("umount", folder), check=True)


@contextmanager
def running(volume: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """The script with the tool, and the file of what both said."""
    log = volume.parent / "log"
    command = (busybox(), "sh", str(SCRIPTS / "start.sh"), str(volume), "sh", "-c", TOOL, str(volume))
    with log.open("wb") as sink:
        script = subprocess.Popen(command, env={**os.environ, "INTERVAL": "0.2"}, stdout=sink, stderr=sink)
    try:
        yield script, log
    finally:
        script.kill()
        script.wait()


def said(log: Path, *words: str) -> None:
    """Wait until the lines that name what happened are these, in this order."""
    known = {"takes no more writes": "full", "has no room": "waits", "has room again": "room"}

    def lines() -> list[str]:
        return [next((short for long, short in known.items() if long in x), x) for x in log.read_text().splitlines()]

    try:
        eventually(f"it says {words}", lambda: lines() == list(words), seconds=10, every=0.05)
    finally:
        print(log.read_text())


def fill(volume: Path) -> None:
    subprocess.run(("dd", "if=/dev/zero", f"of={volume}/ballast", "bs=64k"), stderr=subprocess.DEVNULL, check=False)


def test_a_full_volume_stops_the_tool_until_there_is_space(volume: Path) -> None:
    with running(volume) as (script, log):
        said(log, "started")
        fill(volume)
        said(log, "started", "full", "ended", "waits")
        assert "No space left on device" in log.read_text()
        # What is freed is still too little to start on.
        os.truncate(volume / "ballast", 30 * 2**20)
        with pytest.raises(subprocess.TimeoutExpired):
            script.wait(1)
        said(log, "started", "full", "ended", "waits")
        (volume / "ballast").unlink()
        said(log, "started", "full", "ended", "waits", "room", "started")
        script.send_signal(signal.SIGTERM)
        assert script.wait(5) == 0
        said(log, "started", "full", "ended", "waits", "room", "started", "ended")


def test_a_signal_ends_the_waiting(volume: Path) -> None:
    fill(volume)
    with running(volume) as (script, log):
        said(log, "waits")
        script.send_signal(signal.SIGTERM)
        assert script.wait(5) == 0
        said(log, "waits")


def test_a_signal_before_the_tool_starts_is_not_forgotten(volume: Path) -> None:
    """The trying of the volume is held up by a pipe that nobody reads."""
    pipe = volume / ".takes-writes"
    os.mkfifo(pipe)
    with running(volume) as (script, log):
        with pipe.open("rb") as tried:
            script.send_signal(signal.SIGTERM)
            assert len(tried.read()) == 16 * 2**20
        assert script.wait(5) == 0
        said(log)


def test_the_end_of_the_tool_is_the_end_of_the_script(volume: Path) -> None:
    with running(volume) as (script, log):
        said(log, "started")
        (volume / "end").touch()
        assert script.wait(5) == 3
