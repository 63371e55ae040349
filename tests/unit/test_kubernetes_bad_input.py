"""Bad input of stacks on Kubernetes: one sentence with place and remedy, before anything is declared."""

from typing import Any

import pytest

from infra import capacity, checks, render
from infra.targets import kubernetes
from tests.unit.manifests import declare, declared, sentence


def refused(stack: str, **overrides: Any) -> str:
    """What a stack's render ends with."""
    return sentence(lambda: render.resources(stack, overrides))


@pytest.mark.parametrize("host", ["monitoring", "Monitoring.exchange.com", "https://exchange.com", "a_b.com", "-a.com"])
def test_host_that_is_no_host_name(host: str) -> None:
    said = refused("prod", host=host)
    assert said.startswith("Pulumi.prod.yaml: ")
    assert f"host is {host!r}" in said
    assert "for example monitoring.exchange.com" in said


def test_no_host() -> None:
    assert "host is empty; give the host name of the Ingress" in refused("prod", host="")


def test_user_of_the_web_endpoints_on_either_target() -> None:
    assert "webUser is empty; give the user that Prometheus and Alertmanager ask for" in refused("prod", webUser="")
    assert "webUser is for target kubernetes" in refused("dev", webUser="monitoring")
    assert "webUser" in refused("prod", webUser="a:b")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"replicas": 0}, "sizes.prometheus.replicas: is 0; input should be greater than or equal to 1"),
        ({"replicas": 1.5}, "sizes.prometheus.replicas: is 1.5"),
        ({"memory": "8GB"}, "sizes.prometheus.memory: is '8GB'; give a number with Mi, Gi or Ti, for example 8Gi"),
        ({"storage": 100}, "sizes.prometheus.storage: is 100; give a number with Mi, Gi or Ti"),
        ({"cpu": 2, "cpuLimit": 1}, "sizes.prometheus: cpuLimit 1 is below cpu 2; give at least as many cores"),
        ({"cpu": 0}, "sizes.prometheus.cpu: is 0"),
        ({"disk": "1Gi"}, "sizes.prometheus.disk: unknown key; remove it or correct its spelling"),
    ],
)
def test_size_that_is_none(size: dict[str, Any], words: str) -> None:
    said = refused("prod", sizes={"prometheus": size})
    assert said.startswith("Pulumi.prod.yaml: ")
    assert words in said


def test_size_of_a_workload_that_is_not_there() -> None:
    said = refused("prod", sizes={"promtheus": {"replicas": 2}})
    assert "monitoring:sizes: there is no workload 'promtheus' in this stack; known: alertmanager, " in said
    # The inbox is there where the settings ask for it.
    assert "'inbox'" in refused("prod", sizes={"inbox": {"memory": "1Gi"}})


def test_replicas_on_docker() -> None:
    said = refused("dev", sizes={"prometheus": {"replicas": 3}})
    assert "sizes.prometheus: replicas is 3; Docker runs one of each: remove the line" in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storageClass", "Fast-SSD"),
        ("exchangeNamespace", "Exchange"),
        ("ingressNamespace", "ingress/nginx"),
        ("tlsSecret", "monitoring_tls"),
        ("spread", "never"),
        ("expectedSeries", 10),
    ],
)
def test_name_that_kubernetes_would_refuse(key: str, value: Any) -> None:
    said = refused("prod", **{key: value})
    assert f"Pulumi.prod.yaml: {key}: is {value!r}" in said


@pytest.mark.parametrize("elsewhere", ["redis:6379", "Redis.databases", "10.0.0.1/24", ""])
def test_alias_that_is_no_host_name(elsewhere: str) -> None:
    said = refused("prod", aliases={"redis": elsewhere})
    assert f"aliases.redis is {elsewhere!r}, which is no host name; give one without a port" in said


def test_retention_that_the_volume_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find", lambda _tool, _version: None)
    monkeypatch.setattr(kubernetes, "deploy", lambda *_arguments: None)
    notes: list[str] = []
    # 30 days of 100,000 series each 15 s are 17.28 billion samples.
    render.resources("prod", {"sizes": {"prometheus": {"storage": "30Gi"}}}, notes=notes)
    (note,) = notes
    wanted = 17.28e9 * capacity.BYTES_PER_SAMPLE / 2**30
    assert f"prometheus keeps {30 * 21 / wanted:.0f} of 30 days: 100,000 series each 15 s fill {wanted:.0f} GiB" in note
    assert "70% of its volume are 21 GiB" in note
    for remedy in ("monitoring:sizes", "monitoring:retentionDays", "monitoring:expectedSeries"):
        assert remedy in note


def test_retention_that_fits_says_nothing() -> None:
    for name in ("prod", "staging"):
        found = declared(name)
        assert list(capacity.warnings(found.stack, found.workloads)) == []
    found = declare("prod", sizes={"prometheus": {"storage": "30Gi"}}, retentionDays=15)
    assert list(capacity.warnings(found.stack, found.workloads)) == []
