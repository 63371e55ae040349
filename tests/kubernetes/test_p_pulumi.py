"""`pulumi up --stack prod` by a real engine on the real cluster; skipped, and said so, where none is on the PATH.

Production's own settings, but for what one machine cannot give: its sizes, the exchange and the data stores are
staging's. The project is copied, since the engine writes into the stack's file.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import documents, render
from infra.settings import ROOT, stack_file_values
from tests.conftest import Figure
from tests.kubernetes.conftest import PASSWORDS, remove
from tests.kubernetes.live import Live
from tests.running import eventually

STACK = "prod"
# What a machine without prod's surroundings has instead of them.
HERE: dict[str, Any] = {
    "sizes": stack_file_values("staging")["sizes"],
    "images": "auto",
    "simulator": True,
    "dataStores": True,
    "inbox": True,
    "smtpSmarthost": "inbox:1025",
    "aliases": {},
    "spread": "preferred",
}


@dataclass(frozen=True)
class Engine:
    """The engine on a copy of the project, with a state of its own."""

    root: Path
    environment: dict[str, str]
    settings: dict[str, Any]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a pulumi command; its output is shown when the test fails."""
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        return done

    def output(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"pulumi {arguments[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Engine:
    """prod at staging's size, on the cluster that staging has left."""
    if shutil.which("pulumi") is None:
        pytest.skip("no pulumi on the PATH: prod not tried with a real engine here")
    live: Live = request.getfixturevalue("live")
    root = tmp_path_factory.mktemp("project") / "main"
    left = shutil.ignore_patterns(".venv", ".git", ".cache", ".render", ".secrets", ".pulumi-state", "__pycache__")
    shutil.copytree(ROOT, root, ignore=left, symlinks=True)
    (root / ".venv").symlink_to(ROOT / ".venv")
    settings = {**stack_file_values(STACK), **HERE}
    document = {"config": {f"monitoring:{key}": value for key, value in settings.items()}}
    (root / f"Pulumi.{STACK}.yaml").write_text(documents.dump(document))
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{tmp_path_factory.mktemp('state')}",
        "PULUMI_CONFIG_PASSPHRASE": "the state of a test",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    found = Engine(root, environment, settings)
    remove(live)
    found.output("stack", "select", "--create", STACK)
    return found


def test_up_and_a_second_preview_without_change(engine: Engine, live: Live, figure: Figure) -> None:
    start = time.monotonic()
    engine.output("up", "--yes", "--skip-preview", "--suppress-progress")
    up = time.monotonic()
    engine.output("preview", "--expect-no-changes", "--suppress-progress")
    figure(f"pulumi up --stack prod: {up - start:.0f} s, preview without change: {time.monotonic() - up:.1f} s")
    eventually("every target is up", lambda: live.tried_query("up") and not live.query("up == 0"), 90)


def test_a_rule_edit_previews_as_exactly_its_line(engine: Engine) -> None:
    path = engine.root / "configs/prometheus/rules/critical.yml"
    before = path.read_text()
    path.write_text(before.replace("is down: no instance", "is DOWN: no instance"))
    try:
        steps = json.loads(engine.output("preview", "--json"))["steps"]
        shown = engine.output("preview", "--diff", "--suppress-progress").splitlines()
    finally:
        path.write_text(before)
    changed = [step["urn"].rpartition("::")[2] for step in steps if step["op"] != "same"]
    assert changed == ["ConfigMap/monitoring/prometheus-rules"]
    # Changed values are marked; the path that leads to one carries the same mark and ends with a bracket.
    marked = [line.strip() for line in shown if line.strip()[:2] in ("~ ", "+ ", "- ")]
    values = [line for line in marked if not line.endswith(("{", "[", "(update)", "to update"))]
    assert len(values) == 1, values
    assert "is down: no instance" in values[0]
    assert "is DOWN: no instance" in values[0]


def test_what_the_engine_deployed_is_what_render_writes(engine: Engine, live: Live, figure: Figure) -> None:
    declared = [
        resource.inputs
        for resource in render.resources(STACK, engine.settings, engine.root)
        if not resource.type.startswith("pulumi:")
    ]
    kinds = sorted({item["kind"] for item in declared})
    there = {
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item
        for kind in kinds
        for item in live.get(kind, *([] if kind in CLUSTER_WIDE else ["--all-namespaces"]))
    }
    for item in declared:
        metadata = item["metadata"]
        actual = there[item["kind"], metadata.get("namespace"), metadata["name"]]
        different = list(_differences(item, actual))
        assert not different, f"{item['kind']} {metadata['name']}: {different}"
    figure(f"pulumi's objects equal to render's, one by one: {len(declared)}")


CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass")


def _differences(wanted: Any, actual: Any, path: str = "") -> Iterator[str]:
    """What `wanted` says and `actual` does not; defaults that the API server added are none."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        for key, value in wanted.items():
            # The API leaves out what is empty.
            if value not in ({}, []) or actual.get(key):
                yield from _differences(value, actual.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        for number, (one, other) in enumerate(zip(wanted, actual, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif wanted != actual:
        yield f"{path}: {wanted!r} is {actual!r}"


def test_destroy_is_stopped_by_the_protection_of_the_data(engine: Engine, live: Live) -> None:
    def uids() -> set[str]:
        found = [item for kind in ("persistentvolumeclaims", "pods") for item in live.get(kind, "--all-namespaces")]
        return {item["metadata"]["uid"] for item in found}

    before = uids()
    done = engine.run("destroy", "--yes", "--suppress-progress")
    assert done.returncode != 0
    assert "protected" in done.stdout + done.stderr
    assert uids() == before


def test_no_secret_in_state_or_preview(engine: Engine) -> None:
    shown = engine.output("stack", "export") + engine.output("preview", "--diff", "--suppress-progress")
    for name in PASSWORDS:
        assert os.environ[f"{name}_PASSWORD"] not in shown, name
