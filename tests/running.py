"""What the tests of both live stacks share: run a day-2 command, wait for an answer."""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from infra.settings import ROOT, cache_root

T = TypeVar("T")

# A spread run shares the machine's processors: there it may take longer until what is waited for comes.
SPREAD = "PYTEST_XDIST_WORKER" in os.environ
PATIENCE = 3 if SPREAD else 1


def operate(stack: str, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a day-2 command on a stack, with another PATH where one is given; a failing test shows its output."""
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "operate", "--stack", stack, *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said; fail with the end of it, where it failed."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@contextmanager
def starting(*, turn: int = 0) -> Iterator[None]:
    """A live stack starts: two at once would take longer than one after the other. `turn` 1 begins after `turn` 0."""
    with _locked("live-starts", fcntl.LOCK_SH):
        _others_begin(seconds=5 * turn)
        with _locked("live-start", fcntl.LOCK_EX):
            yield


def after_starts() -> None:
    """Wait until no live stack of this machine's tests is starting or about to."""
    _others_begin(seconds=10)
    with _locked("live-starts", fcntl.LOCK_EX):
        return


def _others_begin(seconds: float) -> None:
    """The processes of a spread run begin at the same time."""
    if SPREAD:
        time.sleep(seconds)


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, kind)
        yield


def eventually(what: str, ask: Callable[[], T], seconds: float = 60, every: float = 0.5) -> T:
    """Ask until the answer is truthy; fail with the last answer when the time is over. PATIENCE stretches both."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:.0f} s still not: {what} (last answer {answer!r:.2000})")
        time.sleep(every * PATIENCE)
