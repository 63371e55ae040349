"""Every fault of a simulated service shows in what it says and does, and ends when it is healed."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.settings import ROOT
from simulator.fault_catalog import SERVICE_FAULTS
from tests.unit.loopback import (
    LOOPBACK,
    Start,
    closed_port,
    eventually,
    service_file,
)

NOON = 1764072000.0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("PUT", "/faults/nonsense", {}, 404, "There is no fault 'nonsense' here; use one of stop, crash,"),
        ("PUT", "/faults/ddos", {}, 404, "There is no fault 'ddos' here"),
        ("DELETE", "/faults/nonsense", None, 404, "There is no fault 'nonsense' here"),
        (
            "PUT",
            "/faults/errors",
            {"rate": 1},
            400,
            "errors: there is no parameter 'rate'; valid ones: ratio.",
        ),
        ("PUT", "/faults/errors", {"ratio": 2}, 400, "errors: `ratio` is 2; use a number from 0 to 1."),
        ("PUT", "/faults/errors", {"ratio": True}, 400, "errors: `ratio` must be a number; got True."),
        ("PUT", "/faults/errors", [1], 400, "errors: parameters must be a JSON object"),
    ],
)
def test_a_wrong_fault_is_refused_with_a_sentence(
    start: Start, *, method: str, path: str, body: object, status: int, sentence: str
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
    command = [
        sys.executable,
        "-m",
        "simulator",
        "service",
        "--config",
        str(path),
        "--secrets",
        str(tmp_path),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["message"] == "service started"
        assert {"timestamp", "level", "service"} <= set(started)
        requests.put(f"http://{LOOPBACK}:{control}/faults/crash", timeout=5)
        assert process.wait(10) == 1


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
    *,
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
        (
            "wallet",
            "ledger_difference",
            {"asset": "BTC", "amount": -2.5},
            {"ledger_difference": (-2.5, -2.5)},
        ),
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
    *,
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


def test_a_clock_that_runs_backwards_gives_each_scrape_a_sample_that_is_older_than_the_one_before(start: Start) -> None:
    service = start()

    def stamps() -> list[int]:
        page = requests.get(f"{service.url}/metrics", timeout=5).text
        return [int(line.split()[2]) for line in page.splitlines() if line.startswith("fault_clock_backwards ")]

    assert stamps() == []
    service.inject("clock_backwards")
    first, second = stamps()
    assert second < first <= 1000 * time.time()
    service.heal("clock_backwards")
    assert stamps() == []


def test_every_fault_has_a_default_inside_its_own_limits() -> None:
    for spec in SERVICE_FAULTS:
        for parameter in spec.parameters:
            assert parameter.parse(spec.name, parameter.default) == parameter.default
