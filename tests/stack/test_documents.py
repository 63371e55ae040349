"""What the documents say to look at, typed on the running stack: each command and each query answers."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from infra.settings import ROOT
from tests import documented
from tests.documented import Look
from tests.stack.conftest import STACK, Live, operate

# The documents write the addresses and names of dev.
QUERIES = documented.looks("make query")
COMMANDS = [look for look in documented.looks("docker", "make status", "curl") if "kubectl" not in look.text]


def typed(live: Live, look: Look) -> str:
    """The command with this stack's own names and ports."""
    settings = live.stack.settings
    text = look.text.replace("monitoring-dev", f"monitoring-{STACK}")
    for of_dev, port in (
        (9090, settings.prometheus_port),
        (9093, settings.alertmanager_port),
        (3100, settings.loki_port),
        (8025, settings.inbox_port),
        (8090, settings.faults_port),
    ):
        text = text.replace(f"localhost:{of_dev}", f"localhost:{port}")
    return text.replace("make status", f"make status STACK={STACK}") if "STACK=" not in text else text


def test_every_query_answers(live: Live) -> None:
    """Asked directly: what `make query` adds to it is tried below."""
    assert len(QUERIES) > 300
    for look in QUERIES:
        live.query(look.query(HOST="simulated-host", NODE="docker-host"))


def failure(live: Live, look: Look) -> str:
    """What was said instead of an answer."""
    command = ["bash", "-o", "pipefail", "-c", typed(live, look)]
    own = look.environment(STACK=STACK, HOST="simulated-host", NODE="docker-host")
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else f"{look.page}: {look.text}: {done.stderr[-1000:]}{done.stdout[-1000:]}"


def test_every_command_answers(live: Live) -> None:
    with ThreadPoolExecutor(4) as pool:
        failures = [words for words in pool.map(partial(failure, live), COMMANDS) if words]
    assert not failures


@pytest.mark.usefixtures("live")
def test_make_query_shows_a_table() -> None:
    done = subprocess.run(
        ["make", "query", f"STACK={STACK}", "Q=up{service='redis'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"value\n.*\n.*\b1\b", done.stdout), done.stdout
    wrong = operate("query", "sum(")
    assert wrong.returncode == 2
    assert "parse error" in wrong.stderr
