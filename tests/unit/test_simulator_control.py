"""The front reaches every fault, and its simulated host can break."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from simulator.config import ControlConfig, Secrets, read_service
from simulator.control import Control
from tests.unit.loopback import (
    LOOPBACK,
    LoopThread,
    Running,
    Samples,
    Start,
    closed_port,
    parse,
    service_file,
)


@pytest.fixture
def control(loop: LoopThread, start: Start, tmp_path: Path) -> Iterator[tuple[str, str, Running]]:
    service = start(capabilities=["http", "trading"])
    silent = f"http://{LOOPBACK}:{closed_port()}"
    endpoints = read_service(
        service_file(tmp_path, endpoints={"redis": {"host": LOOPBACK, "port": closed_port()}})
    ).endpoints
    services = {"trading-engine": service.control, "gone-service": silent}

    async def create() -> Control:
        addresses = {"trading-engine": service.url, "gone-service": silent}
        config = ControlConfig(0, 0, 0, "1.0.0", services, addresses, endpoints)
        front = Control(config, Secrets(tmp_path), LOOPBACK)
        await front.start()
        return front

    front = loop.run(create())
    yield (
        f"http://{LOOPBACK}:{front.main.port}",
        f"http://{LOOPBACK}:{front.host_exporter.port}/metrics",
        service,
    )
    loop.run(front.stop())


def test_the_front_passes_requests_on_to_services(control: tuple[str, str, Running]) -> None:
    front, _, _ = control
    health = requests.get(f"{front}/services/trading-engine/health", timeout=5)
    assert (health.status_code, health.json()["version"]) == (200, "1.0.0")
    assert requests.get(f"{front}/services/trading-engine/api/invalid", timeout=5).status_code == 500
    assert "http_requests_total" in requests.get(f"{front}/services/trading-engine/metrics", timeout=5).text
    lost = requests.get(f"{front}/services/gone-service/health", timeout=5)
    assert (lost.status_code, "gone-service does not answer" in lost.text) == (502, True)
    assert requests.get(f"{front}/services/nobody/health", timeout=5).status_code == 404


def test_the_front_reaches_services_and_says_which_it_cannot(control: tuple[str, str, Running]) -> None:
    front, _, _ = control
    assert requests.put(f"{front}/api/faults/trading-engine/stalled_matching", timeout=5).status_code == 200
    state = requests.get(f"{front}/api/faults", timeout=5).json()
    assert list(state["trading-engine"]["active"]) == ["stalled_matching"]
    assert state["gone-service"]["reachable"] is False
    lost = requests.put(f"{front}/api/faults/gone-service/stop", timeout=5)
    assert (lost.status_code, "does not answer on its control port" in lost.text) == (502, True)
    unknown = requests.put(f"{front}/api/faults/nobody/stop", timeout=5)
    assert (
        unknown.status_code,
        "use one of trading-engine, gone-service, infrastructure" in unknown.text,
    ) == (404, True)
    healed = requests.delete(f"{front}/api/faults", timeout=5).json()
    assert healed == {"healed": True, "unreachable": ["gone-service"]}
    assert requests.get(f"{front}/api/faults", timeout=5).json()["trading-engine"]["active"] == {}


def test_a_system_that_cannot_be_broken_is_reported_and_not_marked_broken(
    control: tuple[str, str, Running],
) -> None:
    front, _, _ = control
    answer = requests.put(f"{front}/api/faults/infrastructure/redis_memory", timeout=10)
    assert (answer.status_code, answer.json()["error"].startswith("redis_memory was not injected")) == (
        502,
        True,
    )
    assert requests.get(f"{front}/api/faults", timeout=5).json()["infrastructure"]["active"] == {}


def test_the_front_offers_only_faults_of_systems_it_was_given(control: tuple[str, str, Running]) -> None:
    offered = requests.get(f"{control[0]}/api/faults", timeout=5).json()["infrastructure"]["available"]
    assert "redis_memory" in offered
    assert "replication_lag" not in offered


def host_samples(url: str) -> Samples:
    return parse(requests.get(url, timeout=5).text)


def test_the_simulated_host_fills_up_and_recovers(control: tuple[str, str, Running]) -> None:
    front, host, _ = control
    labels = {"device": "/dev/vdb1", "fstype": "ext4", "mountpoint": "/data"}.items()

    def available_ratio() -> float:
        page = host_samples(host)
        return (
            page["node_filesystem_avail_bytes", frozenset(labels)]
            / page["node_filesystem_size_bytes", frozenset(labels)]
        )

    assert available_ratio() > 0.4
    requests.put(f"{front}/api/faults/infrastructure/disk_full", json={"available_ratio": 0.04}, timeout=5)
    assert available_ratio() == pytest.approx(0.04)
    requests.delete(f"{front}/api/faults/infrastructure/disk_full", timeout=5)
    assert available_ratio() > 0.4


def test_the_simulated_hosts_cpu_time_is_the_clocks_and_goes_where_the_fault_says(
    control: tuple[str, str, Running],
) -> None:
    front, host, _ = control
    requests.put(f"{front}/api/faults/infrastructure/high_cpu", json={"ratio": 0.9}, timeout=5)
    before, began = host_samples(host), time.time()
    time.sleep(0.4)
    after, passed = host_samples(host), time.time() - began
    spent = {
        dict(labels)["mode"]: after[name, labels] - before[name, labels]
        for name, labels in before
        if name == "node_cpu_seconds_total" and ("cpu", "0") in labels
    }
    assert sum(spent.values()) == pytest.approx(passed, abs=0.05)
    assert 1 - spent["idle"] / sum(spent.values()) == pytest.approx(0.9, abs=0.02)


def test_a_host_that_is_down_refuses_the_scrape_until_healed(control: tuple[str, str, Running]) -> None:
    front, host, _ = control
    requests.put(f"{front}/api/faults/infrastructure/host_down", timeout=5)
    with pytest.raises(requests.ConnectionError):
        requests.get(host, timeout=2)
    requests.delete(f"{front}/api/faults/infrastructure/host_down", timeout=5)
    assert requests.get(host, timeout=5).status_code == 200


def test_the_front_page_loads_nothing_from_elsewhere(control: tuple[str, str, Running]) -> None:
    answer = requests.get(control[0], timeout=5)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"(src|href)=|https?://|\{\{", answer.text)
