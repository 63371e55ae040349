"""Who may speak to whom: nothing, but for the calls that the workloads declare."""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE, Kubernetes
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of, selector
from infra.workload import Call, Workload

BY_NAME = "kubernetes.io/metadata.name"
Peer = dict[str, Any]


def policies(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """A refusal of everything for each namespace of the platform, and what each workload may do after all.

    The exchange's namespace is not the platform's to close; a pod in the node's own network is beyond any policy.
    """
    ours = [workload for workload in workloads if workload.part_of != "exchange"]
    found = []
    for namespace in (NAMESPACE, AGENTS_NAMESPACE):
        body = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
        found.append(manifest("networking.k8s.io/v1", "NetworkPolicy", "refuse-everything", namespace, {}, body))
    for workload in ours:
        rules = {"ingress": _ingress(stack, workload, ours), "egress": _egress(stack, workload, workloads)}
        spec = {
            "podSelector": {"matchLabels": selector(workload)},
            "policyTypes": ["Ingress", "Egress"],
            # The API drops an empty list, so that each further apply would count as a change of the object.
            **{direction: allowed for direction, allowed in rules.items() if allowed},
        }
        namespace = namespace_of(stack, workload)
        found.append(
            manifest(
                "networking.k8s.io/v1", "NetworkPolicy", workload.name, namespace, labels(workload), {"spec": spec}
            )
        )
    return found


def _ingress(stack: Stack, workload: Workload, callers: Sequence[Workload]) -> list[dict[str, Any]]:
    rules = []
    for port in sorted({call.port for caller in callers for call in caller.calls if call.to == workload.name}):
        asking = [caller for caller in callers if Call(workload.name, port) in caller.calls]
        peers = [_pods(stack, caller) for caller in asking]
        rules.append({"from": peers, "ports": _ports(_protocols(port, gossip=asking == [workload]))})
    if workload.kind == "per-node":
        # Scraped at the node's address, so that the caller is no pod any more where traffic is translated.
        rules += [{"ports": _ports(_protocols(port))} for port in sorted({scrape.port for scrape in workload.scrapes})]
    if workload.name == "grafana":
        controller = _namespace(stack.settings.ingress_namespace)
        rules.append({"from": [controller], "ports": _ports({(port.number, "TCP") for port in workload.ports})})
    return rules


def _egress(stack: Stack, workload: Workload, others: Sequence[Workload]) -> list[dict[str, Any]]:
    if not workload.calls:
        return []
    by_name = {other.name: other for other in others}
    ports: dict[str, set[tuple[int, str]]] = {}
    peers: dict[str, list[Peer]] = {}
    for call in workload.calls:
        to = _destination(stack, call.to, by_name)
        ports.setdefault(str(to), set()).update(_protocols(call.port, gossip=call.to == workload.name))
        peers[str(to)] = to
    return [_names(), *({**({"to": to} if to else {}), "ports": _ports(ports[key])} for key, to in peers.items())]


def _destination(stack: Stack, name: str, by_name: dict[str, Workload]) -> list[Peer]:
    """Where calls to `name` go; empty for what no selector knows.

    That is nodes and the API, which have no labels here, and whatever runs outside the cluster.
    """
    around, service = stack.surroundings, stack.catalog.by_name.get(name)
    if service and service.host:
        return []
    if name in by_name:
        return [_pods(stack, by_name[name])]
    if service:
        assert isinstance(around, Kubernetes)
        # Probes go to its Service, which may select other pods than discovery does.
        return [_namespace(around.namespace_of(service))]
    return []


def _names() -> dict[str, Any]:
    dns = {**_namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    return {"to": [dns], "ports": _ports({(53, "TCP"), (53, "UDP")})}


def _namespace(name: str) -> Peer:
    return {"namespaceSelector": {"matchLabels": {BY_NAME: name}}}


def _pods(stack: Stack, workload: Workload) -> Peer:
    return {**_namespace(namespace_of(stack, workload)), "podSelector": {"matchLabels": selector(workload)}}


def _protocols(port: int, *, gossip: bool = False) -> set[tuple[int, str]]:
    """Replicas tell each other over TCP what they know, and over UDP that they live."""
    return {(port, "TCP"), *([(port, "UDP")] if gossip else [])}


def _ports(allowed: set[tuple[int, str]]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": protocol} for port, protocol in sorted(allowed)]
