"""What the documents say to look at on a cluster, typed on the running one: each command answers."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from infra.surroundings import NAMESPACE
from tests import documented
from tests.documented import Look
from tests.kubernetes.live import Live

COMMANDS = documented.looks("kubectl")
# What this cluster does not have, and what is then said instead.
ABSENT = {
    "top": "Metrics API not available",
    "secret": 'secrets "monitoring-tls" not found',
    "--previous": "previous terminated container",
}


def failure(live: Live, look: Look) -> str:
    """What was said instead of an answer; a pod and a node are any that are there."""
    namespace = live.stack.settings.exchange_namespace
    pods = live.pods(namespace, look.variables.get("SERVICE", "wallet-service")) or live.pods(NAMESPACE, "loki")
    node = live.get("nodes")[0]["metadata"]["name"]
    own = {
        "STACK": live.stack.name,
        "STORES": namespace,
        "NODE": node,
        "HOST": node,
        "POD": pods[0]["metadata"]["name"],
    }
    environment = look.environment(**own, KUBECONFIG=str(live.cluster.kubeconfig))
    environment["PATH"] = f"{live.cluster.kubectl.parent}:{environment['PATH']}"
    command = ["bash", "-o", "pipefail", "-c", look.text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    absent = any(word in look.text.split() and words in done.stderr for word, words in ABSENT.items())
    return "" if done.returncode == 0 or absent else f"{look.page}: {look.text}: {done.stderr[-1000:]}"


def test_there_are_many() -> None:
    assert len(COMMANDS) > 80


def test_every_command_answers(live: Live) -> None:
    with ThreadPoolExecutor(4) as pool:
        failures = [words for words in pool.map(partial(failure, live), COMMANDS) if words]
    assert not failures
