"""The exchange's services: found pod by pod as they come and go, and their logs with them.

One is stopped here; test_c_changes.py sees that it is told, while it changes other things.
"""

import time

import pytest

from infra.surroundings import NAMESPACE
from tests.conftest import Figure
from tests.kubernetes.live import Live
from tests.running import eventually

GROWN = "api-gateway"
STOPPED = "ethereum-node"


def pods_of(live: Live, service: str) -> set[str]:
    """Names of the pods of a service that are not on their way out."""
    found = live.pods(live.stack.settings.exchange_namespace, service)
    return {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


def seen_by_both(live: Live, service: str) -> bool:
    """Whether both Prometheus scrape exactly the pods that there are, and get an answer from each."""
    pods = pods_of(live, service)
    for replica in live.replicas("prometheus"):
        targets = live.prometheus("targets", replica, state="active", scrapePool=service)["activeTargets"]
        if {target["labels"]["instance"] for target in targets if target["health"] == "up"} != pods:
            return False
    return True


def test_every_pod_of_every_service_is_a_target(live: Live, figure: Figure) -> None:
    services = {service.name for service in live.stack.catalog.services if not service.host}
    pods: dict[str, set[str]] = {service: set() for service in services}
    for pod in live.get("pods", f"--namespace={live.stack.settings.exchange_namespace}"):
        pods.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/name"], set()).add(pod["metadata"]["name"])
    for replica in live.replicas("prometheus"):
        found: dict[str, set[str]] = {}
        for series in live.query("up == 1", replica):
            found.setdefault(series["metric"]["job"], set()).add(series["metric"]["instance"])
        assert {service: found[service] for service in services} == {service: pods[service] for service in services}
    several = [service for service in services if len(pods[service]) > 1]
    assert {service: len(pods[service]) for service in services} == {s: live.workload(s).replicas for s in services}
    assert len(several) >= 5
    figure(f"cluster: {len(services)} services found pod by pod, {len(several)} of them with several pods")


def test_pods_that_come_and_go_are_followed(live: Live, figure: Figure) -> None:
    namespace, usual = live.stack.settings.exchange_namespace, live.workload(GROWN).replicas
    live.stopped_at = time.time()
    live.scale(namespace, f"deployment/{STOPPED}", 0)
    for replicas in (usual + 1, usual):
        start = time.monotonic()
        live.scale(namespace, f"deployment/{GROWN}", replicas)
        eventually("the pods are changed", lambda wanted=replicas: len(pods_of(live, GROWN)) == wanted)  # type: ignore[misc]
        eventually("both Prometheus see them", lambda: seen_by_both(live, GROWN), seconds=90)
        figure(
            f"cluster: {GROWN} with {replicas} pods is known to both Prometheus after {time.monotonic() - start:.0f} s"
        )


def test_logs_of_every_service_arrive_from_every_node(live: Live, figure: Figure) -> None:
    settings = live.stack.settings
    running = [service.name for service in live.stack.catalog.services if not service.host and service.name != STOPPED]
    pods = {
        pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in live.get("pods", f"-n{settings.exchange_namespace}")
    }

    def senders() -> dict[str, set[str]]:
        expression = 'sum by (service_name, k8s_pod_name) (count_over_time({service_name=~".+"}[5m]))'
        answer = live.request(
            NAMESPACE, "loki-0", 3100, "/loki/api/v1/query", params={"query": expression}, signed_in=False
        )
        found: dict[str, set[str]] = {}
        for series in answer.json()["data"]["result"]:
            found.setdefault(series["metric"]["service_name"], set()).add(series["metric"].get("k8s_pod_name", ""))
        return found

    eventually("lines of every service", lambda: set(running) - senders().keys() == set(), seconds=60)
    found = senders()
    nodes = {pods[pod] for service in running for pod in found[service] if pod in pods}
    assert nodes == {node["metadata"]["name"] for node in live.get("nodes")}
    figure(f"cluster: logs of {len(found)} components by their names, from {len(nodes)} nodes")


def test_dashboards_are_mounted_where_grafana_runs(live: Live) -> None:
    grafana = next((workload for workload in live.workloads() if workload.name == "grafana"), None)
    if grafana is None:
        pytest.skip(f"no Grafana in this stack: {live.stack.images.unavailable['grafana']}")
    listed = live.exec(NAMESPACE, "grafana-0", "find", "/etc/grafana", "-name", "*.json").stdout.split()
    assert len(listed) == sum(file.path.endswith(".json") for file in grafana.config_files)
