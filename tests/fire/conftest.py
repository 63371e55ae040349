"""Plays the scenes of this room's collected tests side by side."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest

from tests.alerting import scene
from tests.fire import table
from tests.fire.stage import FULL, PATIENCE
from tests.fire.table import Row
from tests.running import after_starts

# Scenes mostly wait; with more of them at once this process answers too slowly for its own questions.
_AT_ONCE = 6
# These come when the others are over: one has targets that may not be late once, and two work rather than wait, so that
# nobody's figures are theirs.
_ALONE = ("no_names", "all_at_once", "ten_thousand_alerts")
_PROPERTY = "fault"

Record = Callable[[Row], None]


@pytest.fixture(scope="session", autouse=True)
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin every scene once."""
    after_starts()
    found = scene.scenes(request.session, str(__package__))
    alone = [each for each in found if each.name in _ALONE]
    others = [each for each in found if each.name not in _ALONE]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool, ThreadPoolExecutor(max_workers=1) as later:
        for each in others:
            each.begin(pool, tmp_path_factory.mktemp(each.name))
        later.submit(_over, others)
        for each in alone:
            each.begin(later, tmp_path_factory.mktemp(each.name))
        yield


def _over(played: Iterable[scene.Scene[Any]]) -> None:
    for each in played:
        # Its test says what went wrong.
        with suppress(BaseException):
            each.result(PATIENCE)


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Record:
    """Put a row into the table that is shown at the end, and that `make fire` writes."""
    return lambda row: record_property(_PROPERTY, json.dumps(asdict(row)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, also of tests that ran in another process."""
    # What failed is no figure.
    reports = terminalreporter.stats.get("passed", [])
    texts = [str(text) for report in reports for name, text in report.user_properties if name == _PROPERTY]
    rows = sorted((Row(**json.loads(text)) for text in texts), key=lambda row: row.place)
    if not rows:
        return
    terminalreporter.section("faults of the platform")
    for each in rows:
        named = zip(table.COLUMNS.values(), each.cells(), strict=True)
        terminalreporter.write_line("; ".join(f"{name}: {cell}" for name, cell in named if cell))
    if FULL:
        table.write(rows)
        terminalreporter.write_line(f"written to {table.PATH}")
