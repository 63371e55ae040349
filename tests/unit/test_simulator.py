"""The simulated services speak the contract, tell the truth about themselves, and break on command."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from simulator.chance import activity
from simulator.config import ConfigError, ControlConfig, Secrets, read_service
from simulator.control import Control
from simulator.engine_feed import EngineEvents
from simulator.fault_catalog import SERVICE_FAULTS
from simulator.service import Service
from tests.unit.loop_thread import LoopThread, eventually

ROOT = Path(__file__).parents[2]
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "configs/contract.yaml").read_text())["capabilities"]
CATALOG: list[dict[str, Any]] = yaml.safe_load((ROOT / "configs/services.yaml").read_text())["services"]
LOOPBACK = "127.0.0.1"
NOON = 1764072000.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Start = Callable[..., "Running"]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def capability_metrics(capabilities: list[str]) -> dict[str, Any]:
    return {name: spec for each in capabilities for name, spec in CONTRACT[each]["metrics"].items()}


def service_file(folder: Path, **changes: Any) -> Path:
    capabilities = changes.pop("capabilities", ["http"])
    values = {
        "name": "some-service",
        "port": 0,
        "control_port": 0,
        "capabilities": capabilities,
        "dependencies": [],
        "metrics": capability_metrics(capabilities),
        "endpoints": {},
        **changes,
    }
    path = folder / "service.json"
    path.write_text(json.dumps(values))
    return path


class Running:
    """A service on loopback whose clock the test moves."""

    def __init__(self, loop: LoopThread, service: Service) -> None:
        self.loop, self.service = loop, service
        self.url = f"http://{LOOPBACK}:{service.main.port}"
        self.control = f"http://{LOOPBACK}:{service.control.port}"

    def steps(self, count: int) -> None:
        """Let `count` seconds of traffic pass at once."""

        def tick() -> None:
            for _ in range(count):
                self.service._last_tick = time.monotonic() - 1.0
                self.service.tick()

        self.loop.call(tick)

    def page(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=5).text

    def samples(self) -> Samples:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (each, has), value in self.samples().items() if each == name and wanted <= has)

    def growth(self, count: int, name: str, **labels: str) -> float:
        """By how much a metric grows in `count` seconds of traffic."""
        before = self.total(name, **labels)
        self.steps(count)
        return self.total(name, **labels) - before

    def inject(self, fault: str, **parameters: Any) -> None:
        answer = requests.put(f"{self.control}/faults/{fault}", json=parameters, timeout=5)
        assert answer.status_code == 200, answer.text

    def heal(self, fault: str) -> None:
        assert requests.delete(f"{self.control}/faults/{fault}", timeout=5).json()["was_active"]


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def start(loop: LoopThread, tmp_path: Path) -> Iterator[Start]:
    running: list[Service] = []

    def begin(**changes: Any) -> Running:
        async def create() -> Service:
            service = Service(read_service(service_file(tmp_path, **changes)), Secrets(tmp_path), LOOPBACK)
            await service.start()
            return service

        running.append(loop.run(create()))
        return Running(loop, running[-1])

    yield begin
    for service in running:
        loop.run(service.stop())


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


def test_a_service_that_depends_on_another_notices_when_it_goes_and_comes_back(start: Start) -> None:
    other = start()
    service = start(dependencies=["other"], endpoints={"other": {"url": f"{other.url}/health"}})
    state = lambda: requests.get(f"{service.url}/health", timeout=5).json()["dependencies"]["other"]  # noqa: E731
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
    count = lambda **labels: service.total("http_requests_total", **labels)  # noqa: E731
    before = count(route="/api/ticker/{market}", status="200")
    requests.get(f"{service.url}/api/ticker/BTC-USD", timeout=5)
    assert count(route="/api/ticker/{market}", status="200") == before + 1
    assert count(route="/api/invalid", status="500") == 1
    assert count(route="other", status="404") == 1
    assert count(route="/health") == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("PUT", "/faults/nonsense", {}, 404, "There is no fault 'nonsense' here; use one of stop, crash,"),
        ("PUT", "/faults/ddos", {}, 404, "There is no fault 'ddos' here"),
        ("DELETE", "/faults/nonsense", None, 404, "There is no fault 'nonsense' here"),
        ("PUT", "/faults/errors", {"rate": 1}, 400, "errors: there is no parameter 'rate'; valid ones: ratio."),
        ("PUT", "/faults/errors", {"ratio": 2}, 400, "errors: `ratio` is 2; use a number from 0 to 1."),
        ("PUT", "/faults/errors", {"ratio": True}, 400, "errors: `ratio` must be a number; got True."),
        ("PUT", "/faults/errors", [1], 400, "errors: parameters must be a JSON object"),
    ],
)
def test_a_wrong_fault_is_refused_with_a_sentence(
    start: Start, method: str, path: str, body: object, status: int, sentence: str
) -> None:
    service = start()
    answer = requests.request(method, service.control + path, json=body, timeout=5)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(sentence)
    assert requests.get(f"{service.control}/faults", timeout=5).json()["active"] == {}


def test_stop_refuses_connections_until_healed_and_control_stays(start: Start) -> None:
    service = start()
    keeping = requests.Session()
    keeping.get(f"{service.url}/health", timeout=5)
    service.inject("stop")

    def refused() -> bool:
        try:
            keeping.get(f"{service.url}/health", timeout=1)
        except requests.ConnectionError:
            return True
        return False

    assert eventually(refused), "a connection that was open must not stay open"
    service.heal("stop")
    assert eventually(lambda: not refused())


@pytest.mark.parametrize(("fault", "metrics_answer"), [("hang", False), ("health_hang", True)])
def test_a_hanging_service_accepts_and_does_not_answer(start: Start, fault: str, metrics_answer: bool) -> None:
    service = start()
    service.inject(fault)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{service.url}/health", timeout=0.4)
    if metrics_answer:
        assert requests.get(f"{service.url}/metrics", timeout=5).status_code == 200
    else:
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{service.url}/metrics", timeout=0.4)
    service.heal(fault)
    assert requests.get(f"{service.url}/health", timeout=5).status_code == 200


def test_crash_ends_the_process_with_status_1(tmp_path: Path) -> None:
    port, control = closed_port(), closed_port()
    path = service_file(tmp_path, port=port, control_port=control)
    command = [sys.executable, "-m", "simulator", "service", "--config", str(path), "--secrets", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["message"] == "service started"
        assert {"timestamp", "level", "service"} <= set(started)
        requests.put(f"http://{LOOPBACK}:{control}/faults/crash", timeout=5)
        assert process.wait(10) == 1


def test_a_broken_configuration_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    path = service_file(tmp_path, dependencies=["database"])
    command = [sys.executable, "-m", "simulator", "service", "--config", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("dependency 'database' has no entry under `endpoints`; add its address.\n")


def test_errors_and_latency_reach_real_and_synthetic_requests(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    service.inject("errors", ratio=1)
    assert requests.get(f"{service.url}/api/orders/1", timeout=5).status_code == 500
    assert service.growth(10, "http_requests_total", status="500") > 10
    service.heal("errors")
    service.inject("latency", seconds=3, share=1)
    before = service.total("http_request_duration_seconds_bucket", le="2.0")
    assert service.growth(10, "http_request_duration_seconds_count") > 10
    assert service.total("http_request_duration_seconds_bucket", le="2.0") == before
    service.heal("latency")
    assert service.growth(20, "http_request_duration_seconds_bucket", le="1.0") > 10


@pytest.mark.parametrize(
    ("capability", "fault", "parameters", "metric", "labels", "per_second"),
    [
        ("gateway", "ddos", {"multiplier": 20}, "http_requests_total", {}, 200),
        ("gateway", "rate_limit_storm", {"per_second": 50}, "rate_limit_hits_total", {}, 30),
        ("accounts", "login_attack", {"per_second": 20}, "auth_login_total", {"result": "failure"}, 12),
        ("trading", "order_flood", {"multiplier": 20}, "orders_created_total", {}, 50),
        ("trading", "order_rejections", {"ratio": 0.9}, "orders_rejected_total", {}, 2),
        ("kyc", "low_kyc_approval", {"per_second": 5}, "kyc_decisions_total", {"decision": "rejected"}, 2),
    ],
)
def test_a_fault_raises_its_counter_and_healing_ends_it(
    start: Start,
    capability: str,
    fault: str,
    parameters: dict[str, float],
    metric: str,
    labels: dict[str, str],
    per_second: float,
) -> None:
    service = start(capabilities=["http", capability])
    service.inject(fault, **parameters)
    assert service.growth(20, metric, **labels) / 20 > per_second
    service.heal(fault)
    assert service.growth(20, metric, **labels) / 20 < per_second / 2


@pytest.mark.parametrize(
    ("capability", "fault", "parameters", "expected"),
    [
        ("gateway", "ddos", {"sources": 9000}, {"gateway_client_sources": (9000, 1e4)}),
        ("accounts", "login_attack", {"sources": 31}, {"auth_suspicious_sources": (31, 31)}),
        ("trading", "order_flood", {"top_account_ratio": 0.9}, {"orders_top_account_ratio": (2.7, 2.7)}),
        (
            "wallet",
            "stuck_withdrawals",
            {"asset": "ETH", "count": 40, "initial_age_seconds": 2400},
            {"withdrawals_pending": (40, 70), "withdrawal_oldest_pending_age_seconds": (2400, 2800)},
        ),
        (
            "wallet",
            "deposit_backlog",
            {"count": 300, "age_seconds": 7200},
            {"deposits_pending": (300, 340), "deposit_oldest_pending_age_seconds": (7200, 7600)},
        ),
        ("wallet", "ledger_difference", {"asset": "BTC", "amount": -2.5}, {"ledger_difference": (-2.5, -2.5)}),
        (
            "kyc",
            "kyc_backlog",
            {"count": 500, "age_seconds": 90000},
            {"kyc_pending": (500, 540), "kyc_oldest_pending_age_seconds": (90000, 90010)},
        ),
    ],
)
def test_a_fault_moves_its_gauges_and_healing_moves_them_back(
    start: Start,
    capability: str,
    fault: str,
    parameters: dict[str, Any],
    expected: dict[str, tuple[float, float]],
) -> None:
    service = start(capabilities=["http", capability])
    service.inject(fault, **parameters)
    for metric, (low, high) in expected.items():
        assert low - 1e-6 <= service.total(metric) <= high, metric
    service.heal(fault)
    service.steps(5)
    for metric, (low, _) in expected.items():
        value = service.total(metric)
        assert value > low if low < 0 else value < low, metric


def test_a_stuck_withdrawal_grows_older_in_real_time(start: Start) -> None:
    service = start(capabilities=["http", "wallet"])
    service.inject("stuck_withdrawals", asset="BTC", initial_age_seconds=100)
    first = service.total("withdrawal_oldest_pending_age_seconds", asset="BTC")
    time.sleep(0.3)
    service.steps(1)
    assert 0.25 < service.total("withdrawal_oldest_pending_age_seconds", asset="BTC") - first < 5


def test_a_drained_hot_wallet_is_below_its_floor_and_duplicates_are_counted_at_once(start: Start) -> None:
    service = start(capabilities=["http", "wallet"])
    ratio = lambda asset: service.total("hot_wallet_balance", asset=asset) / service.total(  # noqa: E731
        "hot_wallet_floor", asset=asset
    )
    assert min(ratio(asset) for asset in ("BTC", "ETH", "USDT")) > 2
    service.inject("hot_wallet_drain", asset="ETH", ratio_of_floor=0.4)
    assert (round(ratio("ETH"), 6), ratio("BTC") > 2) == (0.4, True)
    service.inject("duplicate_credit", asset="USDT")
    assert service.total("deposit_duplicate_credits_total", asset="USDT") == 1


def test_stalled_matching_accepts_orders_and_matches_none_until_healed(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    service.steps(5)
    service.inject("stalled_matching")
    sequence, depth = service.total("matching_engine_sequence"), service.total("matching_engine_queue_depth")
    matched = service.total("orders_matched_total")
    assert service.growth(30, "orders_created_total") > 30
    assert service.total("matching_engine_sequence") == sequence
    assert service.total("orders_matched_total") == matched
    assert service.total("matching_engine_queue_depth") > depth + 30
    service.heal("stalled_matching")
    service.steps(10)
    assert service.total("matching_engine_sequence") > sequence + 30
    assert service.total("matching_engine_queue_depth") < 30


def test_matching_faults_change_latency_and_match_ratio(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    name = "matching_engine_latency_seconds"
    assert service.growth(60, f"{name}_bucket", le="0.1") == pytest.approx(service.total(f"{name}_count"), rel=0.05)
    service.inject("slow_matching", seconds=2)
    assert service.growth(20, f"{name}_bucket", le="0.1") == 0
    service.heal("slow_matching")
    service.inject("low_match_rate", ratio=0.1)
    created, matched = service.total("orders_created_total"), service.total("orders_matched_total")
    service.steps(60)
    share = (service.total("orders_matched_total") - matched) / (service.total("orders_created_total") - created)
    assert share < 0.25


def test_market_data_notes_a_gap_but_not_an_engine_restart(start: Start) -> None:
    service = start(capabilities=["http", "market_data"])
    market_data = service.service._behaviours[0]
    accept = market_data.accept  # type: ignore[attr-defined]
    for events in (
        EngineEvents("BTC-USD", 1.0, 0, 10, NOON),
        EngineEvents("BTC-USD", 1.0, 10, 12, NOON),
        EngineEvents("BTC-USD", 2.0, 0, 4, NOON),
    ):
        service.loop.call(lambda events=events: accept(events))  # type: ignore[misc]
    assert service.total("market_data_sequence", market="BTC-USD") == 4
    assert service.total("market_data_sequence_gaps_total") == 0
    service.loop.call(lambda: accept(EngineEvents("BTC-USD", 2.0, 9, 11, NOON)))
    assert service.total("market_data_sequence_gaps_total", market="BTC-USD") == 1


def test_a_lost_event_shows_in_what_the_engine_publishes(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    feed = service.service._behaviours[0].feed  # type: ignore[attr-defined]
    service.steps(20)
    for events in service.loop.call(feed.waiting):
        service.loop.call(lambda events=events: feed.published(events))  # type: ignore[misc]
    last = service.total("matching_engine_sequence", market="BTC-USD")
    service.inject("sequence_gap", events=7)
    service.steps(10)
    run = next(events for events in service.loop.call(feed.waiting) if events.market == "BTC-USD")
    assert run.previous == last + 7


def test_nodes_and_the_independent_source_agree_until_a_node_stalls(start: Start) -> None:
    reference = start(capabilities=["http", "chain_reference"])
    node = start(capabilities=["http", "blockchain_node"], simulate={"chain": "ethereum"})

    def lag() -> float:
        reference.steps(1)
        node.steps(1)
        return reference.total("blockchain_reference_height", chain="ethereum") - node.total("blockchain_node_height")

    assert abs(lag()) <= 1
    assert 0 <= time.time() - node.total("blockchain_node_last_block_timestamp_seconds") < 13
    node.inject("stalled_node", initial_lag_blocks=50)
    assert 50 <= lag() <= 51
    node.heal("stalled_node")
    assert abs(lag()) <= 1


def test_an_hour_of_healthy_traffic_stays_far_from_every_alert(start: Start) -> None:
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


def test_every_fault_has_a_default_inside_its_own_limits() -> None:
    for spec in SERVICE_FAULTS:
        for parameter in spec.parameters:
            assert parameter.parse(spec.name, parameter.default) == parameter.default


@pytest.fixture
def control(loop: LoopThread, start: Start, tmp_path: Path) -> Iterator[tuple[str, str, Running]]:
    service = start(capabilities=["http", "trading"])
    silent = f"http://{LOOPBACK}:{closed_port()}"
    endpoints = read_service(
        service_file(tmp_path, endpoints={"redis": {"host": LOOPBACK, "port": closed_port()}})
    ).endpoints
    services = {"trading-engine": service.control, "gone-service": silent}

    async def create() -> Control:
        front = Control(ControlConfig(0, 0, "1.0.0", services, endpoints), Secrets(tmp_path), LOOPBACK)
        await front.start()
        return front

    front = loop.run(create())
    yield f"http://{LOOPBACK}:{front.main.port}", f"http://{LOOPBACK}:{front.host_exporter.port}/metrics", service
    loop.run(front.stop())


def test_the_front_reaches_services_and_says_which_it_cannot(control: tuple[str, str, Running]) -> None:
    front, _, _ = control
    assert requests.put(f"{front}/api/faults/trading-engine/stalled_matching", timeout=5).status_code == 200
    state = requests.get(f"{front}/api/faults", timeout=5).json()
    assert list(state["trading-engine"]["active"]) == ["stalled_matching"]
    assert state["gone-service"]["reachable"] is False
    lost = requests.put(f"{front}/api/faults/gone-service/stop", timeout=5)
    assert (lost.status_code, "does not answer on its control port" in lost.text) == (502, True)
    unknown = requests.put(f"{front}/api/faults/nobody/stop", timeout=5)
    assert (unknown.status_code, "use one of trading-engine, gone-service, infrastructure" in unknown.text) == (404, True)
    healed = requests.delete(f"{front}/api/faults", timeout=5).json()
    assert healed == {"healed": True, "unreachable": ["gone-service"]}
    assert requests.get(f"{front}/api/faults", timeout=5).json()["trading-engine"]["active"] == {}


def test_a_system_that_cannot_be_broken_is_reported_and_not_marked_broken(control: tuple[str, str, Running]) -> None:
    front, _, _ = control
    answer = requests.put(f"{front}/api/faults/infrastructure/redis_memory", timeout=10)
    assert (answer.status_code, answer.json()["error"].startswith("redis_memory was not injected")) == (502, True)
    assert requests.get(f"{front}/api/faults", timeout=5).json()["infrastructure"]["active"] == {}


def test_the_front_offers_only_faults_of_systems_it_was_given(control: tuple[str, str, Running]) -> None:
    offered = requests.get(f"{control[0]}/api/faults", timeout=5).json()["infrastructure"]["available"]
    assert "redis_memory" in offered
    assert "replication_lag" not in offered


def host_samples(url: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(requests.get(url, timeout=5).text)
        for sample in family.samples
    }


def test_the_simulated_host_fills_up_and_recovers(control: tuple[str, str, Running]) -> None:
    front, host, _ = control
    labels = {"device": "/dev/vdb1", "fstype": "ext4", "mountpoint": "/data"}.items()

    def available_ratio() -> float:
        page = host_samples(host)
        return page["node_filesystem_avail_bytes", frozenset(labels)] / page["node_filesystem_size_bytes", frozenset(labels)]

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
