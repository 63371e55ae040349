"""Taken down and brought up again: what was recorded, told and logged before is still there."""

import time

from infra.surroundings import NAMESPACE
from tests.conftest import Figure
from tests.kubernetes.live import Live, Object, operate
from tests.running import eventually, starting, succeeded

KEPT = "persistentvolumeclaims,secrets"


def kept(live: Live) -> dict[str, str]:
    """The objects that outlive the stack, with their identities."""
    found = [item for namespace in live.namespaces() for item in live.get(KEPT, f"--namespace={namespace}")]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in found}


def recorded(live: Live, at: float) -> list[list[Object]]:
    """What each Prometheus knows of the minute before a Unix time."""
    return [live.query_range("count(up == 1)", at - 60, at, 15, replica) for replica in live.replicas("prometheus")]


def logged(live: Live, at: float) -> set[tuple[str, str]]:
    """The lines, with their times, that Loki has of the minute before a Unix time. One that was sent twice is one."""
    span = {"start": at - 60, "end": at, "limit": 5000}
    params = {"query": '{service_name=~".+"}', **span}
    answer = live.request(NAMESPACE, "loki-0", 3100, "/loki/api/v1/query_range", params=params, signed_in=False)
    return {(moment, line) for stream in answer.json()["data"]["result"] for moment, line, *_ in stream["values"]}


def test_data_outlives_the_stack(live: Live, figure: Figure) -> None:
    refused = operate("down", "--purge")
    assert refused.returncode == 2
    assert "UNPROTECT=1" in refused.stderr
    eventually("both Prometheus have recorded", lambda: all(recorded(live, time.time() - 20)), seconds=90)
    objects, at = kept(live), time.time() - 20
    series, lines = recorded(live, at), logged(live, at)
    notifications = {each["id"] for each in live.notifications()}
    assert all(series)
    assert lines
    start = time.monotonic()
    succeeded(operate("down"))
    down = time.monotonic() - start
    assert live.get("pods", f"--namespace={NAMESPACE}") == []
    assert kept(live) == objects
    with starting():
        start = time.monotonic()
        succeeded(operate("up"))
        up = time.monotonic() - start
    assert kept(live) == objects
    assert recorded(live, at) == series
    assert lines - logged(live, at) == set()
    assert {each["id"] for each in live.notifications()} >= notifications
    figure(
        f"cluster: down {down:.0f} s, up again {up:.0f} s; {len(objects)} volumes and Secrets kept, both Prometheus, "
        f"Loki ({len(lines)} lines a minute) and the inbox ({len(notifications)} notifications) know what was before"
    )
