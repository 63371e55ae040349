"""The simulated services speak the contract and tell the truth about themselves."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from infra import documents
from infra.settings import ROOT
from simulator.chance import activity
from simulator.config import ConfigError, Secrets, read_service
from simulator.dependencies import Dependency
from simulator.service import Service
from tests.unit.loopback import (
    LOOPBACK,
    Start,
    capability_metrics,
    closed_port,
    eventually,
    service_file,
)

CATALOG: list[dict[str, Any]] = documents.load((ROOT / "configs/services.yaml").read_text())["services"]


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: str(entry["name"]))
def test_a_catalog_service_exposes_its_contract_and_nothing_of_another_capability(
    start: Start, entry: dict[str, Any]
) -> None:
    service = start(
        capabilities=entry["capabilities"],
        rename=entry.get("rename", {}),
        simulate=entry.get("simulate", {}),
        dependencies=["redis"],
        endpoints={"redis": {"host": LOOPBACK, "port": closed_port()}},
    )
    service.steps(30)
    spoken = {contract: name for name, contract in entry.get("rename", {}).items()}
    families = {family.name: family for family in text_string_to_metric_families(service.page())}
    expected = capability_metrics(entry["capabilities"])
    for name, spec in expected.items():
        family = families[re.sub(r"_total$", "", spoken.get(name, name))]
        assert family.type == spec["type"], name
        assert family.samples, f"{name} has no series"
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert labels == {frozenset(spec["labels"])}, name
        if spec["type"] == "histogram":
            bounds = {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
            assert bounds == {*map(float, spec["buckets"]), float("inf")}, name
    allowed = {re.sub(r"_total$", "", spoken.get(name, name)) for name in expected}
    assert {name for name in families if not name.startswith("process_")} <= allowed


def test_health_has_the_platforms_form_and_tells_that_redis_is_unreachable(start: Start) -> None:
    service = start(dependencies=["redis"], endpoints={"redis": {"host": LOOPBACK, "port": closed_port()}})
    answer = requests.get(f"{service.url}/health", timeout=5)
    health = answer.json()
    assert answer.status_code == 200
    assert list(health) == ["status", "timestamp", "version", "dependencies"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", health["timestamp"])
    assert (health["status"], health["dependencies"]) == ("degraded", {"redis": "down"})
    assert service.total("service_dependency_up", dependency="redis") == 0


def test_customers_come_once_the_dependencies_were_reached_or_stayed_away_for_long(start: Start) -> None:
    service = start(dependencies=["redis"], endpoints={"redis": {"host": LOOPBACK, "port": closed_port()}})
    assert service.growth(20, "http_requests_total") == 0
    assert service.growth(400, "http_requests_total", status="503") > 0


class Fails(Dependency):
    """Works as often as it is told, and notes what it was taken for after each round trip."""

    def __init__(self, *works: bool) -> None:
        super().__init__("fails", every_seconds=0)
        self._works, self.seen, self.over = iter(works), list[bool](), asyncio.Event()

    async def connect(self) -> None:
        self.seen.append(self.up)

    async def work(self) -> None:
        works = next(self._works, None)
        if works is None:
            self.over.set()
            await asyncio.Event().wait()
        if not works:
            raise ConnectionError

    async def close(self) -> None:
        pass


def test_a_dependency_is_down_once_a_new_connection_fails_too() -> None:
    async def states(*works: bool) -> list[bool]:
        dependency = Fails(*works)
        task = asyncio.create_task(dependency.run())
        await asyncio.wait_for(dependency.over.wait(), 5)
        task.cancel()
        return dependency.seen

    assert asyncio.run(states(True, False, True, True)) == [False, True]
    assert asyncio.run(states(True, False, False, True)) == [False, True, False]


def test_a_service_that_depends_on_another_notices_when_it_goes_and_comes_back(start: Start) -> None:
    other = start()
    service = start(dependencies=["other"], endpoints={"other": {"url": f"{other.url}/health"}})

    def state() -> str:
        return str(requests.get(f"{service.url}/health", timeout=5).json()["dependencies"]["other"])

    assert state() == "ok"
    other.inject("stop")
    assert eventually(lambda: state() == "down")
    other.heal("stop")
    assert eventually(lambda: state() == "ok")


def test_real_requests_are_counted_by_route_template(start: Start) -> None:
    service = start(capabilities=["http", "market_data"])
    service.inject("no_traffic")
    codes = [
        requests.get(service.url + path, timeout=5).status_code
        for path in ("/api/ticker/BTC-USD", "/api/ticker/ETH-USD", "/api/invalid", "/nowhere", "/health")
    ]
    assert codes == [200, 200, 500, 404, 200]

    def count(**labels: str) -> float:
        return service.total("http_requests_total", **labels)

    before = count(route="/api/ticker/{market}", status="200")
    requests.get(f"{service.url}/api/ticker/BTC-USD", timeout=5)
    assert count(route="/api/ticker/{market}", status="200") == before + 1
    assert count(route="/api/invalid", status="500") == 1
    assert count(route="other", status="404") == 1
    assert count(route="/health") == 0


def test_a_broken_configuration_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    path = service_file(tmp_path, dependencies=["database"])
    command = [sys.executable, "-m", "simulator", "service", "--config", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("dependency 'database' has no entry under `endpoints`; add its address.\n")


def test_half_an_hour_of_healthy_traffic_stays_far_from_every_alert(start: Start) -> None:
    service = start(capabilities=["http", "accounts", "trading", "wallet", "kyc"])
    service.steps(1800)
    requests_total = service.total("http_requests_total")
    failed = sum(service.total("http_requests_total", status=status) for status in ("500", "503"))
    assert 0 < failed / requests_total < 0.005
    slow = 1 - service.total("http_request_duration_seconds_bucket", le="1.0") / requests_total
    assert slow < 0.01
    created = service.total("orders_created_total")
    assert 0.6 < service.total("orders_matched_total") / created < 0.8
    assert service.total("orders_rejected_total") / created < 0.03
    tried = service.total("auth_login_total")
    assert service.total("auth_login_total", result="failure") / tried < 0.08
    assert service.total("withdrawals_pending") < 100
    assert service.total("kyc_pending") < 100
    assert service.total("ledger_difference") == 0


def test_traffic_is_lowest_at_four_and_highest_at_fifteen_utc() -> None:
    day = {hour: activity(hour * 3600) for hour in range(24)}
    assert (min(day, key=day.__getitem__), round(day[4], 6)) == (4, 0.35)
    assert (max(day, key=day.__getitem__), round(day[15], 6)) == (15, 1.0)
    steps = [abs(activity((minute + 1) * 60) - activity(minute * 60)) for minute in range(1440)]
    assert max(steps) < 0.005


def test_a_rename_of_something_else_is_refused(tmp_path: Path) -> None:
    config = read_service(service_file(tmp_path, rename={"mine": "orders_created_total"}))
    with pytest.raises(ConfigError, match=r"`rename` names orders_created_total, which is not among"):
        Service(config, Secrets(tmp_path), LOOPBACK)
