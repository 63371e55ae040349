"""What breaks is seen and told, once."""

import json
import time

import requests

from tests.stack.conftest import Live, eventually


def alerts(live: Live, name: str) -> list[dict[str, str]]:
    """Labels of the alert's firing instances."""
    return [series["metric"] for series in live.query(f'ALERTS{{alertname="{name}",alertstate="firing"}}')]


def test_stopped_service_gives_one_notification_and_one_resolved(faults: Live) -> None:
    requests.delete(f"{faults.inbox}/api/notifications", timeout=5)
    start = time.time()
    faults.inject("wallet-service", "stop")
    pages = eventually("a page", lambda: faults.notifications(channel="pagerduty", alertname="ServiceDown"), seconds=90)
    print(f"fault to page: {time.time() - start:.0f} s")
    # Whatever comes twice comes with the next scrapes and evaluations.
    time.sleep(20)
    for channel in ("pagerduty", "slack"):
        told = faults.notifications(channel=channel)
        assert len(told) == 1, told
        assert "ServiceDown" in told[0]["title"]
        assert "wallet-service" in told[0]["title"]
        assert told[0]["status"] == "firing"
    assert len(pages) == 1
    faults.heal()
    eventually("resolved", lambda: faults.notifications(channel="pagerduty", status="resolved"), seconds=150)
    assert len(faults.notifications(channel="slack", status="resolved")) == 1


def test_service_that_no_discovery_knows_is_down_too(faults: Live) -> None:
    """A removed container leaves no address to scrape; the expected series still asks for it."""
    name = faults.container("kyc-service")
    faults.docker("stop", name)
    try:
        eventually(
            "ServiceDown fires", lambda: [a for a in alerts(faults, "ServiceDown") if a["service"] == "kyc-service"], 90
        )
    finally:
        faults.docker("start", name)
    eventually("ServiceDown ends", lambda: not alerts(faults, "ServiceDown"), seconds=90)


def test_health_names_the_dependency_that_is_gone(faults: Live) -> None:
    faults.docker("stop", faults.container("redis"))
    try:

        def degraded() -> bool:
            body = json.loads(faults.fetch("http://auth-service:3000/health"))
            return bool(body["status"] == "degraded" and body["dependencies"]["redis"] != "ok")

        eventually("auth-service is degraded", degraded, seconds=30)
        body = json.loads(faults.fetch("http://auth-service:3000/health"))
        assert body["dependencies"]["database"] == "ok"
        eventually("the metric says so", lambda: faults.query('service_dependency_up{dependency="redis"} == 0'), 45)
        # Alive with a dependency missing is not down.
        assert faults.query('up{job="auth-service"} == 1')
        assert alerts(faults, "ServiceDown") == []
    finally:
        faults.docker("start", faults.container("redis"))
    eventually(
        "ok again", lambda: json.loads(faults.fetch("http://auth-service:3000/health"))["status"] == "ok", seconds=60
    )


def test_errors_show_in_the_error_rate(faults: Live) -> None:
    faults.inject("auth-service", "errors", ratio=0.5)
    eventually(
        "the error rate rises", lambda: faults.query('job:http_error_rate{service="auth-service"} > 0.05'), seconds=90
    )


def test_stalled_matching_stands_still_while_up_stays_1(faults: Live) -> None:
    faults.inject("trading-engine", "stalled_matching")
    eventually(
        "the sequence stands still",
        lambda: faults.value('sum(changes(matching_engine_sequence{job="trading-engine"}[45s]))') == 0,
        seconds=120,
    )
    assert faults.query('up{job="trading-engine"} == 1')
    assert faults.query('sum(rate(orders_created_total{job="trading-engine"}[1m])) > 0')


def test_paused_replay_shows_as_replication_lag(faults: Live) -> None:
    faults.inject("infrastructure", "replication_lag")
    lag = 'pg_replication_lag_seconds{instance="postgres-replica"}'
    eventually("the replica lags", lambda: faults.query(f"{lag} > 20"), seconds=90)
    faults.heal()
    eventually("and catches up", lambda: faults.query(f"{lag} < 5"), seconds=60)


def test_unknown_fault_is_refused_with_the_known_ones(faults: Live) -> None:
    answer = requests.put(f"{faults.faults}/api/faults/auth-service/meteor", json={}, timeout=5)
    assert answer.status_code in (400, 404)
    assert "errors" in answer.text
