"""Who may speak to whom: nothing, but for the calls that the workloads declare."""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of, selector
from infra.workload import API_SERVER, EXCHANGE, NODES, OUTSIDE, Call, Workload

BY_NAME = "kubernetes.io/metadata.name"


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
        spec = {
            "podSelector": {"matchLabels": selector(workload)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": _ingress(stack, workload, ours),
            "egress": _egress(stack, workload, workloads),
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
        rules.append({"from": [_pods(stack, caller) for caller in asking], "ports": [_tcp(port)]})
    if workload.kind == "per-node":
        # Scraped at the node's address, so that the caller is no pod any more where traffic is translated.
        rules += [{"ports": [_tcp(port)]} for port in _scraped(workload)]
    if workload.name == "grafana":
        controller = {"namespaceSelector": {"matchLabels": {BY_NAME: stack.settings.ingress_namespace}}}
        rules.append({"from": [controller], "ports": [_tcp(port.number) for port in workload.ports]})
    return rules


def _scraped(workload: Workload) -> list[int]:
    return sorted({int(scrape.targets[0].rpartition(":")[2]) for scrape in workload.scrapes})


def _egress(stack: Stack, workload: Workload, others: Sequence[Workload]) -> list[dict[str, Any]]:
    if not workload.calls:
        return []
    by_name = {other.name: other for other in others}
    rules: list[dict[str, Any]] = [_names()]
    anywhere = set()
    for call in workload.calls:
        if call.to in by_name:
            rules.append({"to": [_pods(stack, by_name[call.to])], "ports": [_tcp(call.port)]})
        elif call.to in (NODES, API_SERVER, OUTSIDE, EXCHANGE):
            # No selector knows these: nodes and the API by no label, the exchange wherever its databases run.
            anywhere.add(call.port)
    if anywhere:
        rules.append({"ports": [_tcp(port) for port in sorted(anywhere)]})
    return rules


def _names() -> dict[str, Any]:
    dns = {
        "namespaceSelector": {"matchLabels": {BY_NAME: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [dns], "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}


def _pods(stack: Stack, workload: Workload) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {BY_NAME: namespace_of(stack, workload)}},
        "podSelector": {"matchLabels": selector(workload)},
    }


def _tcp(port: int) -> dict[str, Any]:
    return {"port": port, "protocol": "TCP"}
