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
from tests.kubernetes.live import STACK, Live, eventually, operate

KEPT = bool(os.environ.get("KEEP"))
PASSWORDS = ("POSTGRES", "REDIS", "RABBITMQ", "GRAFANA_ADMIN", "WEB")


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
    _remove(live)


def _remove(live: Live) -> None:
    done = operate("down", "--purge", "--unprotect")
    assert done.returncode == 0, done.stderr[-2000:]
    names = live.namespaces()
    eventually(
        "the namespaces are gone",
        lambda: not live.kubectl("get", "namespace", *names, "--ignore-not-found"),
        seconds=180,
    )


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The stack, up."""
    seconds: dict[str, float] = {}

    def step(name: str, since: float) -> float:
        now = time.monotonic()
        seconds[name] = now - since
        return now

    now = time.monotonic()
    # The live stack on Docker may build them at this moment: whoever comes second waits.
    done = operate("images")
    assert done.returncode == 0, done.stderr[-2000:]
    now = step("images", now)
    cluster = _cluster()
    now = step("cluster", now)
    # Not before: the programs of a cluster that is started here keep the environment they began with.
    for name in PASSWORDS:
        os.environ.setdefault(f"{name}_PASSWORD", secrets.token_urlsafe(18))
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    running = Live(stacks.load(STACK), cluster, fresh=not KEPT, seconds=seconds)
    if not KEPT:
        _fresh(running)
    now = time.monotonic()
    done = operate("up")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    step("up", now)
    yield running
    if KEPT:
        return
    _remove(running)
    if cluster.started:
        clusters.remove(cluster, say=speak)
