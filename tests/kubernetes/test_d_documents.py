"""What the documents say to look at on a cluster, typed on the running one: each command answers."""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from infra.settings import ROOT
from infra.surroundings import NAMESPACE
from tests import documented
from tests.documented import Look
from tests.kubernetes.live import STACK, Live, operate
from tests.kubernetes.test_a_apply import is_ready
from tests.running import PATIENCE, succeeded

GUIDE = "docs/PRODUCTION_MONITORING_GUIDE.md"
COMMANDS = documented.looks("kubectl", "make review", "make capacity")
# What this cluster does not have, and what is then said instead.
ABSENT = {
    "top": "Metrics API not available",
    "secret": 'secrets "monitoring-tls" not found',
    "--previous": "previous terminated container",
    "capacity": documented.YOUNG,
}


def subject(look: Look) -> str:
    """The service that the command's page sets."""
    return look.variables.get("SERVICE", "wallet-service")


def here(live: Live, service: str) -> dict[str, str]:
    """The variables that this stack has its own values of; a pod of the service and a node are any that are there."""
    namespace = live.stack.settings.exchange_namespace
    pods = [pod for pod in live.pods(namespace, service) if is_ready(pod)] or live.pods(NAMESPACE, "loki")
    node = live.get("nodes")[0]["metadata"]["name"]
    pod = pods[0]["metadata"]["name"]
    return {"STACK": live.stack.name, "STORES": namespace, "NODE": node, "HOST": node, "POD": pod}


def typed(live: Live, look: Look, own: dict[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Type the command, or `text` in its place, where the variables of `own` are set."""
    environment = look.environment(**own, KUBECONFIG=str(live.cluster.kubeconfig))
    environment["PATH"] = f"{live.cluster.kubectl.parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", text or look.text],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120 * PATIENCE,
        check=False,
    )


def failure(live: Live, own: dict[str, dict[str, str]], look: Look) -> str:
    """What was said instead of an answer; `own` by service."""
    done = typed(live, look, own[subject(look)])
    absent = any(word in look.text.split() and words in done.stderr for word, words in ABSENT.items())
    return "" if done.returncode == 0 or absent else f"{look.page}: {look.text}: {done.stderr[-1000:]}"


def test_there_are_many() -> None:
    assert len(COMMANDS) > 80


def test_every_command_answers(live: Live) -> None:
    # Asked once: it takes as long as the commands themselves.
    own = {service: here(live, service) for service in {subject(look) for look in COMMANDS}}
    with ThreadPoolExecutor(4) as pool:
        failures = [words for words in pool.map(partial(failure, live, own), COMMANDS) if words]
    assert not failures


def test_a_silence_is_set_and_ended_as_the_guide_says(live: Live) -> None:
    adding, expiring = documented.changes(GUIDE, "kubectl -n monitoring exec alertmanager-0")
    own = here(live, subject(adding))
    done = typed(live, adding, own, adding.text.replace("$ALERT", "NoAlert").replace("$SERVICE", "nobody"))
    assert done.returncode == 0, done.stderr
    number = done.stdout.strip()
    where = f"/api/v2/silence/{number}"
    assert live.request(NAMESPACE, "alertmanager-0", 9093, where).json()["status"]["state"] == "active"
    ended = typed(live, expiring, own, expiring.text.replace(" ID", f" {number}"))
    assert ended.returncode == 0, ended.stderr
    assert live.request(NAMESPACE, "alertmanager-0", 9093, where).json()["status"]["state"] == "expired"


@pytest.mark.parametrize("look", documented.changes(GUIDE, "kubectl -n monitoring port-forward"), ids=lambda x: x.text)
def test_a_port_is_forwarded_as_the_guide_says(live: Live, look: Look) -> None:
    """To a port of the system's choice: 9090 may be another's here."""
    port = look.text.rpartition(" ")[2]
    script = f"""
        {look.text.replace(port, f":{port}")} >{{log}} & trap "kill $!" EXIT
        until address=$(sed -n 's/^Forwarding from \\(127.0.0.1:[0-9]*\\) .*/\\1/p' {{log}} | head -1) && [ "$address" ]
        do sleep 0.2; done
        printf 'user = "monitoring:%s"' "$WEB_PASSWORD" | curl -s --fail --config - "http://$address/-/healthy"
    """
    with tempfile.NamedTemporaryFile() as log:
        done = typed(live, look, here(live, subject(look)), script.replace("{log}", log.name))
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout or "Healthy" in done.stdout


def test_rendered_files_are_taken_without_the_engine(live: Live) -> None:
    """The README's three commands, but that here `make up` owns the fields already."""
    command = [sys.executable, "-m", "infra.render", "--stack", STACK]
    succeeded(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False))
    succeeded(operate("secrets"))
    folder = ROOT / ".render" / live.stack.name
    done = live.run_kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", f"--filename={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
