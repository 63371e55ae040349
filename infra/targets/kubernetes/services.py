"""Services: a stable name for each workload, one for each replica, and aliases for what the catalog names."""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of, selector
from infra.workload import Workload


def of(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """The Services of all workloads that listen, but for agents: Prometheus finds those on their nodes."""
    found = []
    for workload in workloads:
        if not workload.ports or workload.kind == "per-node":
            continue
        namespace = namespace_of(stack, workload)
        found.append(_service(workload, workload.name, namespace, _for_clients(workload)))
        if workload.replicas > 1 or workload.kind == "stateful" or workload.part_of == "exchange":
            # Also those that are not ready: a replica is asked by its own name whatever state it is in.
            headless = {"clusterIP": "None", "publishNotReadyAddresses": True}
            found.append(_service(workload, f"{workload.name}-pods", namespace, headless))
        if namespace == stack.settings.exchange_namespace and workload.name not in stack.catalog.by_name:
            # The catalog names data stores without a namespace, as Docker does.
            found.append(_alias(workload.name, f"{workload.name}.{namespace}.svc.cluster.local"))
    return [*found, *(_alias(name, elsewhere) for name, elsewhere in stack.settings.aliases.items())]


def _alias(name: str, elsewhere: str) -> Manifest:
    return manifest("v1", "Service", name, NAMESPACE, {}, {"spec": {"type": "ExternalName", "externalName": elsewhere}})


def _for_clients(workload: Workload) -> dict[str, Any]:
    """One client keeps to one replica of a database: two Prometheus differ by a scrape, and a graph would flicker."""
    keep = {"sessionAffinity": "ClientIP"} if workload.kind == "stateful" and workload.replicas > 1 else {}
    return {"type": "ClusterIP", **keep}


def _service(workload: Workload, name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    ports = [
        {"name": port.name, "port": port.number, "targetPort": port.name, "protocol": "TCP"} for port in workload.ports
    ]
    body = {"spec": {**spec, "selector": selector(workload), "ports": ports}}
    return manifest("v1", "Service", name, namespace, labels(workload), body)
