"""A stack's manifests as a cluster reads them: what they refer to, and which connections their policies let pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra import assembly, documents, settings, stack
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack
from infra.targets.kubernetes import Manifest, name_of, objects
from infra.workload import Workload

STACKS = ("prod", "staging")
CONTROLLERS = ("StatefulSet", "Deployment", "DaemonSet")


@dataclass(frozen=True)
class Declared:
    """A stack with its workloads and every object that it declares, Secrets aside."""

    stack: Stack
    workloads: list[Workload]
    objects: list[Manifest]

    def every(self, *kinds: str) -> list[Manifest]:
        """The objects of these kinds."""
        return [item for item in self.objects if item["kind"] in kinds]

    def one(self, kind: str, name: str) -> Manifest:
        """The only object of this kind and name."""
        (found,) = (item for item in self.every(kind) if item["metadata"]["name"] == name)
        return found

    def pods(self) -> dict[str, Manifest]:
        """The pod template of each controller, by the controller's name."""
        return {item["metadata"]["name"]: item["spec"]["template"] for item in self.every(*CONTROLLERS)}

    def workload(self, name: str) -> Workload:
        return next(workload for workload in self.workloads if workload.name == name)

    @property
    def prometheus(self) -> Any:
        """prometheus.yml as the cluster gets it."""
        return documents.load(self.one("ConfigMap", "prometheus")["data"]["prometheus.yml"])

    @property
    def jobs(self) -> dict[str, Any]:
        """Prometheus' scrape jobs by name."""
        return {job["job_name"]: job for job in self.prometheus["scrape_configs"]}


def declare(name: str, root: Path = ROOT, environ: Mapping[str, str] | None = None, **overrides: Any) -> Declared:
    """What a stack declares with the pinned images, so that Grafana is there whatever this machine could build."""
    values = {**settings.stack_file_values(name, root), "images": "registry", **overrides}
    current = stack.load(name, settings.from_config(values, f"Pulumi.{name}.yaml"), root)
    workloads = assembly.workloads(current, environ or {})
    in_cluster = current.settings.target == "kubernetes"
    return Declared(current, workloads, objects(current, workloads) if in_cluster else [])


@cache
def declared(name: str) -> Declared:
    """The stack as it stands. Shared by tests, which must not change it."""
    return declare(name)


def sentence(call: Callable[[], object]) -> str:
    """What the program ends with: one line, with a full stop."""
    with pytest.raises(InputError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def changes(before: Declared, after: Declared) -> dict[str, tuple[Manifest | None, Manifest | None]]:
    """The objects that differ by name, as they were and as they are; None where there is none."""
    old, new = ({name_of(item): item for item in each.objects} for each in (before, after))
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod template, the initial ones included."""
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]


def references(item: Manifest) -> Iterator[str]:
    """Every object that a manifest needs beside it, as `name_of` would name it."""
    namespace = item["metadata"].get("namespace")
    if namespace:
        yield f"Namespace/{namespace}"
    kind = item["kind"]
    if kind in CONTROLLERS:
        yield from _of_pod(item["spec"]["template"]["spec"], namespace)
        if kind == "StatefulSet":
            yield f"Service/{namespace}/{item['spec']['serviceName']}"
            for template in item["spec"].get("volumeClaimTemplates", []):
                for number in range(item["spec"]["replicas"]):
                    claim = f"{template['metadata']['name']}-{item['metadata']['name']}-{number}"
                    yield f"PersistentVolumeClaim/{namespace}/{claim}"
    elif kind in ("RoleBinding", "ClusterRoleBinding"):
        role = item["roleRef"]
        yield "/".join([role["kind"], *([namespace] if role["kind"] == "Role" else []), role["name"]])
        for subject in item["subjects"]:
            yield f"{subject['kind']}/{subject['namespace']}/{subject['name']}"
    elif kind == "Ingress":
        for tls in item["spec"]["tls"]:
            yield f"Secret/{namespace}/{tls['secretName']}"
        for rule in item["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                yield f"Service/{namespace}/{path['backend']['service']['name']}"


def _of_pod(spec: Mapping[str, Any], namespace: str) -> Iterator[str]:
    yield f"ServiceAccount/{namespace}/{spec['serviceAccountName']}"
    if "priorityClassName" in spec:
        yield f"PriorityClass/{spec['priorityClassName']}"
    for volume in spec["volumes"]:
        for source in (volume, *volume.get("projected", {}).get("sources", [])):
            if "configMap" in source:
                yield f"ConfigMap/{namespace}/{source['configMap']['name']}"
            if "secret" in source:
                yield f"Secret/{namespace}/{source['secret'].get('name') or source['secret']['secretName']}"
            if "persistentVolumeClaim" in source:
                yield f"PersistentVolumeClaim/{namespace}/{source['persistentVolumeClaim']['claimName']}"


@dataclass(frozen=True)
class Pod:
    """A pod as network policies see it. One in the node's own network is beyond them."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()
    host_network: bool = False


def pods_of(found: Declared) -> list[Pod]:
    """One pod of each workload, with the ports that its containers listen on."""
    return [
        Pod(
            item["metadata"]["name"],
            item["metadata"]["namespace"],
            item["spec"]["template"]["metadata"]["labels"],
            tuple(
                port["containerPort"]
                for container in containers(item["spec"]["template"])
                for port in container.get("ports", [])
            ),
            item["spec"]["template"]["spec"].get("hostNetwork", False),
        )
        for item in found.every(*CONTROLLERS)
    ]


class Policies:
    """Network policies as https://kubernetes.io/docs/concepts/services-networking/network-policies/ defines them.

    Knows the fields that the platform uses, and refuses any other rather than guess.
    """

    def __init__(self, items: Sequence[Manifest]) -> None:
        self.items = [item for item in items if item["kind"] == "NetworkPolicy"]
        for item in self.items:
            _only(item["spec"], "podSelector", "policyTypes", "ingress", "egress")

    def allow(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is opened: the source may leave and the target may be entered."""
        return self._passes("Egress", source, target, port, protocol) and self._passes(
            "Ingress", target, source, port, protocol
        )

    def leaves(self, source: Pod) -> bool:
        """Whether any rule lets something out of the pod."""
        return source.host_network or any(bool(item["spec"].get("egress")) for item in self._of(source, "Egress"))

    def _of(self, pod: Pod, direction: str) -> list[Manifest]:
        return [
            item
            for item in self.items
            if item["metadata"]["namespace"] == pod.namespace
            and direction in item["spec"]["policyTypes"]
            and _matches(item["spec"]["podSelector"], pod.labels)
        ]

    def _passes(self, direction: str, pod: Pod, other: Pod, port: int, protocol: str) -> bool:
        governing = self._of(pod, direction)
        if pod.host_network or not governing:
            return True
        side = "to" if direction == "Egress" else "from"
        return any(
            _peer_matches(rule, side, item["metadata"]["namespace"], other) and _port_matches(rule, port, protocol)
            for item in governing
            for rule in item["spec"].get(direction.lower(), [])
        )


def _peer_matches(rule: Mapping[str, Any], side: str, namespace: str, other: Pod) -> bool:
    _only(rule, side, "ports")
    peers = rule.get(side)
    # No peer is named: everybody is meant.
    return not peers or any(_is(peer, namespace, other) for peer in peers)


def _is(peer: Mapping[str, Any], namespace: str, other: Pod) -> bool:
    _only(peer, "namespaceSelector", "podSelector")
    if other.host_network:
        return False
    inside = (
        _matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
        if "namespaceSelector" in peer
        else other.namespace == namespace
    )
    return inside and _matches(peer.get("podSelector", {}), other.labels)


def _port_matches(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    for each in rule.get("ports", []):
        _only(each, "port", "protocol")
        assert isinstance(each["port"], int), "a named port"
    return not rule.get("ports") or {"port": port, "protocol": protocol} in rule["ports"]


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    _only(selector, "matchLabels")
    return set(selector.get("matchLabels", {}).items()) <= set(labels.items())


def _only(found: Mapping[str, Any], *known: str) -> None:
    assert set(found) <= set(known), f"the evaluator knows no {set(found) - set(known)}"
