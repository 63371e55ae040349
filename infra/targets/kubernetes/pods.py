"""Pods, and what keeps them: StatefulSets, Deployments, DaemonSets and their PodDisruptionBudgets."""

from collections.abc import Sequence
from typing import Any

from infra.stack import Stack
from infra.targets.kubernetes import claims, config, containers, volumes
from infra.targets.kubernetes.access import PRIORITY_CLASS
from infra.targets.kubernetes.manifest import PART_OF, Manifest, labels, manifest, namespace_of, selector
from infra.workload import Workload

FINGERPRINT = "mycrypto.com/config"


def of(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """The controller of each workload, and a budget where there are replicas to keep."""
    found = []
    for workload in workloads:
        found.append(_controller(stack, workload))
        if workload.replicas > 1:
            budget = {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(workload)}}}
            namespace = namespace_of(stack, workload)
            found.append(
                manifest("policy/v1", "PodDisruptionBudget", workload.name, namespace, labels(workload), budget)
            )
    return found


def _controller(stack: Stack, workload: Workload) -> Manifest:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector(workload)},
        "revisionHistoryLimit": 3,
        "template": _template(stack, workload),
    }
    if workload.kind == "per-node":
        kind = "DaemonSet"
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    elif workload.kind == "stateless":
        kind = "Deployment"
        spec["replicas"] = workload.replicas
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    else:
        kind = "StatefulSet"
        spec["replicas"] = workload.replicas
        spec["serviceName"] = f"{workload.name}-pods"
        # All start at once; a change still goes one replica at a time.
        spec["podManagementPolicy"] = "Parallel"
        spec["updateStrategy"] = {"type": "RollingUpdate"}
        if workload.replicas > 1:
            # Scrapes and gossip settle before the next one goes.
            spec["minReadySeconds"] = 15
        if workload.storage:
            spec["volumeClaimTemplates"] = [claims.template(stack, workload, workload.storage)]
    return manifest("apps/v1", kind, workload.name, namespace_of(stack, workload), labels(workload), {"spec": spec})


def _template(stack: Stack, workload: Workload) -> dict[str, Any]:
    security = workload.security
    reloads = bool(workload.reload_metric)
    spec: dict[str, Any] = {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": workload.name == "prometheus",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace_seconds,
        "securityContext": {
            "runAsNonRoot": security.user != 0,
            "runAsUser": security.user,
            "runAsGroup": security.group,
            # What reads its secrets as a group, since a mounted Secret belongs to root.
            "fsGroup": security.group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            containers.main(workload),
            *([containers.reloader(workload)] if reloads else []),
        ],
        "volumes": volumes.of(workload),
    }
    if reloads:
        spec["initContainers"] = [containers.first_configuration(workload)]
    if workload.part_of != "exchange":
        spec["priorityClassName"] = PRIORITY_CLASS
    if security.host_network:
        spec["hostNetwork"] = True
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    if workload.kind == "per-node":
        # On every node, also on those that are kept for something else.
        spec["tolerations"] = [{"operator": "Exists"}]
    if workload.replicas > 1:
        spec |= _apart(stack, workload)
    marks = {"app.kubernetes.io/part-of": PART_OF, **labels(workload)}
    template: dict[str, Any] = {"metadata": {"labels": marks}, "spec": spec}
    if workload.config_files:
        # A changed file is a changed template, which rolls the pods; what reads its files live is left alone.
        template["metadata"]["annotations"] = {FINGERPRINT: config.fingerprint(workload)}
    return template


def _apart(stack: Stack, workload: Workload) -> dict[str, Any]:
    """One lost node, or zone, takes one replica."""
    mine = {"labelSelector": {"matchLabels": selector(workload)}}
    term = {**mine, "topologyKey": "kubernetes.io/hostname"}
    required = stack.settings.spread == "required" and workload.part_of != "exchange"
    rule = (
        {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        if required
        else {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    )
    zones = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(workload)},
    }
    return {"affinity": {"podAntiAffinity": rule}, "topologySpreadConstraints": [zones]}
