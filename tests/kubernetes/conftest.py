"""The stack `staging` on a real cluster, brought up once and removed at the end.

KEEP=1 leaves stack and cluster for the next run, which then needs the same secrets in its environment.
"""

import os
import secrets
import time
from collections.abc import Iterator

import pytest

from infra import stack as stacks
from infra.surroundings import NAMESPACE
from operate.tools import speak
from tests.cluster import cluster as clusters
from tests.cluster.cluster import Cluster
from tests.cluster.processes import ClusterError
from tests.kubernetes.faults_node import Unscheduled
from tests.kubernetes.live import STACK, Live, operate
from tests.running import eventually, starting, succeeded

KEPT = bool(os.environ.get("KEEP"))
PASSWORDS = ("POSTGRES", "REDIS", "RABBITMQ", "GRAFANA_ADMIN", "WEB")
# With one of them in the environment, somebody would be paged by the tests.
REAL_RECEIVERS = ("SLACK_WEBHOOK_URL", "PAGERDUTY_SERVICE_KEY", "HEARTBEAT_URL")


def _cluster() -> Cluster:
    """The cluster, started where none runs. Skips where this user cannot have one."""
    try:
        return clusters.ensure(speak)
    except ClusterError as error:
        if os.geteuid() == 0 or os.environ.get("KUBECONFIG"):
            raise
        pytest.skip(f"no real cluster here, so nothing of Kubernetes is tried: {error}")


def _fresh(live: Live) -> None:
    """No stack from before. Somebody's own cluster may carry one that counts, and it is not ours to remove."""
    there = live.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found")
    if not there:
        return
    if live.cluster.source == "given":
        pytest.fail(
            f"the cluster of KUBECONFIG has a namespace {NAMESPACE} already, which these tests would remove with its "
            "data; name a cluster without one, or set KEEP=1 to use what is there."
        )
    remove(live)


def remove(live: Live) -> None:
    """Remove the stack with its data, and wait until its namespaces are gone."""
    succeeded(operate("down", "--purge", "--unprotect"))
    names = live.namespaces()
    eventually(
        "the namespaces are gone",
        lambda: not live.kubectl("get", "namespace", *names, "--ignore-not-found"),
        seconds=180,
    )


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    """The stack, up."""
    seconds: dict[str, float] = {}
    with pytest.MonkeyPatch.context() as environment:
        with starting(turn=1):
            start = time.monotonic()
            # The live stack on Docker may build them at this moment: whoever comes second waits.
            succeeded(operate("images"))
            start = _spent(seconds, "images", start)
            cluster = _cluster()
            _spent(seconds, "cluster", start)
            environment.setenv("KUBECONFIG", str(cluster.kubeconfig))
            # Not before: the programs of a cluster that is started here keep the environment they began with.
            for name in PASSWORDS:
                environment.setenv(f"{name}_PASSWORD", os.environ.get(f"{name}_PASSWORD") or secrets.token_urlsafe(18))
            for name in REAL_RECEIVERS:
                environment.delenv(name, raising=False)
            running = Live(stacks.load(STACK), cluster, fresh=not KEPT, seconds=seconds)
            if not KEPT:
                _fresh(running)
            start = time.monotonic()
            succeeded(operate("up"))
            _spent(seconds, "up", start)
        yield running
        if KEPT:
            return
        remove(running)
        if cluster.started:
            clusters.remove(cluster, say=speak)


@pytest.fixture(scope="package")
def away(live: Live) -> int:
    """The Prometheus that faults befall, by its number: not on the node with the inbox, which has but one pod."""
    inbox = live.pods(NAMESPACE, "inbox")[0]["spec"]["nodeName"]
    nodes = [pod["spec"]["nodeName"] for pod in live.pods(NAMESPACE, "prometheus")]
    assert len(set(nodes)) == 2, "both Prometheus are on one node"
    return next(number for number, node in enumerate(nodes) if node != inbox)


@pytest.fixture(scope="package")
def unscheduled(live: Live) -> Iterator[Unscheduled]:
    """A node without its exporter, which is told only after minutes: other tests go on meanwhile."""
    fault = Unscheduled(live)
    yield fault
    fault.end()


def _spent(seconds: dict[str, float], step: str, since: float) -> float:
    """Write down how long a step took; returns the time for the next to begin with."""
    now = time.monotonic()
    seconds[step] = now - since
    return now
