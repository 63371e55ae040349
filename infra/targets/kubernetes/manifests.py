"""The Kubernetes target's resources as files for `kubectl apply --server-side -f`."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra.errors import InputError
from infra.stack import Stack
from infra.targets.kubernetes import config
from infra.workload import Workload

# kubectl applies the files of a folder in the order of their names.
FILES: dict[str, tuple[str, ...]] = {
    "00-namespaces.yaml": ("Namespace",),
    "10-access.yaml": (
        "PriorityClass",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "NetworkPolicy",
    ),
    "20-configuration.yaml": ("ConfigMap",),
    "30-volumes.yaml": ("PersistentVolumeClaim",),
    "40-services.yaml": ("Service", "Ingress"),
    "50-workloads.yaml": ("PodDisruptionBudget", "DaemonSet", "Deployment", "StatefulSet"),
}


def files(resources: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """File name to documents, for (type, name, inputs in camelCase) triples as Pulumi declares them."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for token, _, inputs in resources:
        if token.startswith("pulumi:"):
            continue
        by_kind.setdefault(inputs["kind"], []).append(inputs)
    unknown = set(by_kind) - {kind for kinds in FILES.values() for kind in kinds}
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
