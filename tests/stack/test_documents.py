"""What the documents say to look at, typed on the running stack: each command and each query answers."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import requests

from infra.settings import ROOT
from tests import documented
from tests.documented import Look
from tests.running import succeeded
from tests.stack.conftest import STACK, Live, operate

GUIDE = "docs/PRODUCTION_MONITORING_GUIDE.md"
# The documents write the addresses and names of dev.
QUERIES = documented.looks("make query")
COMMANDS = documented.looks("docker", "make status", "make check-service", "make review", "make capacity", "curl")


def typed(live: Live, look: Look) -> subprocess.CompletedProcess[str]:
    """Type the command with this stack's own names and ports."""
    settings = live.stack.settings
    text = look.text.replace("monitoring-dev", f"monitoring-{STACK}")
    for of_dev, port in (
        (9090, settings.prometheus_port),
        (9093, settings.alertmanager_port),
        (3100, settings.loki_port),
        (8025, settings.inbox_port),
        (8090, settings.faults_port),
    ):
        # In a container the tool's own port is right.
        if not text.startswith("docker exec"):
            text = text.replace(f"localhost:{of_dev}", f"localhost:{port}")
    if text.startswith("make status"):
        text = f"make status STACK={STACK}"
    # grep that finds nothing is an answer too, and ends with 1.
    text = re.sub(r"\| (grep [^|]*)", r"| { \1 || [ $? = 1 ]; } ", text)
    own = look.environment(STACK=STACK, HOST="simulated-host", NODE="docker-host")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", text],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_query_answers(live: Live) -> None:
    """Asked directly: what `make query` adds to it is tried below."""
    assert len(QUERIES) > 300
    for look in QUERIES:
        live.query(look.query(HOST="simulated-host", NODE="docker-host"))


def failure(live: Live, look: Look) -> str:
    """What was said instead of an answer."""
    done = typed(live, look)
    if done.returncode == 0 or (look.text.startswith("make capacity") and documented.YOUNG in done.stderr):
        return ""
    return f"{look.page}: {look.text}: {done.stderr[-1000:]}{done.stdout[-1000:]}"


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
    assert re.search(r"value *\n.*\n.*\b1 *\n", done.stdout), done.stdout
    wrong = operate("query", "sum(")
    assert wrong.returncode == 2
    assert "parse error" in wrong.stderr


SILENCING = [
    *documented.changes("README.md", "docker exec monitoring-dev-alertmanager"),
    *documented.changes(GUIDE, "docker exec monitoring-$STACK-alertmanager", "curl -s -X POST"),
]


def test_a_silence_is_set_and_ended_as_the_documents_say(live: Live) -> None:
    (expire,) = [look for look in SILENCING if " expire " in look.text]
    adding = [look for look in SILENCING if look != expire]
    assert len(adding) == 3
    for look in adding:
        nobody = replace(look, variables={**look.variables, "SERVICE": "nobody", "ALERT": "NoAlert"})
        done = typed(live, replace(nobody, text=nobody.text.replace("HighCPUUsage", "NoAlert")))
        assert done.returncode == 0, done.stderr
        (number,) = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", done.stdout)
        assert silence(live, number)["status"]["state"] == "active"
        ended = typed(live, replace(expire, text=expire.text.replace(" ID", f" {number}")))
        assert ended.returncode == 0, ended.stderr
        assert silence(live, number)["status"]["state"] == "expired"


def silence(live: Live, number: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{live.alertmanager}/api/v2/silence/{number}", timeout=30).json()
    return found


def test_containers_that_somebody_laid_hands_on_come_back(live: Live) -> None:
    """The documents restart, start and remove one or another; here it is the one whose absence pages last."""
    for look in documented.changes("docs/TROUBLESHOOTING.md", "docker start", "docker restart", "docker rm"):
        text = re.sub(r"monitoring-\$STACK-\S+", "monitoring-$STACK-redis-exporter", look.text)
        done = typed(live, replace(look, text=text))
        assert done.returncode == 0, done.stderr
    succeeded(operate("up"))
    assert live.inspect("redis-exporter")["State"]["Running"]
