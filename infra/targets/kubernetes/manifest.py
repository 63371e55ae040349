"""What every object carries: its kind, its name and namespace, its labels."""

from typing import Any

from infra.stack import Stack
from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE
from infra.workload import GIB, MIB, Workload

Manifest = dict[str, Any]
PART_OF = "mycrypto-monitoring"


def manifest(  # noqa: PLR0917 - the fields of every object, in the API's own order
    api: str,
    kind: str,
    name: str,
    namespace: str | None,
    labels: dict[str, str],
    body: dict[str, Any],
    annotations: dict[str, str] | None = None,
) -> Manifest:
    """An object; `namespace` None for what belongs to the whole cluster."""
    metadata: dict[str, Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = {"app.kubernetes.io/part-of": PART_OF, **labels}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def quantity(size: int) -> str:
    """Bytes as the API writes them back: 8Gi, 512Mi."""
    return f"{size // GIB}Gi" if size % GIB == 0 else f"{size // MIB}Mi"


def name_of(item: Manifest) -> str:
    """Kind, namespace and name, as one path: what tells the object from every other."""
    metadata = item["metadata"]
    return "/".join([item["kind"], *([metadata["namespace"]] if "namespace" in metadata else []), metadata["name"]])


def namespace_of(stack: Stack, workload: Workload) -> str:
    """Where a workload's objects stand."""
    if workload.part_of == "exchange":
        return stack.settings.exchange_namespace
    return AGENTS_NAMESPACE if workload.kind == "per-node" else NAMESPACE


def selector(workload: Workload) -> dict[str, str]:
    """The label that finds a workload's pods; nothing else may change about it while they run."""
    return {"app.kubernetes.io/name": workload.name}


def labels(workload: Workload) -> dict[str, str]:
    """The labels of everything that belongs to a workload."""
    return {**selector(workload), "app.kubernetes.io/component": workload.part_of, "team": workload.team}
