"""Prometheus finds services pod by pod and agents node by node, with just the rights that takes."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import Edit
from tests.unit.manifests import STACKS, Declared, declare, declared

Rights = set[tuple[str, str, str]]  # namespace or "" for all, resource, verb


def relabelled(job: dict[str, Any]) -> dict[str, str]:
    """The fixed labels and the sources of the others that a job's steps give a target."""
    return {
        step["target_label"]: step.get("replacement") or step["source_labels"][0]
        for step in job["relabel_configs"]
        if "target_label" in step
    }


def granted(found: Declared, account: str) -> Rights:
    """What roles let an account of the platform do."""
    rights: Rights = set()
    for binding in found.every("RoleBinding", "ClusterRoleBinding"):
        if {"kind": "ServiceAccount", "name": account, "namespace": "monitoring"} not in binding["subjects"]:
            continue
        for role in found.every(binding["roleRef"]["kind"]):
            metadata = role["metadata"]
            if metadata["name"] == binding["roleRef"]["name"] and metadata.get("namespace") == binding["metadata"].get(
                "namespace"
            ):
                rights |= {
                    (binding["metadata"].get("namespace", ""), resource, verb)
                    for rule in role["rules"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
    return rights


def needed(found: Declared) -> Rights:
    """What the discovery in prometheus.yml asks of the API, and what kubelets ask it about the token."""
    rights: Rights = set()
    for job in found.jobs.values():
        for discovery in job.get("kubernetes_sd_configs", []):
            role = discovery["role"]
            resource = {"pod": "pods", "node": "nodes"}[role]
            for namespace in discovery.get("namespaces", {}).get("names", [""]):
                rights |= {(namespace, resource, verb) for verb in ("get", "list", "watch")}
        if "credentials_file" in job.get("authorization", {}):
            rights.add(("", "nodes/metrics", "get"))
    return rights


@pytest.mark.parametrize("stack", STACKS)
def test_the_only_account_with_a_token_may_do_what_discovery_needs_and_no_more(stack: str) -> None:
    found = declared(stack)
    assert granted(found, "prometheus") == needed(found)
    assert len(needed(found)) == 10
    subjects = {s["name"] for each in found.every("RoleBinding", "ClusterRoleBinding") for s in each["subjects"]}
    assert subjects == {"prometheus"}
    for role in found.every("Role", "ClusterRole"):
        assert all(
            rule["apiGroups"] == [""] and set(rule) == {"apiGroups", "resources", "verbs"} for rule in role["rules"]
        )


def test_rights_follow_the_catalog(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    namespace: compliance\n")
    edit("configs/services.yaml", "    port: 3002\n", "    port: 3002\n    host: chain.internal\n")
    found = declare("prod", project)
    assert granted(found, "prometheus") == needed(found)
    assert {namespace for namespace, _, _ in needed(found)} == {"", "exchange", "compliance", "monitoring"}


@pytest.mark.parametrize("stack", STACKS)
def test_each_service_is_found_pod_by_pod_in_its_namespace(stack: str) -> None:
    found = declared(stack)
    assert len(found.stack.catalog.services) > 5
    for entry in found.stack.catalog.services:
        job = found.jobs[entry.name]
        (discovery,) = job["kubernetes_sd_configs"]
        assert discovery == {
            "role": "pod",
            "namespaces": {"names": ["exchange"]},
            "selectors": [{"role": "pod", "label": f"app.kubernetes.io/name={entry.name}"}],
        }
        assert "static_configs" not in job
        labels = relabelled(job)
        assert labels["__address__"] == f"${{1}}:{entry.port}"
        assert labels["instance"] == "__meta_kubernetes_pod_name"
        assert (labels["service"], labels["team"], labels["tier"]) == (entry.name, entry.team, entry.tier)


def test_simulated_services_carry_what_discovery_looks_for() -> None:
    found = declared("staging")
    for entry in found.stack.catalog.services:
        deployment = found.one("Deployment", entry.name)
        assert deployment["metadata"]["namespace"] == "exchange"
        (selector,) = found.jobs[entry.name]["kubernetes_sd_configs"][0]["selectors"]
        key, _, value = selector["label"].partition("=")
        assert deployment["spec"]["template"]["metadata"]["labels"][key] == value
        ports = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
        assert entry.port in {port["containerPort"] for port in ports}


def test_a_finished_pod_and_an_init_container_are_no_targets() -> None:
    dropped = {
        step["source_labels"][0]: step["regex"]
        for step in declared("prod").jobs["auth-service"]["relabel_configs"]
        if step.get("action") == "drop"
    }
    assert dropped == {
        "__meta_kubernetes_pod_phase": "Succeeded|Failed",
        "__meta_kubernetes_pod_container_init": "true",
    }


def test_the_catalog_may_say_where_and_which_pods(project: Path, edit: Edit) -> None:
    edit(
        "configs/services.yaml",
        "    port: 3001\n",
        "    port: 3001\n    namespace: compliance\n    pods: app=kyc,tier!=test\n",
    )
    found = declare("prod", project)
    (discovery,) = found.jobs["kyc-service"]["kubernetes_sd_configs"]
    assert discovery["namespaces"] == {"names": ["compliance"]}
    assert discovery["selectors"] == [{"role": "pod", "label": "app=kyc,tier!=test"}]
    probed = [target for group in found.jobs["health"]["static_configs"] for target in group["targets"]]
    assert "http://kyc-service.compliance:3001/health" in probed
    assert "http://auth-service.exchange:3000/health" in probed


def test_another_namespace_for_the_whole_exchange() -> None:
    found = declare("prod", exchangeNamespace="trading")
    for entry in found.stack.catalog.services:
        assert found.jobs[entry.name]["kubernetes_sd_configs"][0]["namespaces"] == {"names": ["trading"]}


def test_a_service_with_a_host_of_its_own_is_a_fixed_target(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    host: kyc.internal\n")
    job = declare("prod", project).jobs["kyc-service"]
    assert "kubernetes_sd_configs" not in job
    assert job["static_configs"] == [
        {
            "targets": ["kyc.internal:3001"],
            "labels": {"service": "kyc-service", "team": "compliance", "tier": "standard"},
        }
    ]


@pytest.mark.parametrize(
    ("job", "port", "service"),
    [
        ("node", 9100, "host"),
        ("log-collector", 8888, "log-collector"),
        ("cadvisor", 10250, "cadvisor"),
        ("kubelet", 10250, "kubelet"),
    ],
)
@pytest.mark.parametrize("stack", STACKS)
def test_agents_are_looked_for_on_every_node(stack: str, job: str, port: int, service: str) -> None:
    found = declared(stack).jobs[job]
    assert found["kubernetes_sd_configs"] == [{"role": "node"}]
    labels = relabelled(found)
    assert labels["__address__"] == f"${{1}}:{port}"
    assert labels["service"] == service
    steps = {step["target_label"]: step for step in found["relabel_configs"]}
    assert steps["__address__"]["source_labels"] == ["__meta_kubernetes_node_address_InternalIP"]
    assert steps["instance"]["source_labels"] == ["__meta_kubernetes_node_name"]


def test_an_agents_port_is_that_of_its_node() -> None:
    for name, job in (("node-exporter", "node"), ("log-collector", "log-collector")):
        item = declared("prod").one("DaemonSet", name)
        ports = item["spec"]["template"]["spec"]["containers"][0]["ports"]
        scraped = int(relabelled(declared("prod").jobs[job])["__address__"].rpartition(":")[2])
        assert scraped in {port.get("hostPort") for port in ports}


@pytest.mark.parametrize("stack", STACKS)
def test_each_replica_is_a_target_that_can_be_missing(stack: str) -> None:
    found = declared(stack)
    for name in ("prometheus", "alertmanager", "loki", "grafana"):
        replicas = found.one("StatefulSet", name)["spec"]["replicas"]
        port = found.one("Service", name)["spec"]["ports"][0]["port"]
        groups = found.jobs[name]["static_configs"]
        assert [group["targets"] for group in groups] == [
            [f"{name}-{number}.{name}-pods.monitoring.svc:{port}"] for number in range(replicas)
        ]
        assert [group["labels"]["instance"] for group in groups] == [f"{name}-{number}" for number in range(replicas)]


@pytest.mark.parametrize(("name", "port"), [("prometheus", 9090), ("grafana", 3000), ("alertmanager", 9093)])
def test_the_services_people_know_have_their_ports(name: str, port: int) -> None:
    service = declared("prod").one("Service", name)
    assert service["metadata"]["namespace"] == "monitoring"
    assert service["spec"]["type"] == "ClusterIP"
    assert port in {each["port"] for each in service["spec"]["ports"]}
    names = {each["name"] for each in declared("prod").pods()[name]["spec"]["containers"][0]["ports"]}
    assert {each["targetPort"] for each in service["spec"]["ports"]} <= names


def test_the_only_way_in_is_the_ingress_to_grafana() -> None:
    found = declared("prod")
    (ingress,) = found.every("Ingress")
    spec = ingress["spec"]
    assert spec["tls"] == [{"hosts": ["monitoring.exchange.com"], "secretName": "monitoring-tls"}]
    (rule,) = spec["rules"]
    assert rule["host"] == "monitoring.exchange.com"
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == "grafana"
    assert backend["port"]["name"] in {p["name"] for p in found.one("Service", "grafana")["spec"]["ports"]}
    assert not [
        s for s in found.every("Service") if s["spec"].get("type", "ClusterIP") not in ("ClusterIP", "ExternalName")
    ]
