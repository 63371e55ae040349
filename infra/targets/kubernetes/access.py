"""Namespaces with their Pod Security level, service accounts, and the rights that discovery needs."""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE, Kubernetes
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of
from infra.workload import Workload

PRIORITY_CLASS = "monitoring"
READ = ["get", "list", "watch"]


def namespaces(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """The platform's namespace, restricted; its host agents', which cannot be; the exchange's, where it is ours."""
    levels = {NAMESPACE: "restricted", AGENTS_NAMESPACE: "privileged"}
    if any(workload.part_of == "exchange" for workload in workloads):
        levels[stack.settings.exchange_namespace] = "restricted"
    return [_namespace(name, level) for name, level in levels.items()]


def _namespace(name: str, level: str) -> Manifest:
    marks = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn", "audit")}
    return manifest("v1", "Namespace", name, None, marks, {})


def accounts(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """An account for each workload, with a token for Prometheus only, which discovers its targets by the API."""
    found = [
        manifest(
            "v1",
            "ServiceAccount",
            workload.name,
            namespace_of(stack, workload),
            labels(workload),
            {"automountServiceAccountToken": False},
        )
        for workload in workloads
    ]
    return [*found, *_discovery(stack, next(w for w in workloads if w.name == "prometheus")), _priority()]


def _discovery(stack: Stack, prometheus: Workload) -> list[Manifest]:
    """Pods of the catalog's services and of the platform, and every node with its kubelet's metrics."""
    around = stack.surroundings
    assert isinstance(around, Kubernetes)
    services = {around.namespace_of(service) for service in stack.catalog.services if not service.host}
    watched = sorted({NAMESPACE, *services})
    mine = labels(prometheus)
    subjects = [{"kind": "ServiceAccount", "name": prometheus.name, "namespace": NAMESPACE}]
    found = []
    for namespace in watched:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": READ}]
        found += _granted("Role", "monitoring-discovery", namespace, mine, rules, subjects)
    rules = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": READ},
        # The kubelet asks the API whether the token may read its metrics.
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    ]
    return [*found, *_granted("ClusterRole", "monitoring-discovery", None, mine, rules, subjects)]


def _granted(  # noqa: PLR0917 - a role and its binding are made of these
    kind: str,
    name: str,
    namespace: str | None,
    marks: dict[str, str],
    rules: list[dict[str, Any]],
    subjects: list[dict[str, str]],
) -> list[Manifest]:
    api = "rbac.authorization.k8s.io"
    reference = {"apiGroup": api, "kind": kind, "name": name}
    return [
        manifest(f"{api}/v1", kind, name, namespace, marks, {"rules": rules}),
        manifest(f"{api}/v1", f"{kind}Binding", name, namespace, marks, {"roleRef": reference, "subjects": subjects}),
    ]


def _priority() -> Manifest:
    body = {
        "value": 1_000_000,
        "description": "Monitoring is scheduled before what it watches, and evicted after it.",
    }
    return manifest("scheduling.k8s.io/v1", "PriorityClass", PRIORITY_CLASS, None, {}, body)
