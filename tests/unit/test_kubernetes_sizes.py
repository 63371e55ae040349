"""Sizes of the settings arrive in the objects, and replicas know each other and stand apart."""

import re
from typing import Any

import pytest

from infra.components import alertmanager
from infra.targets.kubernetes import Manifest, name_of
from operate.replay import seconds
from tests.unit.manifests import Declared, changes, declare, declared

MIB = 1024 * 1024
GI = {"Mi": MIB, "Gi": 1024 * MIB}
PROD = declared("prod")
SIZES: dict[str, Any] = {name: size.model_dump(exclude_none=True) for name, size in PROD.stack.settings.sizes.items()}


def amount(text: str) -> float:
    """A Kubernetes quantity as cores or bytes."""
    if text.endswith("m"):
        return float(text[:-1]) / 1000
    return float(text[:-2]) * GI[text[-2:]] if text[-2:] in GI else float(text)


def controller(found: Declared, name: str) -> Manifest:
    (item,) = (i for i in found.every("StatefulSet", "Deployment", "DaemonSet") if i["metadata"]["name"] == name)
    return item


def claims(found: Declared, name: str) -> dict[str, float]:
    """The size in bytes of each claim of a workload."""
    return {
        item["metadata"]["name"]: amount(item["spec"]["resources"]["requests"]["storage"])
        for item in found.every("PersistentVolumeClaim")
        if item["metadata"]["labels"]["app.kubernetes.io/name"] == name
    }


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_size_arrives_whole(name: str) -> None:
    size, item = SIZES[name], controller(PROD, name)
    resources = item["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert amount(resources["requests"]["cpu"]) == size["cpu"]
    assert amount(resources["limits"]["cpu"]) == size["cpu_limit"]
    assert amount(resources["requests"]["memory"]) == amount(resources["limits"]["memory"]) == size["memory"]
    if item["kind"] != "DaemonSet":
        assert item["spec"]["replicas"] == size.get("replicas", 1)
    if "storage" in size:
        assert set(claims(PROD, name).values()) == {size["storage"]}


def test_what_no_setting_names_keeps_its_own_size() -> None:
    item = controller(PROD, "redis-exporter")
    assert item["spec"]["replicas"] == 1
    assert amount(item["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]) == 64 * MIB


@pytest.mark.parametrize("stack", ["prod", "staging"])
def test_claims_have_the_names_that_a_stateful_set_would_give(stack: str) -> None:
    found = declared(stack)
    wanted = {
        f"PersistentVolumeClaim/{item['metadata']['namespace']}/{template['metadata']['name']}-"
        f"{item['metadata']['name']}-{number}"
        for item in found.every("StatefulSet")
        for template in item["spec"]["volumeClaimTemplates"]
        for number in range(item["spec"]["replicas"])
    }
    assert {name_of(item) for item in found.every("PersistentVolumeClaim")} == wanted
    for item in found.every("StatefulSet"):
        (template,) = item["spec"]["volumeClaimTemplates"]
        mounts = item["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert template["metadata"]["name"] in {mount["name"] for mount in mounts}


def grown(name: str, **size: Any) -> Declared:
    """Production with one workload's size changed."""
    sizes = {
        key: value.model_dump(by_alias=True, exclude_none=True) for key, value in PROD.stack.settings.sizes.items()
    }
    for each in sizes.values():
        each |= {key: f"{each[key] // MIB}Mi" for key in ("memory", "storage") if key in each}
    sizes[name] |= size
    return declare("prod", sizes=sizes)


def test_a_volume_grows_by_its_claims_alone() -> None:
    # The rules know how large each volume is meant to be.
    rules = "ConfigMap/monitoring/prometheus-rules"
    found = changes(PROD, grown("loki", storage="300Gi"))
    assert set(found) == {"PersistentVolumeClaim/monitoring/data-loki-0", rules}
    # Prometheus is told besides how much of it to use; what made the claims can never be changed.
    found = changes(PROD, grown("prometheus", storage="200Gi"))
    assert set(found) == {
        "PersistentVolumeClaim/monitoring/data-prometheus-0",
        "PersistentVolumeClaim/monitoring/data-prometheus-1",
        "StatefulSet/monitoring/prometheus",
        rules,
    }
    before, after = (each["spec"] for each in found["StatefulSet/monitoring/prometheus"] if each)
    assert {key for key in before if before[key] != after[key]} == {"template"}


@pytest.mark.parametrize("size", ["10Gi", "1.5Ti"])
def test_prometheus_keeps_no_more_than_70_percent_of_its_volume(size: str) -> None:
    found = grown("prometheus", storage=size)
    arguments = controller(found, "prometheus")["spec"]["template"]["spec"]["containers"][0]["args"]
    (limit,) = (
        match[1] for each in arguments if (match := re.fullmatch(r"--storage\.tsdb\.retention\.size=(\d+)MB", each))
    )
    # Its MB are 1024 * 1024 bytes.
    for volume in claims(found, "prometheus").values():
        assert int(limit) * MIB / volume == pytest.approx(0.7, abs=0.001)
    assert "--storage.tsdb.retention.time=30d" in arguments


def anti_affinity(found: Declared, name: str) -> tuple[str, Any]:
    ((kind, terms),) = controller(found, name)["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"].items()
    return kind, terms[0].get("podAffinityTerm", terms[0])


@pytest.mark.parametrize("spread", ["required", "preferred"])
def test_replicas_stand_on_different_nodes_as_the_settings_say(spread: str) -> None:
    found = PROD if spread == "required" else declare("prod", spread=spread)
    for name in ("prometheus", "alertmanager", "blackbox-exporter"):
        kind, term = anti_affinity(found, name)
        assert kind == f"{spread}DuringSchedulingIgnoredDuringExecution"
        assert term["topologyKey"] == "kubernetes.io/hostname"
        template = controller(found, name)["spec"]["template"]
        assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (zones,) = template["spec"]["topologySpreadConstraints"]
        assert (zones["topologyKey"], zones["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")
    assert "affinity" not in controller(found, "loki")["spec"]["template"]["spec"]


@pytest.mark.parametrize("stack", ["prod", "staging"])
def test_an_eviction_leaves_all_replicas_but_one(stack: str) -> None:
    found = declared(stack)
    budgets = {name_of(item).partition("/")[2]: item["spec"] for item in found.every("PodDisruptionBudget")}
    replicated = {
        name_of(item).partition("/")[2]: item["spec"]
        for item in found.every("StatefulSet", "Deployment")
        if item["spec"]["replicas"] > 1
    }
    assert set(budgets) == set(replicated)
    for name, budget in budgets.items():
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == replicated[name]["selector"]


def test_a_change_replaces_one_replica_at_a_time() -> None:
    for item in PROD.every("StatefulSet", "Deployment", "DaemonSet"):
        spec = item["spec"]
        strategy = spec.get("updateStrategy") or spec["strategy"]
        assert strategy["type"] == "RollingUpdate"
        if item["kind"] == "StatefulSet":
            # Only then does the next one wait for more than a first answer.
            assert (spec.get("minReadySeconds", 0) > 0) is (spec["replicas"] > 1)
        else:
            assert strategy["rollingUpdate"]["maxUnavailable"] == (1 if item["kind"] == "DaemonSet" else 0)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_alertmanagers_are_each_others_peers_and_prometheus_tells_all(count: int) -> None:
    found = PROD if count == 3 else grown("alertmanager", replicas=count)
    headless = found.one("Service", "alertmanager-pods")["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    names = [f"alertmanager-{number}.alertmanager-pods.monitoring.svc" for number in range(count)]
    assert controller(found, "alertmanager")["spec"]["serviceName"] == "alertmanager-pods"
    arguments = controller(found, "alertmanager")["spec"]["template"]["spec"]["containers"][0]["args"]
    peers = [each.partition("=")[2] for each in arguments if each.startswith("--cluster.peer=")]
    (listen,) = (each.partition("=")[2] for each in arguments if each.startswith("--cluster.listen-address="))
    assert peers == ([f"{name}:9094" for name in names] if count > 1 else [])
    assert bool(listen) is (count > 1)
    turns = [each.partition("=")[2] for each in arguments if each.startswith("--cluster.peer-timeout=")]
    # The last one speaks before the next round of a page's group begins.
    route = alertmanager.config(found.stack, pagerduty_is_real=False)["route"]
    assert len(turns) == (count > 1)
    assert all((count - 1) * seconds(each) < seconds(route["group_interval"]) for each in turns)
    (manager,) = found.prometheus["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": [f"{name}:9093" for name in names]}]
    assert [group["targets"][0] for group in found.jobs["alertmanager"]["static_configs"]] == [
        f"{name}:9093" for name in names
    ]


def test_replicas_mark_their_series_and_not_their_alerts() -> None:
    file = PROD.prometheus
    # Each pod's own name: the shell of the container sets it.
    assert file["global"]["external_labels"] == {"environment": "prod", "replica": "${HOSTNAME}"}
    arguments = controller(PROD, "prometheus")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--enable-feature=expand-external-labels" in arguments
    assert {"regex": "replica", "action": "labeldrop"} in file["alerting"]["alert_relabel_configs"]


def test_volumes_are_of_the_class_that_the_settings_name() -> None:
    assert all("storageClassName" not in item["spec"] for item in PROD.every("PersistentVolumeClaim"))
    found = declare("prod", storageClass="fast-ssd")
    assert {item["spec"]["storageClassName"] for item in found.every("PersistentVolumeClaim")} == {"fast-ssd"}
    for item in found.every("StatefulSet"):
        assert item["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast-ssd"
