"""Both sides of every alert, with promtool: fires at the right moment, and stays quiet when it should.

`python -m tests.rules.test_alerts ALERT` prints promtool's words on one alert's case.
"""

import functools
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infra import checks
from infra.stack import Stack, load
from operate import checkers
from tests.rules import harness


@functools.cache
def _stack() -> Stack:
    stack = load("dev")
    checkers.build(stack)
    return stack


@functools.cache
def _rules() -> list[harness.Rule]:
    return harness.deployed_rules(_stack())


def _promtool(directory: Path, file: str) -> str:
    """Run one test file; what promtool complained about, empty when all is well."""
    promtool = checks.find("promtool", _stack().images["prometheus"].version)
    assert promtool is not None
    done = subprocess.run([promtool, "test", "rules", file], cwd=directory, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def run(alert: str) -> str:
    """promtool's complaints about the case of one alert."""
    case = replace(harness.cases()[alert], others=harness.background(_stack()))
    rules, tests = harness.promtool_file(case, _rules())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False))
        (directory / "tests.yml").write_text(yaml.safe_dump(tests, sort_keys=False))
        return _promtool(directory, "tests.yml")


@pytest.mark.parametrize("alert", list(harness.cases()))
def test_alert(alert: str) -> None:
    assert run(alert) == ""


def test_every_alert_has_a_case() -> None:
    alerts = {rule["alert"] for rule in _rules() if "alert" in rule}
    covered = set(harness.cases())
    print(f"{len(covered & alerts)} of {len(alerts)} alerts have a case")
    assert alerts - covered == set()
    assert covered - alerts == set()


@pytest.mark.parametrize("case", harness.cases().values(), ids=lambda case: case.alert)
def test_a_case_has_every_side(case: harness.Case) -> None:
    """A side that is left out needs a reason in words; one that is there must differ from the good values."""
    phases = case.phases()
    assert phases <= {*harness.PHASES, *(phase for other in case.more for phase, _ in other["timeline"])}
    assert "bad" in phases
    assert bool(case.edge) != ("edge" in phases), "either an edge value or the reason why there is none"
    assert bool(case.idle) != ("idle" in phases), "either an idle value or the reason why traffic does not matter"
    assert ("says" in case.vanish) != ("silent" in case.vanish)


def test_recording_rules(tmp_path: Path) -> None:
    """The specification's recording rules, in promtool's own format."""
    rules = [rule for rule in _rules() if "record" in rule]
    (tmp_path / "recording.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    (tmp_path / "tests.yml").write_text((Path(__file__).parent / "recording.yml").read_text())
    assert _promtool(tmp_path, "tests.yml") == ""


if __name__ == "__main__":
    print(run(sys.argv[1]) or "SUCCESS")
