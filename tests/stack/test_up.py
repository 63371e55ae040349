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
from tests.running import eventually, starting, succeeded
from tests.stack import hosts
from tests.stack.conftest import STACK, Live, operate


def test_every_component_runs_and_every_target_is_up(live: Live) -> None:
    running = {c.component: c for c in containers.of(STACK)}
    assert set(running) == {w.name for w in live.workloads()}
    assert [c.component for c in running.values() if not c.ready] == []
    live.every_target_is_up()
    jobs = {series["metric"]["job"] for series in live.query("up")}
    assert jobs >= {"prometheus", "alertmanager", "loki", "node", "cadvisor", "postgres", "redis", "rabbitmq", "health"}
    assert jobs >= set(live.stack.catalog.by_name)


def test_every_probe_of_health_succeeds(live: Live) -> None:
    services = set(live.stack.catalog.by_name)

    def probed() -> set[str]:
        return {series["metric"]["service"] for series in live.query('probe_success{job="health"} == 1')}

    eventually("a good answer of every service", lambda: probed() == services)


def test_versions_and_intervals_of_the_specification(live: Live) -> None:
    build = requests.get(f"{live.prometheus}/api/v1/status/buildinfo", timeout=30).json()["data"]
    assert build["version"] == "2.48.1"
    flags = requests.get(f"{live.prometheus}/api/v1/status/flags", timeout=30).json()["data"]
    assert flags["storage.tsdb.retention.time"] == "30d"
    loaded = requests.get(f"{live.prometheus}/api/v1/status/config", timeout=30).json()["data"]["yaml"]
    config = documents.load(loaded)
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"] == "15s"
    status = requests.get(f"{live.alertmanager}/api/v2/status", timeout=30).json()
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
def test_killed_containers_come_back(live: Live) -> None:
    before = {name: live.inspect(name)["State"] for name in ("prometheus", "auth-service", "postgres-primary")}
    for state in before.values():
        # A kill as the kernel does it: what `docker kill` ends, the engine takes as ended on purpose.
        os.kill(state["Pid"], signal.SIGKILL)

    def back(name: str) -> bool:
        now = live.inspect(name)["State"]
        return bool(now["StartedAt"] != before[name]["StartedAt"] and now["Health"]["Status"] == "healthy")

    eventually("each is back", lambda: all(back(name) for name in before), seconds=90)
    live.every_target_is_up()


def test_bare_hosts_are_watched_over_tls_with_the_password(live: Live) -> None:
    inventory = live.stack.inventory
    assert inventory is not None
    said = {s["metric"]["instance"]: s["metric"] for s in live.query('up{job="node",group!=""} == 1')}
    assert {name: (labels["group"], labels["team"]) for name, labels in said.items()} == {
        "match-1": ("matching_engines", "trading"),
        "db-1": ("databases", "database"),
        "wallet-1": ("wallet_hosts", "finance"),
    }
    targets = requests.get(f"{live.prometheus}/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
    urls = {t["labels"]["instance"]: t["scrapeUrl"] for t in targets if t["scrapePool"] == "hosts"}
    for host in inventory.hosts:
        assert urls[host.name] == f"https://{host.target}/metrics"
        password = (inventory.user, inventory.password() or "")
        for auth, status in ((password, 200), (None, 401), ((inventory.user, "wrong"), 401)):
            answer = requests.get(urls[host.name], auth=auth, verify=str(inventory.ca_file), timeout=30)
            assert answer.status_code == status
        assert requests.get(f"http://{host.target}/metrics", auth=password, timeout=30).status_code == 400
    assert live.query("node_exporter_playbook_last_run_timestamp_seconds > time() - 7200")


def test_a_host_that_leaves_the_inventory_is_watched_no_more(live: Live) -> None:
    live.fleet.write_inventory([name for name in live.fleet.hosts if name != hosts.LEAVING])
    succeeded(operate("up"))

    def asked() -> set[str]:
        # What the last Prometheus scraped is remembered for five minutes.
        return {s["metric"]["instance"] for s in live.query('timestamp(up{job="node",group!=""}) > time() - 25')}

    eventually("the others are asked, and it no more", lambda: asked() == set(live.fleet.hosts) - {hosts.LEAVING})
    assert live.query(f'ALERTS{{instance="{hosts.LEAVING}",alertname="ExporterDown"}}') == []


def test_metrics_and_rows_survive_down_and_up(live: Live) -> None:
    then = time.time()
    assert live.value(f'count(up{{job="prometheus"}} @ {then:.0f})') == 1
    succeeded(operate("down"))
    assert containers.of(STACK) == []
    with starting():
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
