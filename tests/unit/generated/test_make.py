"""What stands in a variable of `make` reaches the verb as a value, whatever it is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from infra.settings import ROOT
from tests.unit.generated.trying import LONG, hold_to_one_sentence

# Verbs that only look; the values would break a shell's line, run something, or name what is not there.
CASES = (
    (("status", "STACK=dev; touch {made}"), "no such stack"),
    (("preview", "BASE=--output={made}"), "is no commit"),
)
MORE = (
    (("query", 'Q=" ; touch {made} #', "STACK=x' `touch {made}`"), "no such stack"),
    (("check-service", 'URL=x"; touch {made}; "', "SERVICE=kyc-service"), "is no address of a service"),
    (("status", "STACK=../../nowhere"), "no such stack"),
    (("render", "STACK=$$(touch {made})"), "no such stack"),
    (("query", "STACK=dev", "Q=  "), "nothing to ask for"),
    (("preview", "BASE=no such & touch {made}"), "is no commit"),
    (("check-service", "URL=http://127.0.0.1:1", "SERVICE=$$(touch {made})"), "has no service"),
    (("check-service", "URL=http://127.0.0.1:1", "SERVICE=x", "CAPABILITIES=http touch"), "has no service"),
    (("dashboards-page", "SNAPSHOT=/nowhere/a b"), "/nowhere/a b"),
    (("backup", "STACK=dev", "TO=-x"), "Docker"),
    (("restore", "STACK=dev", "FROM=; touch {made}"), "Docker"),
)


@pytest.mark.parametrize(("words", "said"), (*CASES, *MORE) if LONG else CASES)
def test_a_variable_is_a_value(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    made = tmp_path / "made"
    done = subprocess.run(
        # The environment is there already: a make of its own would pip install beside other tests.
        ["make", "--no-print-directory", "--old-file=.venv/.complete", *(word.format(made=made) for word in words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not made.exists(), "a value was run"
    assert "Traceback" not in done.stderr
    first, _, last = done.stderr.partition("\n")
    # Started by `make test`, it names its depth: make[1].
    assert re.match(r"make(\[\d+\])?: \*\*\*", last), done.stderr
    hold_to_one_sentence(first.removeprefix("error: "), said)
