"""Plays the scenes of this room's collected tests side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.alerting import scene
from tests.running import after_starts


@pytest.fixture(scope="session", autouse=True)
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin every scene once; one after the other they would take a quarter of an hour."""
    after_starts()
    found = scene.scenes(request.session, str(__package__))
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        for each in found:
            each.begin(pool, tmp_path_factory.mktemp(each.name))
        yield
