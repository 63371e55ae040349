"""What the documents say to look at on a cluster, typed on the running one: each command answers."""

import shlex
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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


def typed(live: Live, look: Look) -> list[str]:
    """The command with this stack's own names; a pod and a node are any that are there."""
    namespace = live.stack.settings.exchange_namespace
    service = look.text.rpartition("name=")[2].split()[0] if "name=" in look.text else "wallet-service"
    pods = [pod["metadata"]["name"] for pod in live.pods(namespace, service)]
    node = live.get("nodes")[0]["metadata"]["name"]
    text = look.on(STACK=live.stack.name, STORES=namespace, NODE=node, HOST=node, POD=pods[0] if pods else "")
    return shlex.split(text)[1:]


def test_there_are_many() -> None:
    assert len(COMMANDS) > 80


def failure(live: Live, look: Look) -> str:
    """What was said instead of an answer."""
    done = live.run_kubectl(*typed(live, look))
    absent = any(word in look.text.split() and words in done.stderr for word, words in ABSENT.items())
    return "" if done.returncode == 0 or absent else f"{look.page}: {look.text}: {done.stderr[-1000:]}"


def test_every_command_answers(live: Live) -> None:
    with ThreadPoolExecutor(4) as pool:
        failures = [words for words in pool.map(partial(failure, live), COMMANDS) if words]
    assert not failures
