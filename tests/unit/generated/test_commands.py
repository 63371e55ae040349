"""Any command line ends in one sentence: with arguments and an environment of any kind, no engine and no cluster."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra import documents, settings
from infra.settings import ROOT
from operate.__main__ import ARGUMENTS, COMMANDS
from tests.conftest import Tried
from tests.unit.generated.test_files import tree
from tests.unit.generated.trying import CANARY, SECONDS, hold_to_one_sentence, tries
from tests.unit.loopback import closed_port

STACKS = ("dev", "prod", "staging")
ODD = (
    *("", " ", "-", "--", "-x", "--unknown", "../..", "/dev/full", ".", "configs", "no/such/folder", "README.md"),
    *("dev ", "DEV", "dev\n", "\n", "\t", "\x1b[31m", "\u202e", "\U0001f4a5", "\udcff", "'", '"', "`id`", "$(id)"),
    *("x" * 5000, "9" * 30, "9" * 5000, "0", "-1", "1.5", "1e9", "nan", "inf", "\u0663", "1_0", "0x1", " 7 ", "%s"),
    *(
        "7d",
        "3h",
        "-3h",
        "0h",
        "9" * 30 + "d",
        "up ==",
        "up{",
        "up",
        ";",
        "{}",
        "kyc-service",
        "http,wallet",
        ",",
        "http,,",
    ),
    *("http://127.0.0.1:1", "http://", "http://[", "http://a:b", "ftp://a", "://", "127.0.0.1:1", "http://a\r\nX: y"),
    *("HEAD", "--output=stolen", "HEAD:README.md", "@{u}", "no-branch", "dev..prod"),
)
# What the project and the libraries under it read, and whose value nobody checks before them. Neither HOME nor an
# empty DOCKER_HOST: they would lead to the engine and the cluster of whoever runs the tests.
VARIABLES = (
    *("SLACK_WEBHOOK_URL", "PAGERDUTY_SERVICE_KEY", "HEARTBEAT_URL", "SMTP_PASSWORD", "WEB_PASSWORD", "LANG", "PATH"),
    *("POSTGRES_PASSWORD", "REDIS_PASSWORD", "RABBITMQ_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "NODE_EXPORTER_PASSWORD"),
    *("KUBECONFIG", "XDG_CACHE_HOME", "TMPDIR", "PULUMI_BACKEND_URL", "NO_COLOR", "COLUMNS", "TERM", "http_proxy"),
)
VALUES = (
    *("", " ", "\n", f"{CANARY}\n", f"https://{CANARY}", f"{CANARY} b", f"{CANARY}\u00e9", "\udcff"),
    *("x" * 5000, "/dev/null", "0", "-1", "tcp://"),
)


@dataclass(frozen=True)
class Line:
    """A command line, and what is different in its environment."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def options_of(command: str) -> list[argparse.Action]:
    """The options and arguments that a command declares."""
    parser = argparse.ArgumentParser(add_help=False)
    if COMMANDS[command] in ARGUMENTS:
        ARGUMENTS[COMMANDS[command]](parser)
    return list(parser._actions)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """Command lines of every verb there is, most of them nearly right."""
    odd = st.sampled_from(ODD) | st.text(max_size=12).filter(lambda text: "\x00" not in text)
    command = draw(st.sampled_from(list(COMMANDS)) if draw(st.integers(0, 9)) else odd)
    words = ["--stack", draw(st.sampled_from(STACKS) if draw(st.integers(0, 4)) else odd), command]
    for action in options_of(command) if command in COMMANDS else ():
        if not draw(st.booleans()) and action.option_strings:
            continue
        words += action.option_strings[-1:]
        if action.nargs != 0:
            known = st.sampled_from([str(choice) for choice in action.choices]) if action.choices else odd
            words.append(draw(odd | known))
    words += draw(st.lists(odd, max_size=1)) if draw(st.integers(0, 5)) == 0 else []
    changed = draw(st.lists(st.tuples(st.sampled_from(VARIABLES), st.sampled_from(VALUES)), max_size=2))
    return Line(tuple(words), tuple(changed))


Run = Callable[[Line], tuple[int | None, str]]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole project without what is built or kept, whose stack dev publishes ports that nothing listens on."""
    copy = tmp_path_factory.mktemp("commands") / "project"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".[a-z]*", "__pycache__", "node_exporter-*", "node_modules")
    )
    ports = {key: closed_port() for key in settings.declared() if key.endswith("Port")}
    document = documents.load((copy / "Pulumi.dev.yaml").read_text())
    document["config"] |= {f"monitoring:{key}": port for key, port in ports.items()}
    (copy / "Pulumi.dev.yaml").write_text(documents.dump(document))
    return copy


@pytest.fixture(scope="module")
def surroundings(copied: Path) -> dict[str, str]:
    """An environment with git and the Docker client, without engine, cluster, compilers, registries and cache."""
    programs = copied.parent / "programs"
    programs.mkdir()
    for name in ("git", "docker"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    nothing = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "GOPROXY": "off", "PYTHONDONTWRITEBYTECODE": "1"}
    return {
        **nothing,
        "KUBECONFIG": str(copied / "no-kubeconfig"),
        "PATH": str(programs),
        "HOME": str(copied.parent),
        "XDG_CACHE_HOME": str(copied.parent / "cache"),
        "DOCKER_HOST": f"tcp://127.0.0.1:{closed_port()}",
        # Of the working tree, to read only.
        "GIT_DIR": str(ROOT / ".git"),
    }


@pytest.fixture(scope="module")
def run(copied: Path, surroundings: dict[str, str]) -> Iterator[Run]:
    """Runs a command line in the copy; gives its exit status and all that it printed."""
    output = copied.parent / "output"
    environment = {**os.environ, **surroundings, "PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.unit.generated.forks"]
    with subprocess.Popen(
        command, cwd=copied, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        to, back = server.stdin, server.stdout

        def ask(line: Line) -> tuple[int | None, str]:
            asked: dict[str, Any] = {
                "arguments": line.arguments,
                "environment": {**surroundings, **dict(line.environment)},
                "output": str(output),
                "seconds": SECONDS,
            }
            to.write(json.dumps(asked) + "\n")
            to.flush()
            status: int | None = json.loads(back.readline())
            return status, output.read_text(errors="replace")

        yield ask
        to.close()


def judge(status: int | None, said: str) -> str:
    """Raise AssertionError unless a command line ended as the house's do."""
    assert status is not None, f"no end in {SECONDS:g} s: {said[-300:]}"
    assert "Traceback" not in said, said[-2000:]
    assert CANARY not in said, f"a secret: {said}"
    assert status in (0, 1, 2), f"exit status {status}: {said[-300:]}"
    if status != 2:
        assert said.strip(), f"exit status {status} without a word"
        return "served"
    last = said.rstrip("\n").split("\n")[-1]
    start, error, sentence = last.partition("error: ")
    if "usage: " in said:
        return "refused with the usage"
    assert error, f"no error: {said[-300:]}"
    assert not start, said
    hold_to_one_sentence(sentence)
    return "refused in one sentence"


def test_generated_command_lines(run: Run, copied: Path, tried: Tried) -> None:
    tally = Counter[str]()

    @tries(40)
    @given(lines())
    @example(Line(("--stack", "dev", "bench")))
    @example(Line(("--stack", "dev", "documents")))
    @example(Line(("--stack", "prod", "quiet-week")))
    @example(Line(("--stack", "dev", "dashboards-page", "--snapshot", "\x1f")))
    @example(Line(("--stack", "prod", "up"), (("XDG_CACHE_HOME", "x" * 5000),)))
    @example(Line(("--stack", "prod", "up"), (("XDG_CACHE_HOME", "/dev/null"),)))
    @example(Line(("--stack", "dev", "preview", "--base=--output=stolen")))
    def try_each(line: Line) -> None:
        before = tree(copied)
        outcome = judge(*run(line))
        if outcome != "served":
            assert tree(copied) == before, "something was written although the command was refused"
        tally[outcome] += 1

    try_each()
    tried("command lines", tally)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_verb_refuses_a_stack_that_is_none(run: Run, command: str) -> None:
    positional = [action for action in options_of(command) if not action.option_strings or action.required]
    words = [word for action in positional for word in (*action.option_strings[-1:], "x")]
    line = Line(("--stack", "../nowhere", command, *words))
    status, said = run(line)
    assert judge(status, said) == "refused in one sentence"
    assert "no such stack" in said
