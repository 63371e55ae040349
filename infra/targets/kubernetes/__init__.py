"""Workloads as objects of a Kubernetes cluster, and those objects as Pulumi resources.

`objects` gives them as manifests, in the order in which a cluster wants them; `deploy` declares exactly these,
so that what `pulumi up` does and what `render` writes cannot differ.
"""

from collections.abc import Mapping, Sequence

from infra.stack import Stack
from infra.targets.kubernetes import access, claims, config, ingress, network, pods, services
from infra.targets.kubernetes.manifest import Manifest, name_of
from infra.workload import Workload


def objects(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """Every object but the Secrets, those that others need first."""
    return [
        *access.namespaces(stack, workloads),
        *access.accounts(stack, workloads),
        *network.policies(stack, workloads),
        *config.maps(stack, workloads),
        *claims.of(stack, workloads),
        *services.of(stack, workloads),
        *pods.of(stack, workloads),
        *ingress.of(stack, workloads),
    ]


def deploy(stack: Stack, workloads: Sequence[Workload], values: Mapping[str, str] | None) -> None:
    """Declare the objects, and the Secrets when their `values` (by the name of the secret) are known."""
    # Here, so that a render and the Docker target do without the SDK's import.
    from infra.targets.kubernetes import resources  # noqa: PLC0415

    secrets = config.secrets(stack, workloads, values) if values is not None else []
    resources.declare(stack, [*objects(stack, workloads), *secrets])


__all__ = ["Manifest", "deploy", "name_of", "objects"]
