"""What the fault tests share: services that stop and come back, who is ready meanwhile, what people were told."""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from infra import cluster as api
from infra.surroundings import NAMESPACE
from tests.kubernetes.live import Live, Object
from tests.running import PATIENCE, eventually

# ServiceDown's own `for`, and the minute from fault to notification that the platform promises.
PAGED_WITHIN = 15 + 60
PLATFORM = 'up{job=~"prometheus|alertmanager|cadvisor|kubelet|loki"}'
KEEPS = ("prometheus", "alertmanager")


@dataclass
class Scene:
    """Faults one after the other on one running stack; Unix times of what was done to it."""

    live: Live
    before: set[str]  # the alerts that fired already
    start: float = field(default_factory=time.time)
    stopped: dict[str, float] = field(default_factory=dict)
    healed: dict[str, float] = field(default_factory=dict)
    replicas: dict[str, int] = field(default_factory=dict)

    @property
    def interval(self) -> int:
        """Seconds between two scrapes."""
        return self.live.stack.settings.scrape_interval_seconds

    def stop(self, service: str) -> None:
        """Take every pod of a service away."""
        namespace = self.live.stack.settings.exchange_namespace
        found = self.live.get("deployment", service, f"--namespace={namespace}")[0]
        self.replicas[service] = found["spec"]["replicas"]
        self.stopped[service] = time.time()
        self.live.scale(namespace, f"deployment/{service}", 0)

    def heal(self, service: str) -> None:
        """Give it its pods back, where they were taken away."""
        if service in self.replicas:
            namespace = self.live.stack.settings.exchange_namespace
            self.live.scale(namespace, f"deployment/{service}", self.replicas.pop(service))
            self.healed[service] = time.time()

    def heal_all(self) -> None:
        """Every service that is still stopped."""
        for service in list(self.replicas):
            self.heal(service)

    def until(self, state: str, service: str, replica: int) -> None:
        """Wait until a replica says that the service's ServiceDown is `pending` or `firing`.

        One that has just started says nothing for 45 s of a service that it has never scraped.
        """
        expression = f'ALERTS{{alertname="ServiceDown",service="{service}",alertstate="{state}"}}'
        ask = lambda: self.live.tried_query(expression, replica)  # noqa: E731
        eventually(f"ServiceDown of {service} is {state}", ask, seconds=90, every=0.2)

    def told(self, channel: str, alert: str, status: str, service: str = "") -> list[Object]:
        """The notifications of a channel about an alert since the scene began, oldest first."""
        found = self.live.notifications(channel=channel, alertname=alert, status=status, since=self.start, limit=1000)
        about = [n for n in found if not service or any(a["service"] == service for a in n["alerts"])]
        return sorted(about, key=lambda notification: str(notification["received_at"]))

    def paged(self, service: str) -> float:
        """Wait for the page that a stopped service is down; seconds from the stop to its arrival."""
        ask = lambda: self.told("pagerduty", "ServiceDown", "firing", service)  # noqa: E731
        page = eventually(f"the page that {service} is down", ask, seconds=PAGED_WITHIN)[0]
        seconds = received(page) - self.stopped[service]
        assert seconds <= PAGED_WITHIN * PATIENCE, f"the page that {service} is down came after {seconds:.0f} s"
        return seconds

    def ends(self, service: str, channel: str) -> None:
        """Wait until a channel was told that the service is back."""
        ask = lambda: self.told(channel, "ServiceDown", "resolved", service)  # noqa: E731
        eventually(f"the end of {service} on {channel}", ask, seconds=180)

    def ready(self, name: str) -> bool:
        """Whether every replica of a StatefulSet of the platform is ready."""
        status = self.live.get("statefulset", name, f"--namespace={NAMESPACE}")[0]["status"]
        return int(status.get("readyReplicas", 0)) == len(self.live.replicas(name))

    def uid(self, pod: str) -> str:
        """The identity of the pod of a name, "" where there is none."""
        wanted = ("--ignore-not-found", "--output=jsonpath={.metadata.uid}")
        return self.live.kubectl("get", "pod", pod, f"--namespace={NAMESPACE}", *wanted)

    def pending(self, pod: str) -> bool:
        """Whether a StatefulSet's pod waits for a node."""
        found = self.live.kubectl("get", "pod", pod, f"--namespace={NAMESPACE}", "--output=json", check=False)
        state: Object = json.loads(found or "{}")
        return bool(state) and state["status"]["phase"] == "Pending" and "nodeName" not in state["spec"]

    def restarts(self, pod: str) -> dict[str, int]:
        """How often each container of a pod was started again."""
        status = self.live.get("pod", pod, f"--namespace={NAMESPACE}")[0]["status"]
        return {each["name"]: each["restartCount"] for each in status["containerStatuses"]}

    def metric(self, replica: int, name: str) -> float:
        """A metric without labels from a Prometheus' own page."""
        page = self.live.request(NAMESPACE, f"prometheus-{replica}", 9090, "/metrics").text
        return float(next(line.split()[1] for line in page.splitlines() if line.startswith(f"{name} ")))

    def evaluates(self, replica: int, since: float) -> bool:
        """Whether a replica has evaluated the alerts of availability, and recorded it, after a moment."""
        found = self.live.tried_query("max(timestamp(team:expected:count))", replica) or []
        return any(float(series["value"][1]) > since for series in found)

    @contextmanager
    def cordoned(self, node: str) -> Iterator[None]:
        """No new pod on a node."""
        self.live.kubectl("cordon", node)
        try:
            yield
        finally:
            self.live.kubectl("uncordon", node)

    def gap(self, replica: int, since: float) -> float:
        """The longest time between two samples of one `up` of a replica, seconds; from the last before `since` on."""
        spans = (pair for moments in self.samples(replica, since) for pair in pairwise(moments))
        return max(later - sooner for sooner, later in spans if later > since)

    def scraped(self, replica: int) -> bool:
        """Whether a replica has scraped each of the platform's own targets in the last interval."""
        return self.live.tried_query(f"timestamp({PLATFORM}) < time() - {self.interval + 1}", replica) == []

    def fired(self, replica: int, service: str) -> list[tuple[float, float]]:
        """From when to when ServiceDown of a service fired for a replica since the scene began, Unix times."""
        span = int(time.time() - self.start)
        alert = f'ALERTS{{alertname="ServiceDown",service="{service}",alertstate="firing"}}[{span}s]'
        moments = sorted(float(at) for series in self.live.query(alert, replica) for at, _ in series["values"])
        gaps = [pair for pair in pairwise([0.0, *moments, math.inf]) if pair[1] - pair[0] > self.interval]
        return [(begin, end) for (_, begin), (end, _) in pairwise(gaps)]

    def samples(self, replica: int, since: float) -> list[list[float]]:
        """When the platform's own targets were scraped by a replica: a list a target, Unix times."""
        span = int(time.time() - since) + 3 * self.interval
        found = self.live.query(f"{PLATFORM}[{span}s]", replica)
        return [[float(moment) for moment, _ in series["values"]] for series in found]


def received(notification: Object) -> float:
    """Unix time at which a notification arrived."""
    return datetime.fromisoformat(notification["received_at"]).timestamp()


class Watch(threading.Thread):
    """Counts the ready pods of the replicated workloads, and looks at the heartbeat, until it is told to end."""

    def __init__(self, live: Live) -> None:
        super().__init__(daemon=True)
        from kubernetes import client  # noqa: PLC0415 - a second of import that other tests do without

        self._core = client.CoreV1Api(api.client(live.stack.settings))
        self._live = live
        self._over = threading.Event()
        self.least = {name: len(live.replicas(name)) for name in KEEPS}
        self.looks = 0
        self.silence = 0.0  # seconds without a heartbeat, at most

    def run(self) -> None:
        """Two looks a second, one of the inbox in 3 s."""
        selector = f"app.kubernetes.io/name in ({','.join(KEEPS)})"
        while not self._over.wait(0.5):
            pods: list[Any] = self._core.list_namespaced_pod(
                NAMESPACE, label_selector=selector, _request_timeout=5
            ).items
            for name in KEEPS:
                mine = [pod for pod in pods if pod.metadata.name.startswith(f"{name}-")]
                self.least[name] = min(self.least[name], sum(map(_serves, mine)))
            if self.looks % 6 == 0:
                ages = [beat["age_seconds"] for beat in self._live.inbox("heartbeats")["heartbeats"]]
                self.silence = max([self.silence, *ages])
            self.looks += 1

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join(timeout=10)


def _serves(pod: Any) -> bool:
    """Whether a pod is ready and not on its way out."""
    conditions = pod.status.conditions or []
    ready = any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
    return ready and pod.metadata.deletion_timestamp is None
