"""What takes minutes by the real configuration's own times is played at once, before the first test waits."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

Seen = TypeVar("Seen")


class Scene(Generic[Seen]):
    """A play on platforms of its own that returns what it saw; `result` waits for its end.

    A room's conftest.py begins its `scenes`.
    """

    def __init__(self, play: Callable[[Path], Seen]) -> None:
        self.name = play.__name__
        self._play = play
        self._seen: Future[Seen] | None = None

    def begin(self, pool: ThreadPoolExecutor, folder: Path) -> None:
        """Start playing below `folder`; once, however many modules have the scene."""
        if self._seen is None:
            self._seen = pool.submit(self._play, folder)

    def result(self, within: float = 300) -> Seen:
        """Raises what the play raised, or TimeoutError where it is not over after that many seconds."""
        assert self._seen is not None, "conftest.py did not begin this scene"
        return self._seen.result(within)


def scenes(session: pytest.Session, room: str) -> list[Scene[Any]]:
    """Every scene that a collected test module of the package `room` has as a global, once."""
    modules = {item.module for item in session.items if isinstance(item, pytest.Function)}
    own = (module for module in modules if module.__package__ == room)
    found = {id(value): value for module in own for value in vars(module).values() if isinstance(value, Scene)}
    return list(found.values())


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held, or until the time was up: the test says what was wanted."""
    begun = time.monotonic()
    while not condition() and time.monotonic() - begun < seconds:
        time.sleep(0.2)
    return time.monotonic() - begun
