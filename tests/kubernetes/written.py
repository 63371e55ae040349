"""The project's files at another place: to render from, and to edit without touching what other tests read."""

import shutil
from pathlib import Path
from typing import Any

from infra import documents, render
from infra.images import MANIFEST
from infra.settings import ROOT


def project(folder: Path, stack: str) -> Path:
    """A copy of what a stack is read from, with a configuration of its own to edit."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy2(ROOT / f"Pulumi.{stack}.yaml", folder)
    if (ROOT / MANIFEST).exists():
        (folder / MANIFEST).parent.mkdir()
        shutil.copy2(ROOT / MANIFEST, folder / MANIFEST)
    return folder


def rendered(folder: Path, stack: str) -> Path:
    """The folder of manifests that `make render` writes, below `folder`."""
    return render.write(stack, root=project(folder, stack))[0].parent


def objects(manifests: Path) -> list[dict[str, Any]]:
    """Every object of a folder of manifests, in the order in which kubectl applies them."""
    files = sorted(manifests.glob("*.yaml"))
    return [item for file in files for item in documents.load_all(file.read_text()) if item]
