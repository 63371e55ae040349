"""The policies: nothing that is declared violates one, and each catches what it is there for."""

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from infra.settings import ROOT
from operate.policies import declared
from policies.policies import POLICIES, violations
from policies.resources import DOCKER, Declared

Inputs = dict[str, Any]


@pytest.fixture(scope="module")
def prod() -> list[Declared]:
    return declared("prod")


@pytest.fixture(scope="module")
def dev() -> list[Declared]:
    return declared("dev")


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_nothing_that_is_declared_violates_one(stack: str) -> None:
    assert violations(declared(stack)) == []


def _container(inputs: Inputs) -> Inputs:
    container: Inputs = inputs["spec"]["template"]["spec"]["containers"][0]
    return container


def _rules(inputs: Inputs, old: str, new: str) -> None:
    key = next(key for key, text in inputs["data"].items() if old in text)
    inputs["data"][key] = inputs["data"][key].replace(old, new, 1)


def _ingress(inputs: Inputs) -> Inputs:
    path: Inputs = inputs["spec"]["rules"][0]["http"]["paths"][0]
    return path


def _argument(inputs: Inputs, key: str, start: str, new: str) -> None:
    arguments = inputs[key]
    arguments[:] = [new if argument.startswith(start) else argument for argument in arguments]


RETENTION = "--storage.tsdb.retention.time="


@dataclass(frozen=True)
class Example:
    """One resource of a stack, what is done to it, and a part of what must be said of it."""

    policy: str
    stack: str
    kind: str
    name: str
    spoil: Callable[[Inputs], object]
    words: str

    def __str__(self) -> str:
        return f"{self.policy}: {self.stack} {self.name}: {self.words}"


EXAMPLES = [
    Example("images-are-pinned", "prod", "Deployment", "blackbox-exporter",
            lambda i: _container(i).update(image="prom/blackbox-exporter:latest"), "infra/versions.py"),
    Example("images-are-pinned", "dev", DOCKER, "redis",
            lambda i: i.update(image="redis"), "infra/versions.py"),
    Example("workloads-are-limited", "prod", "StatefulSet", "loki",
            lambda i: _container(i)["resources"]["limits"].pop("memory"), "limits of memory"),
    Example("workloads-are-limited", "prod", "StatefulSet", "loki",
            lambda i: _container(i)["resources"].pop("requests"), "requests of cpu and memory"),
    Example("workloads-are-limited", "dev", DOCKER, "redis",
            lambda i: i.pop("memory"), "memory limit"),
    Example("workloads-are-probed", "prod", "StatefulSet", "grafana",
            lambda i: _container(i).pop("livenessProbe"), "livenessProbe"),
    Example("workloads-are-probed", "dev", DOCKER, "prometheus",
            lambda i: i.pop("healthcheck"), "healthcheck"),
    Example("workloads-are-locked-down", "prod", "StatefulSet", "prometheus",
            lambda i: _container(i)["securityContext"].update(allowPrivilegeEscalation=True),
            "allowPrivilegeEscalation"),
    Example("workloads-are-locked-down", "prod", "StatefulSet", "prometheus",
            lambda i: _container(i)["securityContext"].update(readOnlyRootFilesystem=False),
            "readOnlyRootFilesystem"),
    Example("workloads-are-locked-down", "prod", "StatefulSet", "prometheus",
            lambda i: _container(i)["securityContext"]["capabilities"].pop("drop"), "drop ALL"),
    Example("workloads-are-locked-down", "prod", "StatefulSet", "prometheus",
            lambda i: i["spec"]["template"]["spec"]["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    Example("workloads-are-locked-down", "prod", "DaemonSet", "node-exporter",
            lambda i: _container(i)["securityContext"].update(privileged=True), "privileged"),
    Example("workloads-are-locked-down", "dev", DOCKER, "redis",
            lambda i: i.pop("securityOpts"), "no-new-privileges"),
    Example("workloads-are-locked-down", "dev", DOCKER, "redis",
            lambda i: i["capabilities"].pop("drops"), "drop ALL"),
    Example("no-way-in-but-the-ingress", "prod", "Service", "prometheus",
            lambda i: i["spec"].update(type="LoadBalancer"), "LoadBalancer"),
    Example("no-way-in-but-the-ingress", "prod", "Service", "prometheus",
            lambda i: i["spec"].update(type="NodePort"), "NodePort"),
    Example("no-way-in-but-the-ingress", "dev", DOCKER, "prometheus",
            lambda i: i["ports"][0].update(ip="0.0.0.0"), "every address"),  # noqa: S104 - what must be refused
    Example("ingress-has-tls-and-sign-in", "prod", "Ingress", "grafana",
            lambda i: i["spec"].pop("tls"), "without TLS"),
    Example("ingress-has-tls-and-sign-in", "prod", "Ingress", "grafana",
            lambda i: i["spec"]["rules"][0].update(host="other.exchange.com"), "other.exchange.com"),
    Example("ingress-has-tls-and-sign-in", "prod", "Ingress", "grafana",
            lambda i: _ingress(i)["backend"]["service"].update(name="prometheus"), "prometheus asks nobody"),
    Example("grafana-asks-for-sign-in", "prod", "StatefulSet", "grafana",
            lambda i: _container(i)["env"].append({"name": "GF_AUTH_ANONYMOUS_ENABLED", "value": "true"}),
            "everybody in"),
    Example("metrics-are-kept", "prod", "StatefulSet", "prometheus",
            lambda i: _argument(_container(i), "args", RETENTION, f"{RETENTION}29d"), "29d"),
    Example("metrics-are-kept", "dev", DOCKER, "prometheus",
            lambda i: _argument(i, "command", RETENTION, f"{RETENTION}700h"), "700h"),
    Example("alerts-have-runbook-and-owner", "prod", "ConfigMap", "prometheus-rules",
            lambda i: _rules(i, "runbook_url: https://", "runbook_url: somewhere "), "no runbook"),
    Example("alerts-have-runbook-and-owner", "prod", "ConfigMap", "prometheus-rules",
            lambda i: _rules(i, "expr: service:down:settled == 1\n",
                             "expr: sum by (service) (service:down:settled) == 1\n"), "no owner"),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_each_catches_its_example(example: Example, request: pytest.FixtureRequest) -> None:
    resources: list[Declared] = request.getfixturevalue(example.stack)
    (found,) = [each for each in resources if _named(each, example.kind, example.name)]
    spoiled = copy.deepcopy(dict(found.inputs))
    example.spoil(spoiled)
    budgets = [each for each in resources if each.kind == "PodDisruptionBudget"]
    said = violations([Declared(found.type, found.name, spoiled), *budgets])
    assert said
    start = f"{example.policy}: "
    assert all(each.startswith(start) and example.name in each and example.words in each for each in said), said


def _named(resource: Declared, kind: str, name: str) -> bool:
    own = resource.inputs.get("metadata", {}).get("name", resource.name)
    return kind in (resource.kind, resource.type) and own == name


def test_replicas_without_a_budget(prod: list[Declared]) -> None:
    left = [each for each in prod if not (each.kind == "PodDisruptionBudget" and "alertmanager" in each.name)]
    (said,) = violations(left)
    assert said.startswith("replicas-have-a-budget: StatefulSet/monitoring/alertmanager: ")


def test_every_policy_has_an_example() -> None:
    assert {example.policy for example in EXAMPLES} | {"replicas-have-a-budget"} == {policy.name for policy in POLICIES}


def test_the_pack_is_importable_without_a_server() -> None:
    """Building the policies must not start what only the engine can talk to."""
    script = "import runpy; print(len(runpy.run_path('policies/__main__.py', run_name='pack')['POLICIES']))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == str(len(POLICIES)), done.stderr[-500:]
