"""Configuration changes while all of it runs: a good edit is taken without a restart, a broken one by nobody.

Meanwhile a service is down since test_b_services.py stopped it, and the people who must know are told once.
"""

import json
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra import assembly, checks
from infra import stack as stacks
from infra.errors import InputError
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes import objects
from operate import cluster
from tests.conftest import Figure
from tests.kubernetes import written
from tests.kubernetes.faults_scene import received
from tests.kubernetes.live import STACK, Live, Object, operate
from tests.kubernetes.test_b_services import STOPPED
from tests.running import eventually, succeeded

EVALUATED_SECONDS = 60
EDIT = """
  - name: edited
    rules:
      - record: edited:probe
        expr: vector(7)
"""
BROKEN_RULES = "groups: [{name: broken, rules: [{record: broken, expr: 'sum by ('}]}]"
RELOADED = ("prometheus", "alertmanager")
BROKEN_ROUTES = "route: {receiver: nobody}"


def both(live: Live, expression: str) -> bool:
    """Whether both replicas give a vector that is not empty."""
    return all(live.query(expression, replica) for replica in live.replicas("prometheus"))


def lives(live: Live) -> dict[str, tuple[str, list[int], str]]:
    """Of each Prometheus: its pod, the restarts in it, and when its process started."""
    started = {
        s["metric"]["instance"]: s["value"][1] for s in live.query('process_start_time_seconds{job="prometheus"}')
    }
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            [status["restartCount"] for status in pod["status"]["containerStatuses"]],
            started[pod["metadata"]["name"]],
        )
        for pod in live.pods(NAMESPACE, "prometheus")
    }


def revisions(live: Live, component: str) -> set[str]:
    """The revisions that the replicas of a component run on."""
    return {live.reloader(f"{component}-{number}")["revision"] for number in live.replicas(component)}


def longest_gap(live: Live, replica: int, seconds: int) -> float:
    """The longest time in seconds between two samples of `up` of any target, looking back `seconds`."""
    series: list[Object] = live.query(f"up[{seconds}s]", replica)
    times: list[list[float]] = [[at for at, _ in each["values"]] for each in series]
    return max(later - earlier for each in times for earlier, later in pairwise(each))


def taken(live: Live) -> str:
    """Whether each replica with a reloader runs on the files as they are, as a row of 1 and 0."""
    pods = [f"{component}-{number}" for component in RELOADED for number in live.replicas(component)]
    return "".join(live.reloader(pod)["taken"] for pod in pods)


def test_an_edited_rule_is_evaluated_by_both_without_a_restart(live: Live, tmp_path: Path, figure: Figure) -> None:
    root = written.project(tmp_path, STACK)
    path = root / "configs/prometheus/rules/recording.yml"
    path.write_text(path.read_text() + EDIT)
    edited = stacks.load(STACK, root=root)
    workloads = assembly.workloads(edited)
    checks.verify(workloads)
    before, revision = lives(live), revisions(live, "prometheus")
    maps = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for item in live.get("configmaps", f"-n{NAMESPACE}")
    }
    start = time.monotonic()
    cluster.Cluster(edited).apply([item for item in objects(edited, workloads) if item["kind"] == "ConfigMap"])
    eventually("both replicas evaluate it", lambda: both(live, "edited:probe == 7"), seconds=EVALUATED_SECONDS + 30)
    seconds = time.monotonic() - start
    figure(f"cluster: an edited rule is evaluated by both Prometheus after {seconds:.0f} s")
    assert seconds <= EVALUATED_SECONDS
    changed = [
        item["metadata"]["name"]
        for item in live.get("configmaps", f"-n{NAMESPACE}")
        if maps.get(item["metadata"]["name"]) != item["metadata"]["resourceVersion"]
    ]
    assert changed == ["prometheus-rules"]
    eventually("both reloaders tell", lambda: len(revisions(live, "prometheus")) == 1, seconds=30)
    assert revisions(live, "prometheus").isdisjoint(revision)
    assert lives(live) == before
    interval = live.stack.settings.scrape_interval_seconds
    gaps = [longest_gap(live, replica, 120) for replica in live.replicas("prometheus")]
    figure(
        f"cluster: over that edit the longest time between two samples is {max(gaps):.1f} s, the interval {interval} s"
    )
    assert max(gaps) < 1.5 * interval


def test_a_broken_edit_is_refused_before_the_cluster_sees_it(tmp_path: Path) -> None:
    root = written.project(tmp_path, STACK)
    (root / "configs/prometheus/rules/recording.yml").write_text(BROKEN_RULES)
    with pytest.raises(InputError, match=r"recording\.yml: promtool refuses it"):
        checks.verify(assembly.workloads(stacks.load(STACK, root=root)))


def test_a_broken_object_in_the_cluster_reaches_nobody(live: Live, figure: Figure) -> None:
    """By somebody's kubectl, past our checks; the old configuration works on, and a metric tells."""

    def status(number: int) -> Any:
        return live.request(NAMESPACE, f"alertmanager-{number}", 9093, "/api/v2/status").json()["config"]["original"]

    rules_before, routes_before = revisions(live, "prometheus"), [status(n) for n in live.replicas("alertmanager")]
    start = time.monotonic()
    for name, key, content in (
        ("prometheus-rules", "recording.yml", BROKEN_RULES),
        ("alertmanager", "alertmanager.yml", BROKEN_ROUTES),
    ):
        patch = json.dumps({"data": {key: content}})
        live.kubectl("patch", "configmap", name, f"--namespace={NAMESPACE}", "--type=merge", f"--patch={patch}")
    eventually("all five reloaders tell", lambda: taken(live) == "00000", seconds=120)
    figure(f"cluster: five reloaders have refused a broken edit after {time.monotonic() - start:.0f} s")
    assert revisions(live, "prometheus") == rules_before
    assert [status(n) for n in live.replicas("alertmanager")] == routes_before
    for replica in live.replicas("prometheus"):
        groups = live.prometheus("rules", replica)["groups"]
        age = min(time.time() - datetime.fromisoformat(group["lastEvaluation"]).timestamp() for group in groups)
        assert age < 2 * live.stack.settings.scrape_interval_seconds
        assert live.query("edited:probe == 7", replica)


def told(live: Live, channel: str) -> list[Object]:
    """The notifications of a channel that the stopped service is down."""
    assert live.stopped_at is not None
    found = live.notifications(channel=channel, alertname="ServiceDown", status="firing", since=live.stopped_at)
    return [each for each in found if any(alert["service"] == STOPPED for alert in each["alerts"])]


def test_a_stopped_service_is_told_once(live: Live, figure: Figure) -> None:
    """Although two Prometheus see it and three Alertmanagers hear of it; and nothing else is told."""
    if live.stopped_at is None:
        pytest.skip("no service was stopped in this run")
    page = eventually("its page", lambda: told(live, "pagerduty"), seconds=60)[0]
    eventually("its message", lambda: told(live, "slack"), seconds=30)
    figure(f"cluster: a service without pods is paged {received(page) - live.stopped_at:.0f} s after it was stopped")
    for channel in ("pagerduty", "slack"):
        assert len(told(live, channel)) == 1, channel
    for number in live.replicas("alertmanager"):
        held = [alert for alert in live.alerts(number) if alert["labels"]["alertname"] == "ServiceDown"]
        assert [alert["labels"]["service"] for alert in held] == [STOPPED]
        assert "replica" not in held[0]["labels"]
    everything = live.notifications(since=live.stopped_at)
    assert {(alert["alertname"], alert["service"]) for each in everything for alert in each["alerts"]} == {
        ("ServiceDown", STOPPED)
    }


def test_up_again_finds_what_must_be_mended(live: Live) -> None:
    """That it is mended, without a restart, test_e_again.py sees: the kubelets take their time."""
    succeeded(operate("up"))
    live.mended_at = time.time()
