"""Volume claims of the StatefulSets, declared one by one.

A StatefulSet makes claims from a template that can never change, and leaves them to nobody. Declared under the
very names it would give them, they are adopted: they can be protected, and they grow with the settings.
"""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of, quantity
from infra.workload import GIB, Storage, Workload

CLAIM = "data"


def of(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """A claim for each replica that keeps something."""
    return [
        manifest(
            "v1",
            "PersistentVolumeClaim",
            f"{CLAIM}-{workload.name}-{number}",
            namespace_of(stack, workload),
            labels(workload),
            {"spec": spec(stack, workload.storage)},
            # A class that waits for the first pod binds no claim before there is one.
            {"pulumi.com/skipAwait": "true"},
        )
        for workload in workloads
        if workload.storage and workload.kind == "stateful"
        for number in range(workload.replicas)
    ]


def template(stack: Stack, workload: Workload, storage: Storage) -> Manifest:
    """The StatefulSet's template: its size is never used, since each claim is there already, so it never changes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "labels": labels(workload)},
        "spec": spec(stack, Storage(storage.path, GIB)),
    }


def spec(stack: Stack, storage: Storage) -> dict[str, Any]:
    """One node at a time, of the settings' class."""
    found: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": quantity(storage.size)}},
    }
    if stack.settings.storage_class:
        found["storageClassName"] = stack.settings.storage_class
    return found
