"""How much is tried, for how long one try may take, and what the answer to bad input has to look like."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, configuration, settings

from infra.settings import cache_root

# `make bad-input` sets how many times the gate's number it tries.
_ASKED = os.environ.get("BAD_INPUT", "1")
if not re.fullmatch(r"[1-9]\d{0,3}", _ASKED):
    raise pytest.UsageError(f"TIMES={_ASKED} is no whole number from 1 to 9999; give one: make bad-input TIMES=10.")
TIMES = int(_ASKED)
LONG = TIMES > 1
# Beside the other caches, not in the working tree.
configuration.set_hypothesis_home_dir(str(cache_root() / "hypothesis"))

SECONDS = 60.0  # for one try: the slowest, a whole render, takes one on a free machine, and others may be working
LONGEST = 1000  # characters of a sentence; lists of what is known are the longest
# What every secret of the tries holds: no answer may repeat it.
CANARY = "c4n4ry-t0ken"

Profile = Callable[[Any], Any]


def tries(count: int) -> Profile:
    """So many examples of a test: the same ones in each run of the gate, new ones in each run of `make bad-input`."""
    return settings(
        max_examples=count * TIMES,
        derandomize=not LONG,
        database=None,
        deadline=None,
        # What a test sets up is put right after each try; large documents are the point.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=LONG,
    )


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """Raise AssertionError in what takes longer. Works in the main thread only, where pytest runs tests."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"no answer in {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hold_to_one_sentence(said: str, *names: str) -> None:
    """The house's form of an error: one line, a full stop, the place's name, no secret and nothing of the program's."""
    assert said, "nothing was said"
    assert "\n" not in said, f"several lines: {said!r}"
    assert said.endswith("."), f"no full stop: {said!r}"
    assert said.isprintable(), f"control characters: {said!r}"
    assert len(said) <= LONGEST, f"{len(said)} characters: {said[:200]!r} ..."
    assert CANARY not in said, f"a secret: {said!r}"
    assert "Traceback" not in said
    # The words of Python and its libraries for their own errors, which help nobody.
    assert not re.search(
        r"object has no attribute|NoneType|'type' object|unhashable type|line \d+, in <?\w+>?$", said
    ), said
    for name in names:
        assert name in said, f"does not name {name}: {said!r}"
