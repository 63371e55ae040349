"""What the platform sees is real: rules, logs, databases, queues, the contract."""

import json
import math
import re
from functools import partial

import pytest
import requests

from tests.running import eventually
from tests.stack.conftest import Live

RECORDING = [
    "job:http_requests_per_second",
    "job:http_error_rate",
    "job:http_request_duration_p95",
    "job:http_request_duration_p99",
    "job:pg_connection_pool_usage",
    "job:redis_hit_rate",
    "job:dau",
    "job:mau",
]


@pytest.mark.parametrize("name", RECORDING)
def test_recording_rules_of_the_specification_have_data(live: Live, name: str) -> None:
    series = eventually(f"{name} has data", lambda: live.query(name), seconds=90)
    values = [float(s["value"][1]) for s in series]
    assert not any(map(math.isnan, values)), name
    if "rate" in name or "usage" in name:
        assert all(0 <= value <= 1 for value in values)


def test_every_service_speaks_the_contract(live: Live) -> None:
    """Under the contract's names, renamed where the catalog says so, with the contract's labels and buckets."""
    for service in live.stack.catalog.services:
        for name, metric in live.stack.catalog.metrics_of(service).items():
            if name == "service_dependency_up" and not live.stack.catalog.called_by(service):
                continue  # a series per dependency
            sample = f"{name}_bucket" if metric.type == "histogram" else name
            series = eventually(
                f"{service.name} exposes {name}",
                partial(live.query, f'{sample}{{job="{service.name}"}}'),
                seconds=90,
            )
            labels = set(series[0]["metric"])
            assert labels >= {*metric.labels, "service", "team", "tier"}, f"{service.name} {name}"
            if metric.buckets:
                bounds = {float(s["metric"]["le"]) for s in series}
                assert bounds >= set(metric.buckets), f"{service.name} {name}"
        for spoken in service.rename:
            assert live.query(f'{{__name__=~"{spoken}.*"}}') == []


def test_logs_of_a_service_are_found_by_its_name(live: Live) -> None:
    def lines(service: str) -> list[str]:
        answer = requests.get(
            f"{live.loki}/loki/api/v1/query_range",
            params={"query": f'{{service_name="{service}"}}', "limit": "20"},
            timeout=15,
        ).json()
        return [line for stream in answer["data"]["result"] for _, line in stream["values"]]

    for service in ("auth-service", "trading-engine", "prometheus", "rabbitmq"):
        found = eventually(f"logs of {service}", partial(lines, service), seconds=60)
        assert any(line.strip() for line in found)
    assert all('"service": "auth-service"' in line for line in lines("auth-service"))


def test_replica_streams_from_the_primary(live: Live) -> None:
    roles = {s["metric"]["instance"]: float(s["value"][1]) for s in live.query("pg_replication_is_replica")}
    assert roles == {"postgres-primary": 0, "postgres-replica": 1}
    lag = eventually(
        "the lag of the replica is known", lambda: live.query('pg_replication_lag_seconds{instance="postgres-replica"}')
    )
    assert float(lag[0]["value"][1]) < 60
    assert eventually("the primary sees its replica", lambda: live.query("pg_stat_replication_pg_wal_lsn_diff"))


def test_statements_queues_and_memory_limits_are_seen(live: Live) -> None:
    assert eventually("statement times", lambda: live.query("pg_stat_statements_seconds_total"), seconds=60)
    queues = eventually("queues", lambda: live.query("rabbitmq_detailed_queue_messages_ready"), seconds=60)
    assert {"queue", "vhost"} <= set(queues[0]["metric"])
    assert live.value("redis_memory_max_bytes") == 64 * 1024 * 1024
    growing = 'rate(pg_stat_database_tup_inserted{datname="exchange",instance="postgres-primary"}[1m]) > 0'
    assert eventually("the simulator writes rows", lambda: live.query(growing), seconds=60)
    assert eventually("and keys", lambda: live.query("rate(redis_keyspace_hits_total[1m]) > 0"), seconds=60)


def test_containers_are_measured_by_name(live: Live) -> None:
    names = {s["metric"]["name"] for s in live.query('container_memory_working_set_bytes{name!=""}')}
    assert {live.container(w.name) for w in live.workloads()} <= names


def test_expected_series_of_every_service(live: Live) -> None:
    expected = {s["metric"]["service"]: s["metric"] for s in live.query("catalog:service:expected")}
    for service in live.stack.catalog.services:
        assert expected[service.name]["team"] == service.team
        assert expected[service.name]["tier"] == service.tier


def test_health_is_the_json_of_the_specification(live: Live) -> None:
    for service in live.stack.catalog.services:
        body = json.loads(live.fetch(f"http://{live.stack.surroundings.address(service)}{service.health_path}"))
        assert list(body) == ["status", "timestamp", "version", "dependencies"], service.name
        assert body["status"] == "ok"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
        assert body["dependencies"] == dict.fromkeys(live.stack.catalog.called_by(service), "ok")


def test_a_query_that_reads_everything_is_refused_and_hurts_nobody(live: Live) -> None:
    """Every series a hundred times in each second: the stack is young."""
    before = live.inspect("prometheus")
    form = {"query": 'count(last_over_time({job!=""}[10m:10ms]))'}
    answer = requests.post(f"{live.prometheus}/api/v1/query", data=form, timeout=60)
    assert answer.status_code == 422
    assert "too many samples" in answer.json()["error"]
    after = live.inspect("prometheus")
    assert (after["RestartCount"], after["State"]["OOMKilled"]) == (before["RestartCount"], False)
