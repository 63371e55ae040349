"""A copy of the project's descriptions that a test may break."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import ROOT

Edit = Callable[[str, str, str], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """configs/ and the Pulumi files, copied."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
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
