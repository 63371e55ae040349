"""promtool's own tests over the rule files, one per file of tests/rules/."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infra import checks
from infra.settings import ROOT
from infra.stack import load
from operate import checkers

CASES = sorted((ROOT / "tests/rules").glob("*.yml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules(case: Path, tmp_path: Path) -> None:
    stack = load("dev")
    checkers.build(stack)
    for path in (ROOT / "configs/prometheus/rules").glob("*.yml"):
        shutil.copy(path, tmp_path)
    shutil.copy(case, tmp_path / f"test-{case.name}")
    promtool = checks.find("promtool", stack.images["prometheus"].version)
    assert promtool is not None
    done = subprocess.run(
        [promtool, "test", "rules", f"test-{case.name}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
