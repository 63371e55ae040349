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


# The SDK's modules by API group.
MODULES = {
    "": kubernetes.core,
    "apps": kubernetes.apps,
    "networking.k8s.io": kubernetes.networking,
    "policy": kubernetes.policy,
    "rbac.authorization.k8s.io": kubernetes.rbac,
    "scheduling.k8s.io": kubernetes.scheduling,
}


def _class_of(manifest: Manifest) -> Any:
    group, _, version = manifest["apiVersion"].rpartition("/")
    return getattr(getattr(MODULES[group], version), manifest["kind"])


def declare(stack: Stack, manifests: Sequence[Manifest]) -> None:
    """Declare each manifest, in an order in which nothing waits for what is not there."""
    provider = kubernetes.Provider(
        "cluster",
        context=stack.settings.kube_context or None,
        # A changed ConfigMap is changed in place: a new name would roll the pods that read it live.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )
    placed: list[list[pulumi.Resource]] = [[], [], [], []]
    for manifest in sorted(manifests, key=_rank):
        rank = _rank(manifest)
        inputs = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
        resource = _class_of(manifest)(
            name_of(manifest),
            **{_ARGUMENTS.get(key, key): value for key, value in inputs.items()},
            opts=pulumi.ResourceOptions(
                provider=provider,
                depends_on=list(placed[rank - 1]) if rank else [],
                protect=manifest["kind"] in PROTECTED,
                custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT, delete="5m"),
            ),
        )
        placed[rank].append(resource)


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
