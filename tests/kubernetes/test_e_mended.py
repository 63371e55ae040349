"""After the edits and the outage: `up` has mended them, without a restart; an eviction waits for its turn."""

import json
import subprocess
import time

import pytest

from infra.surroundings import NAMESPACE
from tests.conftest import Figure
from tests.kubernetes.live import Live
from tests.kubernetes.test_a_apply import is_ready
from tests.kubernetes.test_b_services import STOPPED, seen_by_both
from tests.kubernetes.test_c_changes import both, taken
from tests.running import eventually


def test_what_was_broken_is_mended_without_a_restart(live: Live, figure: Figure) -> None:
    if live.mended_at is None or live.stopped_at is None:
        pytest.skip("nothing was broken in this run")
    eventually("all five reloaders have taken the files", lambda: taken(live) == "11111", seconds=90)
    eventually("the edited rule is gone", lambda: not both(live, "edited:probe"), seconds=30)
    eventually("the stopped service is back", lambda: seen_by_both(live, STOPPED), seconds=60)
    figure(
        f"cluster: broken rules, routes and a stopped service mended {time.time() - live.mended_at:.0f} s after `up`"
    )
    started = {
        s["metric"]["instance"]: float(s["value"][1])
        for s in live.query('process_start_time_seconds{job="prometheus"}')
    }
    assert max(started.values()) < live.stopped_at


def evict(live: Live, number: int) -> subprocess.CompletedProcess[str]:
    """What `kubectl drain` asks for, for one Prometheus."""
    name = f"prometheus-{number}"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    return live.run_kubectl("create", f"--raw={path}", "--filename=-", text=json.dumps(body))


def test_the_second_prometheus_cannot_be_evicted_while_the_first_is_away(live: Live, away: int, figure: Figure) -> None:
    def ready() -> set[str]:
        return {pod["metadata"]["uid"] for pod in live.pods(NAMESPACE, "prometheus") if is_ready(pod)}

    both_before, start = ready(), time.monotonic()
    assert evict(live, away).returncode == 0
    refused = evict(live, 1 - away)
    assert refused.returncode != 0
    assert "disruption budget" in refused.stderr
    eventually("the evicted is back", lambda: len(ready()) == 2 and ready() != both_before, seconds=120)
    seconds = time.monotonic() - start
    figure(f"cluster: the second Prometheus is not evicted while the first is away, which was {seconds:.0f} s")
    assert len(ready() & both_before) == 1
