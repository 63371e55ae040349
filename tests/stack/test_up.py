"""The stack comes up whole, twice, and comes back."""

import os
import signal
import subprocess
import time

import pytest
import requests

from infra import documents, render
from infra.settings import ROOT
from operate import compose, containers
from tests.running import eventually, succeeded
from tests.stack.conftest import STACK, Live, operate


def test_every_component_runs_and_every_target_is_up(live: Live) -> None:
    running = {c.component: c for c in containers.of(STACK)}
    assert set(running) == {w.name for w in live.workloads()}
    assert [c.component for c in running.values() if not c.ready] == []
    down = live.query("up != 1")
    assert down == []
    jobs = {series["metric"]["job"] for series in live.query("up")}
    assert jobs >= {"prometheus", "alertmanager", "loki", "node", "cadvisor", "postgres", "redis", "rabbitmq", "health"}
    assert jobs >= set(live.stack.catalog.by_name)


def test_every_probe_of_health_succeeds(live: Live) -> None:
    probed = eventually("a probe result of every service", lambda: live.query('probe_success{job="health"} == 1'))
    assert {series["metric"]["service"] for series in probed} == set(live.stack.catalog.by_name)


def test_versions_and_intervals_of_the_specification(live: Live) -> None:
    build = requests.get(f"{live.prometheus}/api/v1/status/buildinfo", timeout=5).json()["data"]
    assert build["version"] == "2.48.1"
    flags = requests.get(f"{live.prometheus}/api/v1/status/flags", timeout=5).json()["data"]
    assert flags["storage.tsdb.retention.time"] == "30d"
    loaded = requests.get(f"{live.prometheus}/api/v1/status/config", timeout=5).json()["data"]["yaml"]
    config = documents.load(loaded)
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"] == "15s"
    status = requests.get(f"{live.alertmanager}/api/v2/status", timeout=5).json()
    assert status["versionInfo"]["version"] == "0.26.0"


def test_a_second_up_changes_nothing(live: Live) -> None:
    before = {w.name: live.inspect(w.name)["Id"] for w in live.workloads()}
    succeeded(operate("up"))
    assert {w.name: live.inspect(w.name)["Id"] for w in live.workloads()} == before


def test_published_ports_listen_on_loopback_only(live: Live) -> None:
    found = 0
    for workload in live.workloads():
        for bindings in (live.inspect(workload.name)["HostConfig"]["PortBindings"] or {}).values():
            assert [b["HostIp"] for b in bindings] == ["127.0.0.1"], workload.name
            found += 1
    assert found >= 5


def test_compose_accepts_the_render(live: Live) -> None:
    path = render.write(STACK)[0]
    done = subprocess.run(
        [*compose.command(), "-f", path, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert live.stack.name in documents.load(path.read_text())["name"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can kill another user's process")
@pytest.mark.parametrize("component", ["prometheus", "auth-service", "postgres-primary"])
def test_a_killed_container_comes_back(live: Live, component: str) -> None:
    before = live.inspect(component)["State"]
    # A kill as the kernel does it: what `docker kill` ends, the engine takes as ended on purpose.
    os.kill(before["Pid"], signal.SIGKILL)

    def back() -> bool:
        now = live.inspect(component)["State"]
        return bool(now["StartedAt"] != before["StartedAt"] and now["Health"]["Status"] == "healthy")

    eventually(f"{component} is back", back, seconds=60)
    eventually("every target is up again", lambda: live.query("up") and not live.query("up != 1"), seconds=90)


def test_metrics_and_rows_survive_down_and_up(live: Live) -> None:
    then = time.time()
    assert live.value(f'count(up{{job="prometheus"}} @ {then:.0f})') == 1
    succeeded(operate("down"))
    assert containers.of(STACK) == []
    succeeded(operate("up"))
    assert live.value(f'count(up{{job="prometheus"}} @ {then - 30:.0f})') == 1


def test_status_shows_every_component_and_address(live: Live) -> None:
    done = operate("status")
    succeeded(done)
    for workload in live.workloads():
        assert workload.name in done.stdout
    for address in ("http://localhost:19090", "http://localhost:19093", "http://localhost:18025"):
        assert address in done.stdout
    assert (ROOT / ".secrets" / STACK).stat().st_mode & 0o777 == 0o700
