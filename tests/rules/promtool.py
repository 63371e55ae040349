"""Runs promtool's tests over rules."""

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from infra import checks
from infra.stack import Stack, load
from operate import checkers
from tests.rules import harness


@functools.cache
def stack() -> Stack:
    """The stack dev, whose rules are tested, with promtool built."""
    loaded = load("dev")
    checkers.build(loaded)
    return loaded


@functools.cache
def background() -> dict[tuple[str, str], list[str]]:
    """harness.background of the stack."""
    return harness.background(stack())


@functools.cache
def rules() -> list[harness.Rule]:
    """harness.deployed_rules of the stack."""
    return harness.deployed_rules(stack())


def complaints(rules: dict[str, Any], tests: dict[str, Any]) -> str:
    """What promtool complains about in one test file, empty when all is well."""
    promtool = checks.find("promtool", stack().images["prometheus"].version)
    assert promtool is not None
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False))
        (directory / "tests.yml").write_text(yaml.safe_dump({**tests, "rule_files": ["rules.yml"]}, sort_keys=False))
        command = [str(promtool), "test", "rules", "tests.yml"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
