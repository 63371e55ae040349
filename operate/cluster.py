"""A stack on Kubernetes: apply, wait, show, remove. Asks the cluster's API with the kubeconfig at hand.

With `pulumi` on the PATH the engine deploys; without it the same manifests are applied server-side, which is
what `kubectl apply --server-side -f .render/<stack>` does, and what is no longer declared is removed.
"""

import base64
import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from infra import assembly, cluster, credentials
from infra.errors import InputError
from infra.stack import Stack
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes import config, name_of, objects
from infra.targets.kubernetes.manifest import PART_OF, Manifest, namespace_of
from infra.targets.kubernetes.manifests import APIS, FILES
from infra.workload import Workload
from operate import deploy
from operate.progress import step, until_nothing_is_left

MANAGER = "mycrypto-monitoring"
KINDS = {"stateful": "StatefulSet", "stateless": "Deployment", "per-node": "DaemonSet"}
_PROMETHEUS = f"StatefulSet/{NAMESPACE}/prometheus"
# What holds data and what others stand in: `down` leaves it, as it does Secrets, which are not declared.
KEPT = ("Namespace", "PersistentVolumeClaim")


def connected(core: Any, namespace: str, pod: str, port: int, seconds: float = 20) -> http.client.HTTPConnection:
    """An HTTP connection to a pod through the API server of `core`; silence of `seconds` ends it.

    Raises ApiException or OSError where the pod cannot be reached.
    """
    from kubernetes.stream import portforward  # noqa: PLC0415

    link = http.client.HTTPConnection("127.0.0.1")
    link.sock = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)).socket(port)
    link.sock.settimeout(seconds)
    return link


@contextmanager
def _reached() -> Iterator[None]:
    """What the API server refuses, or does not answer, becomes a ConnectionError."""
    from kubernetes import client  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except (client.ApiException, HTTPError) as error:
        raise ConnectionError(f"the API server does not do it ({type(error).__name__})") from None


class Cluster:
    """The API of the cluster that a stack's settings name."""

    def __init__(self, stack: Stack) -> None:
        from kubernetes import dynamic  # noqa: PLC0415 - a second of import that Docker's stacks do without

        self.stack = stack
        self.client = cluster.client(stack.settings)
        self.api = dynamic.DynamicClient(self.client)  # type: ignore[no-untyped-call]
        self._own = threading.local()

    @property
    def _forwarding(self) -> Any:
        """The API for `connected`: a port-forward changes its client while it is set up, so each thread has its own."""
        from kubernetes import client  # noqa: PLC0415

        if not hasattr(self._own, "core"):
            self._own.core = client.CoreV1Api(client.ApiClient(self.client.configuration))
        return self._own.core

    def apply(self, items: Sequence[Manifest]) -> None:
        """Apply each manifest server-side. Raises InputError with the API's words for one that it refuses."""
        from kubernetes.dynamic.exceptions import DynamicApiError  # noqa: PLC0415

        for item in items:
            kind = self.api.resources.get(api_version=item["apiVersion"], kind=item["kind"])
            metadata = item["metadata"]
            try:
                kind.server_side_apply(
                    body=item,
                    name=metadata["name"],
                    namespace=metadata.get("namespace"),
                    field_manager=MANAGER,
                    force_conflicts=True,
                )
            except DynamicApiError as error:
                words = json.loads(error.body).get("message", error.reason) if error.body else error.reason
                raise InputError(
                    f"the cluster refuses {name_of(item)}: {words}; correct that and run it again."
                ) from None

    def ours(self) -> Iterator[Any]:
        """Every object in the cluster that carries the platform's label."""
        for kind, version in APIS.items():
            resource = self.api.resources.get(api_version=version, kind=kind)
            yield from resource.get(label_selector=f"app.kubernetes.io/part-of={PART_OF}").items

    def delete(self, item: Any) -> None:
        """Delete one object with what depends on it; one that is gone already is fine."""
        from kubernetes.dynamic.exceptions import NotFoundError  # noqa: PLC0415

        resource = self.api.resources.get(api_version=item.apiVersion, kind=item.kind)
        try:
            resource.delete(name=item.metadata.name, namespace=item.metadata.namespace)
        except NotFoundError:
            return

    def read(self, kind: str, workload: Workload) -> Any:
        """The controller of a workload, None when there is none."""
        from kubernetes.dynamic.exceptions import NotFoundError  # noqa: PLC0415

        resource = self.api.resources.get(api_version="apps/v1", kind=kind)
        try:
            return resource.get(name=workload.name, namespace=namespace_of(self.stack, workload))
        except NotFoundError:
            return None

    def ask(self, pod: str, port: int, path: str) -> Any:
        """The JSON that a pod of the platform answers to GET `path`, through the API server; None while it cannot.

        What Prometheus refuses to evaluate is an answer too, which says why.
        """
        try:
            status, text = self.request(pod, port, "GET", path)
            return json.loads(text) if status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST) else None
        except (OSError, ValueError):
            return None

    def request(
        self, pod: str, port: int, method: str, path: str, *, namespace: str = NAMESPACE, body: Any = None
    ) -> tuple[int, str]:
        """Status and text that a pod answers, through the API server. Raises OSError where it cannot be reached."""
        from kubernetes import client  # noqa: PLC0415

        headers = {"Authorization": f"Basic {self.credentials}", "Connection": "close"}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        try:
            with closing(connected(self._forwarding, namespace, pod, port)) as link:
                link.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
                answer = link.getresponse()
                return answer.status, answer.read().decode()
        except (client.ApiException, http.client.HTTPException) as error:
            raise ConnectionError(f"{pod} cannot be reached ({type(error).__name__})") from None

    def pods(self, workload: Workload) -> list[str]:
        """Names of the workload's pods that run. Raises OSError where the API server does not say so."""
        with _reached():
            found = self.api.resources.get(api_version="v1", kind="Pod").get(
                namespace=namespace_of(self.stack, workload), label_selector=f"app.kubernetes.io/name={workload.name}"
            )
        return [pod.metadata.name for pod in found.items if pod.status.phase == "Running"]

    def scale(self, workload: Workload, replicas: int) -> None:
        """Run so many pods of a workload, whatever is declared. Raises OSError where the API server does not do it."""
        with _reached():
            self.api.resources.get(api_version="apps/v1", kind=KINDS[workload.kind]).patch(
                name=workload.name,
                namespace=namespace_of(self.stack, workload),
                body={"spec": {"replicas": replicas}},
                content_type="application/merge-patch+json",
            )

    @cached_property
    def _prometheis(self) -> int:
        return next(each for each in assembly.workloads(self.stack) if each.name == "prometheus").replicas

    def ask_prometheus(self, path: str) -> Any:
        """What the first replica of Prometheus that answers says to GET `path`; None while none does."""
        answers = (self.ask(f"prometheus-{number}", 9090, path) for number in range(self._prometheis))
        return next((answer for answer in answers if answer is not None), None)

    @cached_property
    def credentials(self) -> str:
        """What the platform's own probes sign in with; read once, a review asks hundreds of times."""
        secret = self.api.resources.get(api_version="v1", kind="Secret").get(
            name="prometheus-secrets", namespace=NAMESPACE
        )
        return base64.b64decode(secret.data["authorization"]).decode()


def up(stack: Stack) -> None:
    """Bring the cluster to what the program declares, and wait until it is well."""
    workloads = assembly.workloads(stack)
    by_engine = shutil.which("pulumi") is not None
    values = credentials.given(stack.settings, {}, made=stack.made_secrets)
    if not by_engine:
        # The engine knows the stack's configuration, which may hold what the environment does not.
        credentials.check(stack.settings, workloads, values, stack.name)
    cluster.verify(stack.settings)
    here = Cluster(stack)
    if by_engine:
        print("deploying with `pulumi up`: pulumi is on the PATH", flush=True)
        _not_applied_by_hand(here)
        with step("pulumi up"):
            deploy.pulumi(stack, "up", "--yes", "--skip-preview")
    else:
        print("applying the manifests server-side: no pulumi on the PATH", flush=True)
        declared = objects(stack, workloads)
        with step(f"applying {len(declared)} objects"):
            spaces = [item for item in declared if item["kind"] == "Namespace"]
            here.apply([*spaces, *config.secrets(stack, workloads, values)])
            last = [item for item in declared if name_of(item) == _PROMETHEUS]
            here.apply([item for item in declared if item["kind"] != "Namespace" and item not in last])
        if here.read("StatefulSet", workloads[0]) is None:
            # What it misses when it first looks pages, and what Alertmanager cannot hand over yet does too.
            until_nothing_is_left(lambda: list(_unready(here, workloads[1:])), 300, _pods_say_why)
        here.apply(last)
        names = {name_of(item) for item in declared}
        gone = [o for o in here.ours() if o.kind not in KEPT and name_of(o.to_dict()) not in names]
        for item in gone:
            print(f"  removing {name_of(item.to_dict())}, which is no longer declared", flush=True)
            here.delete(item)
    wait(here, workloads)


def _not_applied_by_hand(here: Cluster) -> None:
    """Raise InputError where the objects are there but not the engine's: it cannot take over what it did not make."""
    stack = here.stack
    if deploy.has_state(stack):
        return
    applied = [item for item in here.ours() if item.kind != "Namespace"]
    if applied:
        raise InputError(
            f"{len(applied)} objects of the platform are on this cluster, and the engine knows nothing of stack "
            f"{stack.name}; go on as they were applied, without pulumi on the PATH, or name the backend that has the "
            "stack's state with PULUMI_BACKEND_URL."
        )


def make_secrets(stack: Stack) -> str:
    """Create or change the Secrets from the environment; returns what was done, without a value."""
    workloads = assembly.workloads(stack)
    values = credentials.given(stack.settings, {}, made=stack.made_secrets)
    credentials.check(stack.settings, workloads, values, stack.name)
    here = Cluster(stack)
    items = config.secrets(stack, workloads, values)
    spaces = {item["metadata"]["namespace"] for item in items}
    here.apply([o for o in objects(stack, workloads) if o["kind"] == "Namespace" and o["metadata"]["name"] in spaces])
    here.apply(items)
    return "\n".join(f"{name_of(item)}: {', '.join(item['stringData'])}" for item in items)


def down(stack: Stack, purge: bool, unprotect: bool) -> str:
    """Remove what runs and what configures it. Data goes only with both flags. Returns what was done."""
    if purge and not unprotect:
        raise InputError(
            f"the volumes of stack {stack.name} are protected; to delete its metrics, logs and secrets for good run "
            f"`make down STACK={stack.name} PURGE=1 UNPROTECT=1`."
        )
    if shutil.which("pulumi") and deploy.has_state(stack):
        with step("pulumi destroy"):
            deploy.pulumi(stack, "destroy", "--yes", "--skip-preview", "--exclude-protected")
    here = Cluster(stack)
    items = [item for item in here.ours() if item.kind != "Namespace" and (purge or item.kind not in KEPT)]
    order = [kind for kinds in reversed(FILES.values()) for kind in kinds]
    for item in sorted(items, key=lambda o: order.index(o.kind)):
        here.delete(item)
    namespaces = [item for item in here.ours() if item.kind == "Namespace"]
    if purge:
        for item in namespaces:
            here.delete(item)
        return f"{stack.name} is down; its namespaces, volumes and secrets are removed"
    with step("waiting for the pods to end"):
        _until_no_pods(here, [item.metadata.name for item in namespaces])
    return f"{stack.name} is down, {len(items)} objects removed; volumes and secrets are kept"


def _until_no_pods(here: Cluster, namespaces: Sequence[str], seconds: int = 360) -> None:
    pods = here.api.resources.get(api_version="v1", kind="Pod")
    end = time.monotonic() + seconds
    while any(pods.get(namespace=name).items for name in namespaces):
        if time.monotonic() > end:
            raise InputError("pods still end after 6 minutes; `kubectl get pods --all-namespaces` shows which.")
        time.sleep(1)


def _unready(here: Cluster, workloads: Sequence[Workload]) -> Iterator[str]:
    for workload in workloads:
        state = here.read(KINDS[workload.kind], workload)
        if state is None:
            yield f"{workload.name} is not there"
            continue
        ready, wanted = _replicas(state)
        current = (state.status.observedGeneration or 0) >= state.metadata.generation
        if ready < wanted or not current or _updated(state) < wanted:
            yield f"{workload.name} has {ready} of {wanted} ready"


def _replicas(state: Any) -> tuple[int, int]:
    if state.kind == "DaemonSet":
        return state.status.numberReady or 0, state.status.desiredNumberScheduled or 0
    return state.status.readyReplicas or 0, state.spec.replicas


def _updated(state: Any) -> int:
    return (state.status.updatedNumberScheduled if state.kind == "DaemonSet" else state.status.updatedReplicas) or 0


def targets(here: Cluster) -> list[dict[str, Any]]:
    """Prometheus' active targets; empty while it does not answer."""
    answer = here.ask_prometheus("/api/v1/targets?state=active")
    return answer["data"]["activeTargets"] if answer else []


def wait(here: Cluster, workloads: Sequence[Workload], seconds: int = 300) -> None:
    """Wait until every replica is ready and every target of the platform itself answers. Raises InputError."""
    until_nothing_is_left(lambda: _left(here, workloads), seconds, _pods_say_why)


def unwell(stack: Stack) -> list[str]:
    """What of the stack is not as it should be, in words; empty where all is well."""
    return _left(Cluster(stack), assembly.workloads(stack))


def _left(here: Cluster, workloads: Sequence[Workload]) -> list[str]:
    if unready := list(_unready(here, workloads)):
        return unready
    found, stack = targets(here), here.stack
    watched = [t for t in found if stack.settings.simulator or t["labels"]["job"] not in stack.catalog.by_name]
    lost = [t for t in watched if t["health"] != "up"]
    names = [f"target {t['labels']['job']} {t['labels']['instance']} is {t['health']}" for t in lost]
    return names if found else ["Prometheus does not answer yet"]


def _pods_say_why(_left: list[str]) -> str:
    return (
        f"; `kubectl -n {NAMESPACE} get pods` and `kubectl -n {NAMESPACE} describe pod NAME` say why. "
        "Run the same command again after that."
    )


def table(stack: Stack) -> bool:
    """Print what runs and what is scraped; whether all of it is well."""
    here = Cluster(stack)
    grid = Table(box=box.SIMPLE, title=f"stack {stack.name} on {here.client.configuration.host}", title_justify="left")
    for column in ("component", "version", "kind", "ready"):
        grid.add_column(column)
    well = True
    for workload in assembly.workloads(stack):
        state = here.read(KINDS[workload.kind], workload)
        ready, wanted = _replicas(state) if state else (0, workload.replicas)
        fine = state is not None and ready >= wanted
        well &= fine
        mark = "green" if fine else "red"
        grid.add_row(workload.name, workload.image.version, KINDS[workload.kind], f"[{mark}]{ready}/{wanted}[/]")
    Console(width=120).print(grid)
    found = targets(here)
    lost = [t for t in found if t["health"] != "up"]
    print(f"targets: {len(found) - len(lost)} of {len(found)} up")
    for target in lost:
        print(f"  {target['labels']['job']} {target['labels']['instance']}: {target['lastError']}")
    for component, reason in stack.images.unavailable.items():
        print(f"{component} is left out: {reason}")
    print(
        f"Grafana: {stack.grafana_url}   Prometheus, Alertmanager: `kubectl -n {NAMESPACE} port-forward svc/prometheus "
        f"9090` (alertmanager 9093), user {stack.settings.web_user}"
    )
    return well and bool(found) and not lost
