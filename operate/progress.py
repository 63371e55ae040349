"""Progress lines on long work."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra.errors import InputError


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print `what ...`, and how many seconds it took once it is done."""
    print(f"{what} ...", flush=True)
    start = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - start:.1f} s", flush=True)


def until_nothing_is_left(ask: Callable[[], list[str]], seconds: int, remedy: Callable[[list[str]], str]) -> None:
    """Ask each second what is left until nothing is, and print it when it changes.

    Raises InputError with what is left first and the `remedy` for it when the time is over.
    """
    start, said = time.monotonic(), ""
    while left := ask():
        line = f"waiting for {len(left)}: {', '.join(left[:3])}{' ...' if len(left) > 3 else ''}"
        if line != said:
            print(f"  [{time.monotonic() - start:3.0f} s] {line}", flush=True)
            said = line
        if time.monotonic() - start > seconds:
            raise InputError(f"after {seconds} s {left[0]}{remedy(left)}")
        time.sleep(1)


def loud(message: str) -> None:
    """A line that must not be overlooked."""
    bold, plain = ("\033[1;33m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"{bold}NOTE: {message}{plain}", flush=True)
