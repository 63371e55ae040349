"""Progress lines on long work."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print `what ...`, and how many seconds it took once it is done."""
    print(f"{what} ...", flush=True)
    start = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - start:.1f} s", flush=True)


def loud(message: str) -> None:
    """A line that must not be overlooked."""
    bold, plain = ("\033[1;33m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"{bold}NOTE: {message}{plain}", flush=True)
