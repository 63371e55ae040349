"""What the pods may do, and what nobody gets to see.

A node loses its exporter meanwhile; test_f_faults.py sees that told.
"""

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra import credentials
from infra.settings import ROOT
from infra.surroundings import NAMESPACE
from tests.cluster.layout import NODES
from tests.conftest import Figure
from tests.kubernetes.live import Live, Object
from tests.kubernetes.test_a_apply import all_pods

RIGHT = re.compile(r"^(\S*?)\s*\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]$")
DISCOVERY = {("nodes", "get list watch"), ("nodes/metrics", "get")}


def rights(live: Live, account: str, namespace: str) -> set[tuple[str, str]]:
    """What an account may do in a namespace: resource, or address of the API, and verbs."""
    listed = live.kubectl("auth", "can-i", "--list", "--no-headers", f"--as={account}", f"--namespace={namespace}")
    lines = [RIGHT.match(line.strip()) for line in listed.splitlines()]
    assert all(lines), listed
    return {(match[1] or match[2], match[4]) for match in lines if match}


@pytest.mark.usefixtures("unscheduled")
def test_nobody_but_prometheus_may_ask_the_api(live: Live, figure: Figure) -> None:
    """Beyond what every account may: ask who it is, and read the API's own description."""
    exchange = live.stack.settings.exchange_namespace
    every = rights(live, f"system:serviceaccount:{NAMESPACE}:nobody-has-this-name", NAMESPACE)
    accounts = {
        (account["metadata"]["namespace"], account["metadata"]["name"])
        for namespace in live.namespaces()
        for account in live.get("serviceaccounts", f"--namespace={namespace}")
    }
    assert accounts >= {(NAMESPACE, "prometheus"), (NAMESPACE, "loki"), (exchange, "auth-service")}

    def beyond(account: tuple[str, str], within: str = "") -> set[tuple[str, str]]:
        namespace, name = account
        return rights(live, f"system:serviceaccount:{namespace}:{name}", within or namespace) - every

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(accounts, pool.map(beyond, accounts), strict=True))
    pods = {("pods", "get list watch")}
    assert found.pop((NAMESPACE, "prometheus")) == DISCOVERY | pods
    assert beyond((NAMESPACE, "prometheus"), exchange) == DISCOVERY | pods
    assert beyond((NAMESPACE, "prometheus"), "kube-system") == DISCOVERY
    assert {account: more for account, more in found.items() if more} == {}
    figure(f"cluster: {len(accounts)} accounts; beyond what all may, {len(found)} may nothing, and prometheus:")
    for namespace, extra in (("in the cluster", DISCOVERY), (f"in {NAMESPACE} and {exchange}", pods)):
        figure(f"cluster:   {namespace} {', '.join(f'{what} [{verbs}]' for what, verbs in sorted(extra))}")


def test_no_other_pod_has_a_token(live: Live) -> None:
    def has_token(pod: Object) -> bool:
        sources = [
            source for volume in pod["spec"]["volumes"] for source in volume.get("projected", {}).get("sources", [])
        ]
        return any("serviceAccountToken" in source for source in sources)

    assert {pod["metadata"]["name"].rpartition("-")[0] for pod in all_pods(live) if has_token(pod)} == {"prometheus"}
    for pod, there in (("prometheus-0", "yes"), ("alertmanager-0", "no")):
        script = "if [ -e /var/run/secrets/kubernetes.io ]; then echo yes; else echo no; fi"
        assert live.exec(NAMESPACE, pod, "sh", "-c", script).stdout.strip() == there


def test_a_pod_cannot_change_its_own_image(live: Live) -> None:
    for path in ("/changed", "/etc/changed", "/etc/prometheus/changed"):
        done = live.exec(NAMESPACE, "prometheus-0", "sh", "-c", f"echo > {path}")
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr


@pytest.mark.parametrize(
    ("pod", "port", "path"),
    [
        ("prometheus-1.prometheus-pods", 9090, "/api/v1/status/flags"),
        ("alertmanager-2.alertmanager-pods", 9093, "/api/v2/status"),
    ],
)
def test_the_password_is_asked_for(live: Live, pod: str, port: int, path: str) -> None:
    """From another pod, where policies let it ask; with the password it is every other test that gets an answer."""
    asked = live.exec(NAMESPACE, "prometheus-0", "wget", "-qO-", f"http://{pod}:{port}{path}")
    assert asked.returncode != 0
    assert "401 Unauthorized" in asked.stderr
    name = pod.partition(".")[0]
    assert live.request(NAMESPACE, name, port, path, signed_in=False).status == 401
    assert live.request(NAMESPACE, name, port, path).status == 200


@pytest.fixture(scope="module")
def hidden(live: Live) -> dict[str, str]:
    """Every value that must not be seen, by what it is: the passwords, what follows from them, all in base64 too."""
    given = {
        name: os.environ[credential.env]
        for name, credential in credentials.known(live.stack.settings).items()
        if credential.env in os.environ
    }
    assert {"web-password", "postgres-password", "redis-password", "rabbitmq-password"} <= given.keys()
    found = credentials.derived(live.stack.settings, given)
    return found | {f"{name} in base64": base64.b64encode(value.encode()).decode() for name, value in found.items()}


def seen(hidden: dict[str, str], text: str) -> list[str]:
    """Names, never values, of what a text gives away."""
    return sorted(name for name, value in hidden.items() if value in text)


def test_no_secret_in_any_object_but_secrets(live: Live, hidden: dict[str, str], figure: Figure) -> None:
    listed = live.kubectl("api-resources", "--verbs=list", "--output=name").split()
    kinds = ",".join(kind for kind in listed if kind != "secrets")
    text = live.kubectl("get", kinds, "--all-namespaces", "--output=yaml", "--show-managed-fields", seconds=120)
    assert "kind: ConfigMap" in text
    assert seen(hidden, text) == []
    # What is looked for is what the Secrets hold.
    held = live.get("secrets", "--all-namespaces")
    values = {base64.b64decode(value).decode() for secret in held for value in secret.get("data", {}).values()}
    assert hidden["web-authorization"] in values
    figure(f"cluster: no secret in {len(text) // 1024} KiB of objects of {len(kinds.split(','))} kinds")


def test_no_secret_in_any_log(live: Live, hidden: dict[str, str], figure: Figure) -> None:
    def log(pod: Object) -> str:
        metadata = pod["metadata"]
        return live.kubectl("logs", f"-n{metadata['namespace']}", metadata["name"], "--all-containers", check=False)

    pods = all_pods(live)
    with ThreadPoolExecutor(4) as pool:
        logs = list(pool.map(log, pods))
    assert {
        pod["metadata"]["name"]: seen(hidden, text) for pod, text in zip(pods, logs, strict=True) if seen(hidden, text)
    } == {}
    figure(f"cluster: no secret in {sum(map(len, logs)) // 1024} KiB of logs of {len(pods)} pods")


def test_no_secret_in_what_is_rendered(hidden: dict[str, str]) -> None:
    files = [path for path in (ROOT / ".render").rglob("*") if path.is_file()]
    assert {str(path): seen(hidden, path.read_text()) for path in files if seen(hidden, path.read_text())} == {}


def test_no_secret_in_arguments_or_environment_of_any_process(
    live: Live, hidden: dict[str, str], figure: Figure
) -> None:
    if live.cluster.source != "packages":
        pytest.skip("the processes of a node can be looked at only on the cluster from packages")
    # The environment of pods' processes: the cluster's own were started from somebody's shell. Several looks, as
    # probes and reloaders start a short process every few seconds.
    once = "cat /proc/[0-9]*/cmdline; cat $(grep -l kubepods /proc/[0-9]*/cgroup | sed s/cgroup/environ/)"
    look = f"for _ in 1 2 3 4 5 6 7 8; do {once}; sleep 0.5; done 2>/dev/null | tr '\\0' '\\n'"
    with ThreadPoolExecutor(len(NODES)) as pool:
        texts = list(pool.map(lambda node: live.cluster.node_exec(["sh", "-c", look], node.name), NODES))
    assert [seen(hidden, text) for text in texts] == [[] for _ in NODES]
    assert all("reload.sh" in text for text in texts)
    assert all("\nKUBERNETES_SERVICE_HOST=" in text for text in texts)
    figure(
        f"cluster: no secret in {sum(map(len, texts)) // 1024} KiB of arguments and environments on {len(NODES)} nodes"
    )
