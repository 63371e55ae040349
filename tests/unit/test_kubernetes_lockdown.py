"""Pods may do no more than they must: Pod Security `restricted`, limits, probes, and each exception by name."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.targets.kubernetes import Manifest
from tests.unit.manifests import STACKS, containers, declared

# https://kubernetes.io/docs/concepts/security/pod-security-standards/, `restricted`, which includes `baseline`.
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(pod: Manifest) -> Iterator[str]:
    """What the standard `restricted` forbids and the pod does."""
    spec = pod["spec"]
    shared = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    yield from (f"sysctl {each['name']}" for each in shared.get("sysctls", []) if each["name"] not in SYSCTLS)
    for volume in spec.get("volumes", []):
        yield from (f"volume of type {kind}" for kind in set(volume) - {"name"} - VOLUMES)
    for container in containers(pod):
        own = {**shared, **container.get("securityContext", {})}
        yield from _of_container(container, own)


def _of_container(container: Manifest, own: dict[str, Any]) -> Iterator[str]:
    if own.get("privileged"):
        yield "privileged"
    if own.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if own.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if own.get("runAsUser") == 0:
        yield "runAsUser"
    if own.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield "seccompProfile"
    if own.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in SECCOMP:
        yield "appArmorProfile"
    options = own.get("seLinuxOptions", {})
    if options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"):
        yield "seLinuxOptions"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities.drop"
    yield from (f"capability {each}" for each in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"})
    yield from (f"hostPort {each['hostPort']}" for each in container.get("ports", []) if each.get("hostPort"))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if any(container.get(probe, {}).get(action, {}).get("host") for action in ("httpGet", "tcpSocket")):
            yield f"{probe} of another host"


SECURITY = ("spec", "containers", 0, "securityContext")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("spec", "hostIPC"), True, "hostIPC"),
        (("spec", "hostNetwork"), True, "hostNetwork"),
        (("spec", "volumes", 0), {"name": "x", "hostPath": {"path": "/"}}, "volume of type hostPath"),
        (("spec", "securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
        (("spec", "securityContext", "runAsUser"), 0, "runAsUser"),
        (("spec", "securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccompProfile"),
        ((*SECURITY, "allowPrivilegeEscalation"), None, "allowPrivilegeEscalation"),
        ((*SECURITY, "privileged"), True, "privileged"),
        ((*SECURITY, "capabilities", "drop"), [], "capabilities.drop"),
        ((*SECURITY, "capabilities", "add"), ["SYS_PTRACE"], "capability SYS_PTRACE"),
        (("spec", "containers", 0, "ports", 0, "hostPort"), 9090, "hostPort 9090"),
        (("spec", "initContainers", 0, "securityContext"), {}, "capabilities.drop"),
    ],
)
def test_the_standard_as_written_here_finds_each_breach(place: tuple[str | int, ...], value: Any, said: str) -> None:
    pod = copy.deepcopy(declared("prod").pods()["prometheus"])
    assert list(violations(pod)) == []
    inner: Any = pod
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    assert said in list(violations(pod))


@pytest.mark.parametrize("stack", STACKS)
def test_pods_are_restricted_where_their_namespace_enforces_it(stack: str) -> None:
    found = declared(stack)
    levels = {
        item["metadata"]["name"]: {
            mode: item["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"]
            for mode in ("enforce", "warn", "audit")
        }
        for item in found.every("Namespace")
    }
    assert set(levels) >= {"monitoring", "monitoring-agents"} | ({"exchange"} if stack == "staging" else set())
    for item in found.every("StatefulSet", "Deployment", "DaemonSet"):
        namespace = item["metadata"]["namespace"]
        assert len(set(levels[namespace].values())) == 1
        if namespace == "monitoring-agents":
            continue
        assert levels[namespace]["enforce"] == "restricted"
        assert list(violations(item["spec"]["template"])) == [], item["metadata"]["name"]


def test_the_agents_exceptions_are_these_and_no_other() -> None:
    pods = {
        item["metadata"]["name"]: item["spec"]["template"]
        for item in declared("prod").objects
        if item["metadata"].get("namespace") == "monitoring-agents" and item["kind"] == "DaemonSet"
    }
    found = {name: sorted(set(violations(pod))) for name, pod in pods.items()}
    assert found == {
        # The interfaces, processes and file systems of the machine are what it measures.
        "node-exporter": ["hostNetwork", "hostPort 9100", "volume of type hostPath"],
        # Log files belong to root; its place in them must outlive the pod.
        "log-collector": [
            "hostPort 8888",
            "runAsNonRoot",
            "runAsUser",
            "volume of type hostPath",
        ],
    }
    for name, pod in pods.items():
        kept = "/var/lib/otelcol"
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        assert [m["mountPath"] for m in mounts if not m.get("readOnly")] == ([kept] if name == "log-collector" else [])


@pytest.mark.parametrize("stack", STACKS)
def test_every_container_is_read_only_limited_and_pinned(stack: str) -> None:
    for name, pod in declared(stack).pods().items():
        main = pod["spec"]["containers"][0]
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            for side in ("requests", "limits"):
                assert set(container["resources"][side]) == {"cpu", "memory"}, name
            assert container["imagePullPolicy"] == "IfNotPresent"
            repository, _, tag = container["image"].rpartition(":")
            assert repository, container["image"]
            assert any(character.isdigit() for character in tag), container["image"]
        # What is set aside is what it may use: nobody is evicted for memory that was promised twice.
        assert main["resources"]["requests"]["memory"] == main["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("stack", STACKS)
def test_what_listens_is_probed_in_all_three_ways(stack: str) -> None:
    probed = 0
    for name, pod in declared(stack).pods().items():
        for container in containers(pod):
            probes = {key for key in container if key.endswith("Probe")}
            listens = "ports" in container
            assert probes == ({"startupProbe", "readinessProbe", "livenessProbe"} if listens else set()), name
            probed += listens
    assert probed > 10


@pytest.mark.parametrize("stack", STACKS)
def test_only_prometheus_has_a_token(stack: str) -> None:
    found = declared(stack)
    accounts = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found.every("ServiceAccount")
    }
    assert not any(item["automountServiceAccountToken"] for item in accounts.values())
    used = set()
    for item in found.every("StatefulSet", "Deployment", "DaemonSet"):
        spec = item["spec"]["template"]["spec"]
        used.add((item["metadata"]["namespace"], spec["serviceAccountName"]))
        assert spec["automountServiceAccountToken"] is (item["metadata"]["name"] == "prometheus")
        sources = [each for v in spec["volumes"] for each in v.get("projected", {}).get("sources", [])]
        assert not any("serviceAccountToken" in each for each in sources)
    # An account for each, so that a right given to one is given to no other.
    assert used == set(accounts)
    assert len(used) == len(found.pods())


def test_no_password_passes_through_arguments_or_the_environment() -> None:
    for stack in STACKS:
        for name, pod in declared(stack).pods().items():
            for container in containers(pod):
                assert not any("valueFrom" in each for each in container.get("env", [])), name
                assert "envFrom" not in container


@pytest.mark.parametrize("stack", STACKS)
def test_the_platform_outlives_what_it_watches_and_ends_in_peace(stack: str) -> None:
    found = declared(stack)
    exchange = {workload.name for workload in found.workloads if workload.part_of == "exchange"}
    (priority,) = found.every("PriorityClass")
    assert priority["value"] > 0
    assert not priority.get("globalDefault", False)
    for name, pod in found.pods().items():
        assert pod["spec"].get("priorityClassName") == (None if name in exchange else "monitoring"), name
    grace = {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in found.pods().items()}
    assert grace["prometheus"] >= 300
    assert min(grace["alertmanager"], grace["loki"]) >= 30


def test_agents_run_on_every_node() -> None:
    for item in declared("prod").every("DaemonSet"):
        assert item["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
