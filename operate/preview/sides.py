"""The two sides of a preview: what a commit's own code renders, and what the working tree renders."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import documents, render
from infra.errors import InputError, shown
from infra.settings import ROOT
from infra.targets.kubernetes.manifest import name_of

Document = dict[str, Any]
# The pinned images, whatever this machine has built in their place: a preview reads alike on every machine.
ANYWHERE = {"images": "registry"}
_BUILT = re.compile(r"(image: localhost/\S+)-[0-9a-f]{12}\b")


@dataclass(frozen=True)
class Side:
    """What one side deploys.

    `objects` by kind and name, without the contents of configuration; `files` are those contents by object and key;
    `rules` are Prometheus' rule files and `pages` the dashboards by uid, both parsed.
    """

    objects: dict[str, Document] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    rules: dict[str, Document] = field(default_factory=dict)
    pages: dict[str, Document] = field(default_factory=dict)


def both(stack: str, base: str, root: Path = ROOT) -> tuple[Side, Side]:
    """Before and after. Raises InputError where the commit is unknown or does not render."""
    archive = _archive(base, root)
    with tempfile.TemporaryDirectory(prefix="preview-") as folder, ThreadPoolExecutor() as pool:
        before = pool.submit(_of_commit, stack, base, archive, Path(folder))
        after = _parsed(render.files(stack, ANYWHERE, root=root), root)
        return before.result(), after


def _archive(base: str, root: Path) -> bytes:
    """The commit's files as a tar archive."""
    if shutil.which("git") is None:
        raise InputError("no git on the PATH, which has the other side; install it.")
    # Whatever begins with a dash is a name here, and no option of git's.
    ask = ["git", "-C", str(root), "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}"]
    named = subprocess.run(ask, capture_output=True, text=True, errors="backslashreplace", check=False)
    if named.returncode:
        words = shown((named.stderr.strip().splitlines() or ["git said nothing"])[-1])
        raise InputError(
            f"BASE={shown(base)} is no commit of this repository ({words}); name a branch, a tag or a commit, and "
            "fetch it first where only the remote has it."
        )
    commit = named.stdout.strip()
    return subprocess.run(
        ["git", "-C", root, "archive", "--format=tar", commit], capture_output=True, check=True
    ).stdout


def _of_commit(stack: str, base: str, archive: bytes, folder: Path) -> Side:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    if not (folder / f"Pulumi.{stack}.yaml").exists():
        return Side()
    # Its own code renders it, in a process of its own; the dependencies are those of the working tree.
    settings = [word for key, value in ANYWHERE.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "infra.render", "--stack", stack, *settings]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
        raise InputError(f"{base} does not render stack {stack}: {words} Name another BASE.")
    rendered = folder / ".render" / stack
    return _parsed({str(path.relative_to(rendered)): path.read_text() for path in rendered.rglob("*.*")}, folder)


def _parsed(rendered: dict[str, str], root: Path) -> Side:
    side = Side()
    for name, written in rendered.items():
        # Docker mounts secrets by absolute path, which is another one in each checkout; the simulator's image is named
        # after its content where `make images` has built it.
        text = _BUILT.sub(r"\1", written.replace(str(root), "."))
        if name.startswith("dashboards/"):
            page = json.loads(text)
            side.pages[page["uid"]] = page
        elif name == "compose.yaml":
            for kind, key, item in _of_compose(documents.load(text)):
                _take(side, f"{kind} {key}", item)
        elif name.endswith(".yaml"):
            for item in documents.load_all(text):
                # `data` apart: its entries are files.
                _take(side, name_of(item), {k: v for k, v in item.items() if k != "data"}, item.get("data", {}))
    return side


def _of_compose(document: Document) -> Iterator[tuple[str, str, Document]]:
    for kind in ("services", "volumes", "networks"):
        yield from ((kind.removesuffix("s"), key, item or {}) for key, item in document.get(kind, {}).items())
    for key, item in document.get("configs", {}).items():
        # Compose reads $$ as $.
        yield "config", key, {"data": {key: item["content"].replace("$$", "$")}}


def _take(side: Side, name: str, item: Document, data: dict[str, str] | None = None) -> None:
    contents = data if data is not None else item.pop("data", {})
    if item:
        side.objects[name] = item
    for key, text in contents.items():
        # Dashboards are told apart by their panels.
        if key.endswith(".json") and "dashboards" in f"{name} {key}":
            continue
        side.files[f"{name}: {key}" if key not in name else name] = text
        if key.endswith(".yml") and "rules" in f"{name} {key}":
            side.rules[key.rpartition("_")[2]] = documents.load(text)
