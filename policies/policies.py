"""What may not be deployed. Plain functions: the pack gives them to the engine, `make policies` to a rendered stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.owners import TEAM, keeps_team
from policies.resources import DOCKER, WORKLOADS, Declared

MINIMUM_RETENTION_DAYS = 30
# What asks whoever opens it to sign in, and may therefore stand behind an Ingress.
SIGNS_IN = ("grafana",)
# On Docker a check runs inside the container.
UNPROBED = dict.fromkeys(("loki", "log-collector", "redis-exporter"), "its image has no program to ask with")
# Agents of a node read files that belong to root, for which Pod Security `restricted` has no room.
MAY_BE_ROOT = {"log-collector": "reads the log files of every container, which belong to root"}

Check = Callable[[Declared], Iterator[str]]


@dataclass(frozen=True)
class Policy:
    """One policy. `check` yields a sentence for each violation of one resource, with the remedy.

    `together` looks at all resources at once instead, and yields the resource with the sentence.
    """

    name: str
    description: str
    check: Check | None = None
    together: Callable[[Sequence[Declared]], Iterator[tuple[Declared, str]]] | None = None

    def violations(self, declared: Sequence[Declared]) -> Iterator[str]:
        """Each violation with its resource in front."""
        found = self.together(declared) if self.together else ((d, words) for d in declared for words in self._of(d))
        yield from (f"{resource.name}: {words}" for resource, words in found)

    def _of(self, resource: Declared) -> Iterator[str]:
        return self.check(resource) if self.check else iter(())


def _images(resource: Declared) -> Iterator[str]:
    images = [container["image"] for container in resource.containers]
    images += [resource.inputs["image"]] if resource.type == DOCKER else []
    for image in images:
        _, _, tag = image.rpartition("/")[2].partition(":")
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"image {image} has no pinned tag; pin its release in infra/versions.py"


def _limits(resource: Declared) -> Iterator[str]:
    for container in resource.containers:
        given = container.get("resources", {})
        for part in ("limits", "requests"):
            missing = [name for name in ("cpu", "memory") if name not in given.get(part, {})]
            if missing:
                what = " and ".join(missing)
                yield f"container {container['name']} has no {part} of {what}; give its Workload resources"
    if resource.type == DOCKER and not resource.inputs.get("memory"):
        yield "it has no memory limit; give its Workload resources"


def _probes(resource: Declared) -> Iterator[str]:
    for container in resource.pod["containers"] if resource.pod else []:
        missing = [name for name in ("readinessProbe", "livenessProbe") if name not in container]
        if missing:
            yield f"container {container['name']} has no {' and no '.join(missing)}; give its Workload a readiness"
    if resource.type == DOCKER and not (resource.inputs.get("healthcheck") or resource.name in UNPROBED):
        yield "it has no healthcheck; give its Workload a readiness"


def _locked_down(resource: Declared) -> Iterator[str]:
    pod = resource.pod
    if resource.type == DOCKER:
        if "no-new-privileges:true" not in resource.inputs.get("securityOpts", []):
            yield "it may gain privileges; security_opts needs no-new-privileges:true"
        if "ALL" not in resource.inputs.get("capabilities", {}).get("drops", []):
            yield "it keeps the default capabilities; drop ALL"
    if pod is None:
        return
    common = pod.get("securityContext", {})
    for container in resource.containers:
        own: Mapping[str, Any] = container.get("securityContext", {})
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"container {name} may escalate privileges; set allowPrivilegeEscalation: false"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"container {name} can write to its image; set readOnlyRootFilesystem: true"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield f"container {name} keeps the default capabilities; drop ALL"
        if not ({**common, **own}.get("runAsNonRoot") or name in MAY_BE_ROOT):
            yield f"container {name} may run as root; set runAsNonRoot: true"
        if own.get("privileged"):
            yield f"container {name} is privileged; nothing here needs that"


def _services(resource: Declared) -> Iterator[str]:
    if resource.kind == "Service":
        kind = resource.inputs["spec"].get("type", "ClusterIP")
        if kind in ("LoadBalancer", "NodePort"):
            yield f"type {kind} opens it to the outside; the Ingress is the one way in"
    for port in resource.inputs.get("ports", []) if resource.type == DOCKER else []:
        if port.get("external") and port.get("ip") in (None, "", "0.0.0.0", "::"):  # noqa: S104
            yield f"port {port['external']} listens on every address of the machine; bind it to monitoring:bindAddress"


def _ingress(resource: Declared) -> Iterator[str]:
    if resource.kind != "Ingress":
        return
    spec = resource.inputs["spec"]
    covered = {host for entry in spec.get("tls", []) if entry.get("secretName") for host in entry.get("hosts", [])}
    for rule in spec.get("rules", []):
        if rule.get("host") not in covered:
            yield f"host {rule.get('host', '*')} is served without TLS; name it in spec.tls with a secretName"
        for path in rule.get("http", {}).get("paths", []):
            service = path["backend"]["service"]["name"]
            if service not in SIGNS_IN:
                yield f"{service} asks nobody to sign in; only {', '.join(SIGNS_IN)} may stand behind an Ingress"


def _signs_in(resource: Declared) -> Iterator[str]:
    for container in resource.containers:
        variables = {entry["name"]: str(entry.get("value", "")) for entry in container.get("env", [])}
        if variables.get("GF_AUTH_ANONYMOUS_ENABLED", "false").lower() == "true":
            yield "Grafana lets everybody in; remove GF_AUTH_ANONYMOUS_ENABLED"
        if variables.get("GF_AUTH_DISABLE_LOGIN_FORM", "false").lower() == "true":
            yield "nobody is asked to sign in to Grafana; remove GF_AUTH_DISABLE_LOGIN_FORM"


def _retention(resource: Declared) -> Iterator[str]:
    given = [argument for container in resource.containers for argument in container.get("args", [])]
    given += resource.inputs.get("command", []) if resource.type == DOCKER else []
    for argument in given:
        match = re.fullmatch(r"--storage\.tsdb\.retention\.time=(\d+)([dwy])", argument)
        if argument.startswith("--storage.tsdb.retention.time") and (
            match is None or int(match[1]) * {"d": 1, "w": 7, "y": 365}[match[2]] < MINIMUM_RETENTION_DAYS
        ):
            yield f"{argument} keeps metrics for under {MINIMUM_RETENTION_DAYS} days; raise monitoring:retentionDays"


def _alerts(resource: Declared) -> Iterator[str]:
    for rule in resource.alerts:
        labels, name = rule.get("labels", {}), rule["alert"]
        if not re.match(r"https?://", rule.get("annotations", {}).get("runbook_url", "")):
            yield f"alert {name} has no runbook; write docs/runbooks/{name}.md and let infra/rules.py link it"
        if "severity" not in labels:
            yield f"alert {name} has no severity; without one it reaches nobody"
        if not (labels.get(TEAM) or keeps_team(str(rule["expr"]))):
            yield f"alert {name} has no owner: its expression drops the label {TEAM}; keep it in `by` or `on`"


def _disruption(declared: Sequence[Declared]) -> Iterator[tuple[Declared, str]]:
    budgets = [
        (_namespace(d), d.inputs["spec"].get("selector", {}).get("matchLabels", {}))
        for d in declared
        if d.kind == "PodDisruptionBudget"
    ]
    for resource in declared:
        if resource.kind not in WORKLOADS or resource.inputs["spec"].get("replicas", 1) < 2:
            continue
        labels = resource.inputs["spec"]["template"]["metadata"].get("labels", {})
        mine = [
            budget for space, budget in budgets if space == _namespace(resource) and budget.items() <= labels.items()
        ]
        if not mine:
            yield resource, "it has replicas and no PodDisruptionBudget: a drained node may take them all; declare one"


def _namespace(resource: Declared) -> str:
    return str(resource.inputs["metadata"].get("namespace", ""))


def violations(declared: Sequence[Declared]) -> list[str]:
    """Every violation, with the policy's name in front."""
    return [f"{policy.name}: {words}" for policy in POLICIES for words in policy.violations(declared)]


POLICIES = (
    Policy("images-are-pinned", "No image without a pinned tag.", _images),
    Policy("workloads-are-limited", "No workload without requests and limits.", _limits),
    Policy("workloads-are-probed", "No workload without probes.", _probes),
    Policy("workloads-are-locked-down", "No workload without a restricted security context.", _locked_down),
    Policy("no-way-in-but-the-ingress", "No LoadBalancer, no NodePort, no port on every address.", _services),
    Policy("ingress-has-tls-and-sign-in", "No public Ingress without TLS and sign-in.", _ingress),
    Policy("grafana-asks-for-sign-in", "Grafana lets nobody in without sign-in.", _signs_in),
    Policy("metrics-are-kept", "Metrics are kept for at least 30 days.", _retention),
    Policy("replicas-have-a-budget", "A PodDisruptionBudget for every replicated workload.", together=_disruption),
    Policy("alerts-have-runbook-and-owner", "Every alert has a runbook, a severity and an owner.", _alerts),
)
