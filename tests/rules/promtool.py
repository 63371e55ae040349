"""Runs promtool's tests over rules."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from infra import checks, documents
from infra.stack import Stack, load
from operate import checkers
from tests.rules import harness

# Go's collector would take a fifth of the time, and these processes are short.
LITTLE_GARBAGE = {**os.environ, "GOGC": "800", "GOMAXPROCS": "1"}


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
        (directory / "rules.yml").write_text(documents.dump(rules))
        (directory / "tests.yml").write_text(documents.dump({**tests, "rule_files": ["rules.yml"]}))
        command = [str(promtool), "test", "rules", "tests.yml"]
        done = subprocess.run(command, cwd=directory, env=LITTLE_GARBAGE, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
