"""The Kubernetes target's resources as files for `kubectl apply --server-side -f`."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra.errors import InputError
from infra.stack import Stack
from infra.targets.kubernetes import config
from infra.workload import Workload

RBAC, NETWORKING = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"
# Every kind that is declared, with its API. kubectl applies the files of a folder in the order of their names.
FILES: dict[str, dict[str, str]] = {
    "00-namespaces.yaml": {"Namespace": "v1"},
    "10-access.yaml": {
        "PriorityClass": "scheduling.k8s.io/v1",
        "ServiceAccount": "v1",
        "Role": RBAC,
        "RoleBinding": RBAC,
        "ClusterRole": RBAC,
        "ClusterRoleBinding": RBAC,
        "NetworkPolicy": NETWORKING,
    },
    "20-configuration.yaml": {"ConfigMap": "v1"},
    "30-volumes.yaml": {"PersistentVolumeClaim": "v1"},
    "40-services.yaml": {"Service": "v1", "Ingress": NETWORKING},
    "50-workloads.yaml": {
        "PodDisruptionBudget": "policy/v1",
        "DaemonSet": "apps/v1",
        "Deployment": "apps/v1",
        "StatefulSet": "apps/v1",
    },
}
# By kind, in the order in which they are applied.
APIS = {kind: version for kinds in FILES.values() for kind, version in kinds.items()}


def files(resources: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """File name to documents, for (type, name, inputs in camelCase) triples as Pulumi declares them."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for token, _, inputs in resources:
        if token.startswith("pulumi:"):
            continue
        by_kind.setdefault(inputs["kind"], []).append(inputs)
    unknown = set(by_kind) - set(APIS)
    if unknown:
        raise InputError(
            f"render: {', '.join(sorted(unknown))} has no file; add it to infra/targets/kubernetes/manifests.py."
        )
    return {name: [item for kind in kinds for item in by_kind.get(kind, [])] for name, kinds in FILES.items()}


def secrets_wanted(stack: Stack, workloads: Sequence[Workload]) -> str:
    """The Secrets that the manifests name and do not hold, for a person to read."""
    lines = [
        f"The manifests here mount these Secrets; `make secrets STACK={stack.name}` creates them from the environment.",
        "",
    ]
    for namespace, name, keys in config.wanted_secrets(stack, workloads):
        lines.append(f"{namespace}/{name}")
        lines += [f"  {key:<28} from {variable}" for key, variable in keys.items()]
    tls = stack.settings.tls_secret
    lines += [
        "",
        f"monitoring/{tls} (kubernetes.io/tls) holds the certificate of {stack.settings.host}; it is yours to create.",
    ]
    return "\n".join(lines) + "\n"
