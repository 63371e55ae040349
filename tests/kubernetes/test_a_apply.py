"""First of the live tests: what is applied comes up, is well, and stays as it is when it is applied again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from infra import documents, rules
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes.manifest import PART_OF
from infra.targets.kubernetes.manifests import APIS
from operate.cluster import MANAGER
from tests.conftest import Figure
from tests.kubernetes import written
from tests.kubernetes.live import STACK, Live, Object, operate
from tests.running import PATIENCE, eventually, succeeded

OURS = f"--selector=app.kubernetes.io/part-of={PART_OF}"
KINDS = ",".join(APIS)
READY_SECONDS = 180


def moment(text: str) -> float:
    """Unix time of a time as the API writes it."""
    return datetime.fromisoformat(text).timestamp()


def ready_at(pod: Object) -> float:
    """Unix time since which a pod is ready; fails the test for one that is not."""
    ready = next((c for c in pod["status"]["conditions"] if c["type"] == "Ready"), {"status": "False"})
    assert ready["status"] == "True", f"{pod['metadata']['name']} is not ready"
    return moment(ready["lastTransitionTime"])


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and not on its way out."""
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def all_pods(live: Live) -> list[Object]:
    """The pods of the stack in all of its namespaces."""
    return [pod for namespace in live.namespaces() for pod in live.get("pods", f"--namespace={namespace}")]


def test_every_pod_is_ready_within_three_minutes(live: Live, figure: Figure) -> None:
    figure("cluster: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in live.seconds.items()))
    pods = all_pods(live)
    per_node = len(live.get("nodes"))
    wanted = sum(per_node if each.kind == "per-node" else each.replicas for each in live.workloads())
    assert len(pods) == wanted
    ready = max(map(ready_at, pods))
    began = moment(live.get("namespace", NAMESPACE)[0]["metadata"]["creationTimestamp"])
    restarts = sum(s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"])
    figure(f"cluster: {wanted} pods on {per_node} nodes ready {ready - began:.0f} s after apply, {restarts} restarts")
    if live.fresh:
        assert ready - began <= PATIENCE * READY_SECONDS


def test_replicas_stand_on_different_nodes(live: Live) -> None:
    if len(live.get("nodes")) < 2:
        pytest.skip("the cluster has one node")
    for workload in live.workloads():
        if workload.part_of == "platform" and workload.replicas > 1:
            nodes = {pod["spec"]["nodeName"] for pod in live.pods(NAMESPACE, workload.name)}
            assert len(nodes) > 1, workload.name


@pytest.mark.parametrize("replica", [0, 1])
def test_every_target_is_up(live: Live, replica: int, figure: Figure) -> None:
    def states() -> dict[tuple[str, str], str]:
        found = live.prometheus("targets", replica, state="active")["activeTargets"]
        return {(target["labels"]["job"], target["labels"]["instance"]): target["health"] for target in found}

    down = eventually("every target is up", lambda: set(states().values()) == {"up"}, seconds=90)
    assert down
    found = states()
    jobs = {job for job, _ in found}
    assert jobs >= {service.name for service in live.stack.catalog.services} | {"cadvisor", "kubelet", "node"}
    figure(f"cluster: prometheus-{replica} has {len(found)} targets in {len(jobs)} jobs, all up")


def test_applied_again_changes_nothing(live: Live, figure: Figure, tmp_path: Path) -> None:
    def declared() -> dict[str, Object]:
        found = live.get(KINDS, "--all-namespaces", OURS, "--show-managed-fields")
        return {f"{o['kind']}/{o['metadata'].get('namespace')}/{o['metadata']['name']}": _declared(o) for o in found}

    def running() -> dict[str, Any]:
        return {
            pod["metadata"]["uid"]: [s["restartCount"] for s in pod["status"]["containerStatuses"]]
            for pod in all_pods(live)
        }

    before, pods = declared(), running()
    succeeded(operate("up"))
    after = declared()
    assert [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)] == []
    assert running() == pods
    folder = written.rendered(tmp_path, STACK)
    manager = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}")
    shown = live.run_kubectl("diff", *manager, f"--filename={folder}")
    succeeded(shown)
    figure(f"cluster: applied again: {len(before)} objects and {len(pods)} pods as they were; kubectl diff is empty")


def _declared(item: Object) -> Object:
    """An object without what the cluster itself writes while it runs."""
    metadata = dict(item["metadata"])
    fields = [entry for entry in metadata.pop("managedFields") if entry.get("subresource") != "status"]
    if "status" in item:
        metadata.pop("resourceVersion")
        fields = [entry for entry in fields if entry["manager"] == MANAGER]
    return {
        "metadata": metadata,
        "fields": fields,
        **{k: v for k, v in item.items() if k not in ("metadata", "status")},
    }


@pytest.mark.parametrize("stack", [STACK, "prod"])
def test_the_api_server_accepts_every_object_without_a_warning(
    live: Live, tmp_path: Path, figure: Figure, stack: str
) -> None:
    """As new, in namespaces of the same Pod Security levels; prod's with Grafana, its dashboards and its Ingress."""
    items = written.objects(written.rendered(tmp_path, stack))
    spaces = {item["metadata"]["name"]: f"{item['metadata']['name']}-as-{stack}" for item in items if _is_space(item)}
    # Names of namespaces stand in the metadata, in what rights are given to, and in addresses, which nobody resolves.
    for item in items:
        for place in [item["metadata"], *item.get("subjects", [])]:
            if place.get("namespace") in spaces:
                place["namespace"] = spaces[place["namespace"]]
        if _is_space(item):
            item["metadata"]["name"] = spaces[item["metadata"]["name"]]
            # What `down` and the other tests take for the stack's own must not find these.
            item["metadata"]["labels"].pop("app.kubernetes.io/part-of")
    kinds = [item["kind"] for item in items]
    made = [item for item in items if _is_space(item)]
    try:
        live.kubectl("apply", "--server-side", "--filename=-", text=documents.dump(*made))
        text = documents.dump(*[item for item in items if not _is_space(item)])
        accepted = ("--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "--filename=-")
        done = live.run_kubectl("apply", f"--field-manager={MANAGER}", *accepted, text=text)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "Warning" not in done.stderr
    finally:
        live.kubectl("delete", "namespace", *spaces.values(), "--ignore-not-found", "--wait=false")
    assert len(done.stdout.splitlines()) == len(items) - len(made)
    if stack == "prod":
        assert "Ingress" in kinds
        assert "grafana" in {item["metadata"]["name"] for item in items if item["kind"] == "StatefulSet"}
    figure(
        f"cluster: {len(items)} objects of {stack} accepted, no warning, {kinds.count('Ingress')} Ingress among them"
    )


def _is_space(item: Object) -> bool:
    return bool(item["kind"] == "Namespace")


@pytest.mark.parametrize("replica", [0, 1])
def test_every_rule_evaluates_without_error(live: Live, replica: int, figure: Figure) -> None:
    declared = rules.deployed(live.stack, live.workloads())
    wanted = sum(len(group["rules"]) for document in declared.values() for group in document["groups"])
    found = [rule for group in live.prometheus("rules", replica)["groups"] for rule in group["rules"]]
    assert len(found) == wanted
    # Groups of several minutes were not evaluated yet: what they will ask is asked here.
    early = [rule for rule in found if rule["health"] == "unknown"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda rule: live.query(rule["query"], replica), early))
    assert [f"{rule['name']}: {rule['lastError']}" for rule in found if rule["health"] == "err"] == []
    assert live.value("sum(prometheus_rule_evaluation_failures_total)", replica) == 0
    figure(f"cluster: prometheus-{replica} has {wanted} rules, none with an error")


def test_nothing_is_wrong_with_what_has_just_started(live: Live) -> None:
    """Nobody is told anything, and the Watchdog of two Prometheus beats as one."""

    def watchdogs() -> list[int]:
        held = [live.alerts(number) for number in live.replicas("alertmanager")]
        return [[alert["labels"]["alertname"] for alert in alerts].count("Watchdog") for alerts in held]

    if live.fresh:
        # A digest leaves at its hour of the day whatever happens.
        assert [told for told in live.notifications() if not told["title"].startswith("[DIGEST]")] == []
    serious = 'ALERTS{alertstate="firing", severity=~"critical|warning"}'
    # The machine under the cluster may have a full disk of its own.
    assert [s["metric"] for s in live.query(f'{serious} unless ALERTS{{service="host"}}')] == []
    hearts = eventually("the watchdog beats", lambda: live.inbox("heartbeats")["heartbeats"], seconds=90)
    assert [heart["name"] for heart in hearts] == ["watchdog"]
    # An alert that found an Alertmanager not up yet is sent again after a minute.
    eventually("every Alertmanager holds one", lambda: watchdogs() == [1] * len(live.replicas("alertmanager")), 75)
