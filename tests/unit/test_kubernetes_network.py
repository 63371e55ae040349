"""Connections are those that workloads declare, and those declared are the ones their configuration opens."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra import documents
from infra.targets.kubernetes import Manifest
from infra.workload import API_SERVER, NODES, OUTSIDE, Call
from tests.unit.conftest import Edit
from tests.unit.manifests import STACKS, Declared, Pod, Policies, declare, declared, pods_of

CONTROLLER = Pod("controller", "ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"})
DNS = Pod("coredns", "kube-system", {"k8s-app": "kube-dns"}, (53,))
STRANGER = Pod("stranger", "default", {"app.kubernetes.io/name": "prometheus"}, (8080, 9093))
PLATFORM = ("monitoring", "monitoring-agents")
# Scraped at the node's address: who asks is no pod any more by then.
OPEN = {("log-collector", 8888)}


def services(found: Declared) -> list[Pod]:
    """A pod of each catalog service that runs in the cluster and is none of the stack's workloads."""
    names = {workload.name for workload in found.workloads}
    return [
        Pod(entry.name, entry.namespace or "exchange", {"app": entry.name}, (entry.port,))
        for entry in found.stack.catalog.services
        if entry.name not in names and not entry.host
    ]


def is_declared(found: Declared, source: Pod, target: Pod, port: int) -> bool:
    """Whether the source's workload says that it opens this connection."""
    calls = found.workload(source.name).calls
    if Call(target.name, port) in calls:
        return True
    by_name = found.stack.catalog.by_name
    if target.namespace not in PLATFORM and target in services(found):
        # Of services that are not the stack's own, the namespace is all that is known for certain.
        return any(call.to in by_name and call.port == port for call in calls)
    return (target.name, port) in OPEN and Call(NODES, port) in calls


@pytest.mark.parametrize("stack", STACKS)
def test_a_connection_is_open_exactly_where_a_workload_declares_it(stack: str) -> None:
    found = declared(stack)
    policies, ours, elsewhere = Policies(found.objects), pods_of(found), services(found)
    ports = sorted({port for pod in (*ours, *elsewhere) for port in pod.ports})
    tried = opened = 0
    for source, target, port in product(ours, (*ours, *elsewhere), ports):
        # The node's own network is beyond policies, on either side; the exchange's is not the platform's to close.
        if source.namespace not in PLATFORM or source.host_network or target.host_network:
            continue
        wanted = is_declared(found, source, target, port)
        # A rule for a port of every node, or of the outside, holds for every pod that nothing protects.
        anywhere = {call.port for call in found.workload(source.name).calls if call.to in (NODES, API_SERVER, OUTSIDE)}
        if target.namespace not in PLATFORM and port in anywhere:
            continue
        tried += 1
        opened += wanted
        assert policies.allow(source, target, port) is wanted, f"{source.name} -> {target.name}:{port}"
    assert tried > 1000
    assert opened > 20


@pytest.mark.parametrize("stack", STACKS)
def test_nobody_else_reaches_the_platform(stack: str) -> None:
    found = declared(stack)
    policies, ours = Policies(found.objects), pods_of(found)
    outsiders = [STRANGER, CONTROLLER, DNS, *(pod for pod in (*ours, *services(found)) if pod.namespace == "exchange")]
    reached = {
        (source.name, target.name, port)
        for source, target in product(outsiders, ours)
        if target.namespace in PLATFORM and not target.host_network
        for port in target.ports
        if policies.allow(source, target, port)
    }
    assert reached == {(each.name, *place) for each in outsiders for place in OPEN} | {("controller", "grafana", 3000)}


def test_grafana_is_entered_through_the_ingress_and_scraped() -> None:
    found = declared("prod")
    policies, grafana = Policies(found.objects), next(pod for pod in pods_of(found) if pod.name == "grafana")
    entering = {
        source.name
        for source in (*pods_of(found), CONTROLLER, STRANGER, DNS)
        if not source.host_network and policies.allow(source, grafana, 3000)
    }
    assert entering == {"controller", "prometheus"}


def test_another_ingress_controller_is_let_in_by_its_namespace() -> None:
    found = declare("prod", ingressNamespace="traefik")
    policies, grafana = Policies(found.objects), next(pod for pod in pods_of(found) if pod.name == "grafana")
    assert not policies.allow(CONTROLLER, grafana, 3000)
    assert policies.allow(Pod("traefik", "traefik", {}), grafana, 3000)


@pytest.mark.parametrize("stack", STACKS)
def test_those_that_call_may_ask_for_names_and_the_others_may_leave_nowhere(stack: str) -> None:
    found = declared(stack)
    policies = Policies(found.objects)
    silent = set()
    for pod in pods_of(found):
        if pod.namespace not in PLATFORM or pod.host_network:
            continue
        calls = bool(found.workload(pod.name).calls)
        assert policies.leaves(pod) is calls, pod.name
        for protocol in ("UDP", "TCP"):
            assert policies.allow(pod, DNS, 53, protocol) is calls, pod.name
        silent |= set() if calls else {pod.name}
    assert silent == {"loki", *(["inbox"] if stack == "staging" else [])}


def test_what_is_not_yet_described_is_refused_in_both_namespaces() -> None:
    found = declared("prod")
    policies = Policies(found.objects)
    for namespace in PLATFORM:
        unknown = Pod("unknown", namespace, {})
        assert not policies.leaves(unknown)
        assert not policies.allow(STRANGER, unknown, 80)
        # Not even its own neighbour, and even if that were to let it in.
        assert not policies.allow(unknown, STRANGER, 80)


def test_a_service_is_reached_in_its_own_namespace_and_no_other(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    namespace: compliance\n")
    found = declare("prod", project)
    policies = Policies(found.objects)
    prometheus, prober = (pod for pod in pods_of(found) if pod.name in ("prometheus", "blackbox-exporter"))
    for source in (prometheus, prober):
        assert policies.allow(source, Pod("kyc", "compliance", {}, ()), 3001)
        for namespace, port in (("exchange", 3001), ("compliance", 8080), ("default", 3001), ("default", 8080)):
            assert not policies.allow(source, Pod("other", namespace, {}, ()), port), (source.name, namespace, port)


def test_a_service_outside_the_cluster_is_reached_at_its_port(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    host: kyc.internal\n")
    found = declare("prod", project)
    prometheus = next(pod for pod in pods_of(found) if pod.name == "prometheus")
    assert Policies(found.objects).allow(prometheus, Pod("anywhere", "default", {}), 3001)


def resolve(found: Declared, host: str, namespace: str) -> str | None:
    """The workload or service behind a name, as DNS answers a pod of this namespace; None for a name outside."""
    first, _, rest = host.partition(".")
    if rest.endswith("-pods.monitoring.svc"):
        return re.sub(r"-\d+$", "", first)
    where = (rest or namespace).removesuffix(".svc.cluster.local").removesuffix(".svc")
    for item in found.every("Service"):
        if (item["metadata"]["name"], item["metadata"]["namespace"]) == (first, where):
            alias = item["spec"].get("externalName")
            if alias:
                return resolve(found, alias, namespace) or first
            return str(item["spec"]["selector"]["app.kubernetes.io/name"])
    entry = found.stack.catalog.by_name.get(first)
    return first if entry and (entry.namespace or "exchange") == where else None


def opened_by_prometheus(found: Declared) -> Iterator[tuple[str, str]]:
    """The source and host:port of each fixed address in prometheus.yml."""
    file = found.prometheus
    for manager in file["alerting"]["alertmanagers"]:
        yield from (("prometheus", target) for group in manager["static_configs"] for target in group["targets"])
    for job in file["scrape_configs"]:
        source = "blackbox-exporter" if job.get("metrics_path") == "/probe" else "prometheus"
        for group in job.get("static_configs", []):
            for target in group["targets"]:
                yield source, urlsplit(target).netloc or target


def opened_elsewhere(found: Declared) -> Iterator[tuple[str, str]]:
    """The same of what else names an address in its own configuration."""
    sources = documents.load(found.one("ConfigMap", "grafana")["data"]["datasources.yml"])["datasources"]
    yield from (("grafana", urlsplit(source["url"]).netloc) for source in sources)
    collector = documents.load(found.one("ConfigMap", "log-collector")["data"]["config.yml"])
    yield "log-collector", urlsplit(collector["exporters"]["otlphttp"]["endpoint"]).netloc
    for name, pod in found.pods().items():
        container = pod["spec"]["containers"][0]
        for argument in container.get("args", []):
            if match := re.fullmatch(r"--cluster\.peer=(.+)|--redis\.addr=redis://(.+)", argument):
                yield name, match[1] or match[2]
        for each in container.get("env", []):
            if each["name"] == "DATA_SOURCE_URI":
                yield name, each["value"].partition("/")[0]


@pytest.mark.parametrize("stack", STACKS)
def test_every_address_in_a_configuration_resolves_and_may_be_called(stack: str) -> None:
    found = declared(stack)
    namespaces = {pod.name: pod.namespace for pod in pods_of(found)}
    seen = set()
    for source, address in (*opened_by_prometheus(found), *opened_elsewhere(found)):
        host, _, port = address.rpartition(":")
        target = resolve(found, host, namespaces[source])
        outside = f"{host}:{port}" in found.stack.settings.tls_probes
        assert target or outside, f"{source} cannot resolve {address}"
        wanted = Call(OUTSIDE if outside else target or "", int(port))
        assert wanted in found.workload(source).calls, f"{source} may not call {address}"
        seen.add(source)
    assert seen >= {"prometheus", "blackbox-exporter", "grafana", "log-collector", "alertmanager", "redis-exporter"}


def rules(found: Declared, name: str) -> list[dict[str, Any]]:
    policy: Manifest = found.one("NetworkPolicy", name)
    return list(policy["spec"].get("egress", []))


def test_only_nodes_the_api_and_the_outside_are_named_by_port_alone() -> None:
    for stack in STACKS:
        found = declared(stack)
        open_ports = {
            workload.name: {
                port["port"] for rule in rules(found, workload.name) if "to" not in rule for port in rule["ports"]
            }
            for workload in found.workloads
            if workload.part_of != "exchange"
        }
        stores = {15692, 5432, 6379} if stack == "prod" else set()
        assert open_ports.pop("prometheus") == {443, 6443, 8888, 9100, 10250} | (stores & {15692})
        assert open_ports.pop("alertmanager") == {443} | ({587} if stack == "prod" else set())
        assert open_ports.pop("blackbox-exporter") == ({443} if stack == "prod" else set())
        assert {port for ports in open_ports.values() for port in ports} == stores - {15692}


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_replicas_gossip_over_both_protocols(direction: str) -> None:
    """Over TCP alone, Alertmanagers suspect each other at every lost probe."""
    policy = next(
        each
        for each in declared("prod").objects
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "alertmanager"
    )
    open_ports = [(port["port"], port["protocol"]) for rule in policy["spec"][direction] for port in rule["ports"]]
    assert {protocol for port, protocol in open_ports if port == 9094} == {"TCP", "UDP"}
