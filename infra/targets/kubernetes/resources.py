"""Manifests as Pulumi resources."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.stack import Stack
from infra.targets.kubernetes.manifest import Manifest, name_of

# What an `up` waits for: a StatefulSet of three may pull its image and start one after the other.
TIMEOUT = "10m"
# Kept until somebody says `pulumi state unprotect`: what holds the data, and what it stands in.
PROTECTED = ("PersistentVolumeClaim", "Namespace")
# What runs, after everything it reads or stands in.
RUNNING = ("StatefulSet", "Deployment", "DaemonSet")


def _classes() -> dict[tuple[str, str], Any]:
    core, apps, rbac = kubernetes.core.v1, kubernetes.apps.v1, kubernetes.rbac.v1
    net = kubernetes.networking.v1
    classes = [core.Namespace, core.ServiceAccount, core.ConfigMap, core.Secret, core.Service]
    return {
        **{("v1", kind.__name__): kind for kind in [*classes, core.PersistentVolumeClaim]},
        **{("apps/v1", kind.__name__): kind for kind in (apps.StatefulSet, apps.Deployment, apps.DaemonSet)},
        **{
            ("rbac.authorization.k8s.io/v1", kind.__name__): kind
            for kind in (rbac.Role, rbac.RoleBinding, rbac.ClusterRole, rbac.ClusterRoleBinding)
        },
        **{("networking.k8s.io/v1", kind.__name__): kind for kind in (net.NetworkPolicy, net.Ingress)},
        ("policy/v1", "PodDisruptionBudget"): kubernetes.policy.v1.PodDisruptionBudget,
        ("scheduling.k8s.io/v1", "PriorityClass"): kubernetes.scheduling.v1.PriorityClass,
    }


def declare(stack: Stack, manifests: Sequence[Manifest]) -> None:
    """Declare each manifest, in an order in which nothing waits for what is not there."""
    provider = kubernetes.Provider(
        "cluster",
        context=stack.settings.kube_context or None,
        # A changed ConfigMap is changed in place: a new name would roll the pods that read it live.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )
    classes = _classes()
    before: dict[str, list[pulumi.Resource]] = {"namespaces": [], "rest": [], "running": []}
    for manifest in sorted(manifests, key=_rank):
        kind = manifest["kind"]
        inputs = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
        after = {0: [], 1: before["namespaces"], 2: before["rest"], 3: before["running"]}[_rank(manifest)]
        resource = classes[manifest["apiVersion"], kind](
            name_of(manifest),
            **{_ARGUMENTS.get(key, key): value for key, value in inputs.items()},
            opts=pulumi.ResourceOptions(
                provider=provider,
                depends_on=list(after),
                protect=kind in PROTECTED,
                custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT, delete="5m"),
            ),
        )
        if kind == "Namespace":
            before["namespaces"].append(resource)
        elif kind in RUNNING:
            before["running"].append(resource)
        else:
            before["rest"].append(resource)


def _rank(manifest: Manifest) -> int:
    """Namespaces, then what pods need, then what runs; Prometheus last: what it misses when it first looks, pages."""
    kind = manifest["kind"]
    if kind == "Namespace":
        return 0
    if kind not in RUNNING:
        return 1
    return 3 if manifest["metadata"]["name"] == "prometheus" else 2


# Fields that the SDK's constructors spell as Python does. What is within them keeps the API's own names.
_ARGUMENTS = {
    "stringData": "string_data",
    "roleRef": "role_ref",
    "automountServiceAccountToken": "automount_service_account_token",
}
