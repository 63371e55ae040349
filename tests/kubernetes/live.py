"""The stack `staging` on a cluster, asked through the cluster's API: it works wherever a kubeconfig leads."""

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from infra import assembly
from infra import cluster as api
from infra.stack import Stack
from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE, RELOADER_PORT
from infra.workload import Workload
from operate.cluster import connected
from tests import running
from tests.cluster.cluster import Cluster

STACK = "staging"
Object = dict[str, Any]


def operate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a day-2 command on the stack as where no pulumi is."""
    return running.operate(STACK, *arguments, path=path_without_pulumi())


def path_without_pulumi() -> str:
    """The PATH but for the folders that hold a pulumi."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if shutil.which("pulumi", path=folder) is None)


@dataclass(frozen=True)
class Answer:
    """What a pod answered; status 0 where it did not, with the reason as the body."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON; fails the test for an answer that is none."""
        assert self.ok, f"{self.status}: {self.text[:500]}"
        return json.loads(self.body)


@dataclass
class Live:
    """The running stack. Safe to use from several threads."""

    stack: Stack
    cluster: Cluster
    # Whether this run started the stack from nothing, and the seconds that its steps took.
    fresh: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    # Unix times at which test_b_services.py stopped a service, and test_c_changes.py mended all it had broken.
    stopped_at: float | None = None
    mended_at: float | None = None
    _own: threading.local = field(default_factory=threading.local)

    def workloads(self) -> list[Workload]:
        """What the program declares for the stack."""
        return assembly.workloads(self.stack)

    def workload(self, name: str) -> Workload:
        """One of them."""
        return next(workload for workload in self.workloads() if workload.name == name)

    def namespaces(self) -> list[str]:
        """The stack's namespaces: the platform's, its agents', the exchange's."""
        return [NAMESPACE, AGENTS_NAMESPACE, self.stack.settings.exchange_namespace]

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True, seconds: float = 60) -> str:
        """Output of kubectl, given `text` to read; fails the test where it fails, unless `check` is False."""
        done = self.run_kubectl(*arguments, text=text, seconds=seconds)
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments[:6])}: {done.stderr[-2000:]}"
        return done.stdout

    def run_kubectl(
        self, *arguments: str, text: str | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """The same with exit status and stderr, whatever they are."""
        command = [str(self.cluster.kubectl), f"--kubeconfig={self.cluster.kubeconfig}", *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=seconds)

    def get(self, *arguments: str) -> list[Object]:
        """The objects that `kubectl get ARGUMENTS` lists; one that is named, as a list of one."""
        found = json.loads(self.kubectl("get", *arguments, "--output=json"))
        items: list[Object] = found["items"] if found["kind"] == "List" else [found]
        return items

    def pods(self, namespace: str, name: str) -> list[Object]:
        """The pods of a workload, in the order of their names; those on their way out included."""
        selector = f"--selector=app.kubernetes.io/name={name}"
        return sorted(self.get("pods", f"--namespace={namespace}", selector), key=lambda pod: pod["metadata"]["name"])

    def exec(self, namespace: str, pod: str, *command: str, container: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in a pod; by default in its main container."""
        chosen = [f"--container={container}"] if container else []
        return self.run_kubectl("exec", f"--namespace={namespace}", pod, *chosen, "--", *command)

    def request(
        self,
        namespace: str,
        pod: str,
        port: int,
        path: str,
        *,
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        signed_in: bool = True,
        seconds: float = 40,
    ) -> Answer:
        """Ask a pod through the API server; `body` goes as JSON. Never fails: see Answer."""
        from kubernetes import client  # noqa: PLC0415 - a second of import that other tests do without

        # A port-forward changes its client while it is set up, so each thread has its own.
        if not hasattr(self._own, "client"):
            self._own.client = client.CoreV1Api(api.client(self.stack.settings))
        headers = {"Connection": "close"}
        if signed_in:
            user = f"{self.stack.settings.web_user}:{os.environ['WEB_PASSWORD']}"
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        # A forwarded connection of a busy machine may break while it is set up: what only asks, asks once more.
        again = method == "GET"
        while True:
            try:
                with closing(connected(self._own.client, namespace, pod, port, seconds)) as link:
                    link.request(method, f"{path}{query}", data, headers)
                    answer = link.getresponse()
                    return Answer(answer.status, answer.read())
            except (client.ApiException, OSError, http.client.HTTPException) as error:
                if not again or isinstance(error, client.ApiException):
                    return Answer(0, f"{type(error).__name__}: {error}".encode())
                again = False

    def prometheus(self, path: str, replica: int = 0, **params: Any) -> Any:
        """The `data` of Prometheus' answer to GET /api/v1/PATH; fails the test where it has none."""
        answer = self.request(NAMESPACE, f"prometheus-{replica}", 9090, f"/api/v1/{path}", params=params).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str, replica: int = 0, at: float | None = None) -> list[Object]:
        """The vector an instant query gives, now or at a Unix time; fails the test where the replica is away."""
        when = {} if at is None else {"time": at}
        found: list[Object] = self.prometheus("query", replica, query=expression, **when)["result"]
        return found

    def tried_query(self, expression: str, replica: int = 0) -> list[Object] | None:
        """The same, None where the replica does not answer."""
        path, params = "/api/v1/query", {"query": expression}
        answer = self.request(NAMESPACE, f"prometheus-{replica}", 9090, path, params=params, seconds=5)
        if not answer.ok:
            return None
        found: list[Object] = answer.json()["data"]["result"]
        return found

    def value(self, expression: str, replica: int = 0) -> float | None:
        """The value of an expression with one series, None without a series."""
        result = self.query(expression, replica)
        assert len(result) <= 1, f"{expression} has {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def query_range(self, expression: str, start: float, end: float, step: float, replica: int = 0) -> list[Object]:
        """The matrix of a range query; Unix times and seconds."""
        when = {"start": start, "end": end, "step": step}
        found: list[Object] = self.prometheus("query_range", replica, query=expression, **when)["result"]
        return found

    def replicas(self, name: str) -> range:
        """The numbers of a StatefulSet's pods: prometheus, alertmanager."""
        return range(self.workload(name).replicas)

    def reloader(self, pod: str) -> dict[str, str]:
        """What the reloader of a pod says: `taken` as 1 or 0, and the `revision` that its tool runs on."""
        page = self.request(NAMESPACE, pod, RELOADER_PORT, "/metrics", signed_in=False).text
        revision = re.search(r'^config_reloader_revision_info{.*revision="(\w+)"} 1$', page, re.MULTILINE)
        taken = re.search(r"^config_reloader_last_apply_successful{.*} ([01])$", page, re.MULTILINE)
        return {"taken": taken[1] if taken else "", "revision": revision[1] if revision else ""}

    def alerts(self, number: int = 0) -> list[Object]:
        """The alerts that an Alertmanager holds."""
        found: list[Object] = self.request(NAMESPACE, f"alertmanager-{number}", 9093, "/api/v2/alerts").json()
        return found

    def inbox(self, path: str, *, method: str = "GET", body: Any = None, **params: Any) -> Any:
        """The JSON of the notification inbox's answer to /api/PATH."""
        return self.request(NAMESPACE, "inbox-0", 8025, f"/api/{path}", method=method, params=params, body=body).json()

    def notifications(self, **filters: Any) -> list[Object]:
        """What the inbox has received, newest first: channel, status, alertname, since (Unix time, exclusive)."""
        found: list[Object] = self.inbox("notifications", **filters)["notifications"]
        return found

    def faults(self, path: str = "", *, method: str = "GET", body: Any = None) -> Answer:
        """The answer of exchange-control to /api/faults/PATH."""
        namespace = self.stack.settings.exchange_namespace
        pod = next(p for p in self.pods(namespace, "exchange-control") if "deletionTimestamp" not in p["metadata"])
        where = f"/api/faults/{path}".rstrip("/")
        return self.request(namespace, pod["metadata"]["name"], 8090, where, method=method, body=body)

    def inject(self, service: str, fault: str, **parameters: Any) -> None:
        """Inject a fault."""
        answer = self.faults(f"{service}/{fault}", method="PUT", body=parameters)
        assert answer.ok, answer.text

    def heal(self, fault: str = "") -> None:
        """Heal one fault (service/fault), or every fault."""
        answer = self.faults(fault, method="DELETE")
        assert answer.ok, answer.text

    def scale(self, namespace: str, controller: str, replicas: int) -> None:
        """Scale a controller, named like deployment/auth-service; returns at once."""
        self.kubectl("scale", controller, f"--namespace={namespace}", f"--replicas={replicas}")
