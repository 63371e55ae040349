"""What the policies look at: a declared resource, the containers in it, and the alerts in its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra import documents

DOCKER = "docker:index/container:Container"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Declared:
    """A resource as the program declares it: its Pulumi type token, its name and its inputs in camelCase."""

    type: str
    name: str
    inputs: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Deployment for kubernetes:apps/v1:Deployment; empty for what is no object of Kubernetes."""
        return self.type.rpartition(":")[2] if self.type.startswith("kubernetes:") else ""

    @property
    def pod(self) -> Mapping[str, Any] | None:
        """The specification of a workload's pods; None for any other resource."""
        spec: Mapping[str, Any] | None = self.inputs["spec"]["template"]["spec"] if self.kind in WORKLOADS else None
        return spec

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """The containers of a workload, those that run before the others included."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]] if self.pod else []

    @property
    def files(self) -> Iterator[tuple[str, str]]:
        """Path or key, and text, of each configuration file that the resource carries."""
        if self.kind == "ConfigMap":
            yield from self.inputs.get("data", {}).items()
        if self.type == DOCKER:
            yield from ((upload["file"], upload["content"]) for upload in self.inputs.get("uploads", []))

    @property
    def alerts(self) -> Iterator[Mapping[str, Any]]:
        """The alerting rules in the resource's files."""
        for path, text in self.files:
            if path.endswith(".yml") and text.startswith("groups:"):
                for group in documents.load(text)["groups"]:
                    yield from (rule for rule in group["rules"] if "alert" in rule)
