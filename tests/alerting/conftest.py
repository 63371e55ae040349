"""Plays the scenes of all collected tests side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.alerting.scene import Scene
from tests.running import after_starts


@pytest.fixture(scope="session", autouse=True)
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin every scene once; one after the other they would take a quarter of an hour."""
    after_starts()
    modules = {item.module for item in request.session.items if isinstance(item, pytest.Function)}
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Scene)}
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        for scene in found.values():
            scene.begin(pool, tmp_path_factory.mktemp(scene.name))
        yield
