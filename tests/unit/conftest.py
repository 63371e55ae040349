"""Shared by the unit tests: a copy of the descriptions that a test may break, and services on loopback."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra import dashboards
from infra.settings import ROOT
from infra.stack import load
from operate.dashboards.reading import Dashboard
from tests import exposed
from tests.labels import Reader
from tests.unit.loopback import LoopThread, Start, loop_thread, services

Edit = Callable[[str, str, str], None]

# The service that the README adds.
STAKING = """\
  - name: staking-service
    description: Staking of customers' assets.
    port: 3005
    team: finance
    tier: standard
    capabilities: [http]
    dependencies: [database]
"""


@pytest.fixture(scope="session")
def reader() -> Reader:
    """Reads expressions against all that stack dev has."""
    return Reader(exposed.everything())


@pytest.fixture(scope="session")
def boards() -> list[Dashboard]:
    """Every dashboard of stack dev as Grafana gets it."""
    return [Dashboard(json.loads(page.text)) for page in dashboards.pages(load("dev"))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """configs/, playbooks/ and the Pulumi files, copied."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks", ignore=shutil.ignore_patterns("files", "__pycache__"))
    for path in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def edit(project: Path) -> Edit:
    """Replace a text in a file of the copy; the text must be there."""

    def replace(file: str, old: str, new: str) -> None:
        path = project / file
        text = path.read_text()
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new, 1))

    return replace


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """An event loop in a thread of its own."""
    with loop_thread() as thread:
        yield thread


@pytest.fixture
def start(loop: LoopThread, tmp_path: Path) -> Iterator[Start]:
    """Starts simulated services on ephemeral ports."""
    with services(loop, tmp_path) as begin:
        yield begin
