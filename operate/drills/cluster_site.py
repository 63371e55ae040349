"""A stack on Kubernetes as drills see it: through the API server, with what the kubeconfig may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from infra import assembly
from infra.stack import Stack
from infra.targets.kubernetes.manifest import namespace_of
from operate.cluster import Cluster
from operate.drills.book import Drill
from operate.drills.sites import DrillError, counted, in_force

_PROMETHEUS, _ALERTMANAGER, _INBOX, _CONTROL = 9090, 9093, 8025, 8090


class ClusterSite:
    """Sets the simulated exchange's faults, and scales to nothing what a drill stops."""

    def __init__(self, stack: Stack) -> None:
        self._here = Cluster(stack)
        self._workloads = {workload.name: workload for workload in assembly.workloads(stack)}

    def prometheus(self, path: str) -> Any:
        return self._here.ask_prometheus(path)

    def alertmanager(self, path: str) -> Any:
        return self._first("alertmanager", _ALERTMANAGER, path)

    def inbox(self, path: str) -> Any:
        return self._first("inbox", _INBOX, path)

    def _first(self, component: str, port: int, path: str) -> Any:
        """What the first pod that answers says; None while none does."""
        for _, _, text in self._ask(component, port, "GET", path):
            try:
                return json.loads(text)
            except ValueError:
                continue
        return None

    def _ask(
        self, component: str, port: int, method: str, path: str, body: Any = None
    ) -> Iterator[tuple[str, int, str]]:
        """Name, status and text of each pod that answers."""
        workload = self._workloads[component]
        space = namespace_of(self._here.stack, workload)
        try:
            pods = self._here.pods(workload)
        except OSError:
            return
        for pod in pods:
            try:
                yield pod, *self._here.request(pod, port, method, path, namespace=space, body=body)
            except OSError:
                continue

    def faults(self) -> list[str]:
        return in_force(self._first("exchange-control", _CONTROL, "/api/faults"))

    def refusal(self, drill: Drill) -> str:
        if drill.run or drill.pause:
            return "its command is for stack dev"
        if drill.made_up:
            return "its series are given to the Prometheus of stack dev"
        return ""

    def provoke(self, name: str, drill: Drill) -> None:
        del name
        if drill.fault is not None:
            self._fault("PUT", drill, dict(drill.parameters))
        self._scale(drill, down=True)

    def heal(self, name: str, drill: Drill) -> None:
        del name
        if drill.fault is not None:
            self._fault("DELETE", drill, None)
        self._scale(drill, down=False)

    def _scale(self, drill: Drill, *, down: bool) -> None:
        for workload in (self._workloads[component] for component in drill.stop):
            try:
                self._here.scale(workload, 0 if down else workload.replicas)
            except OSError as error:
                raise DrillError(f"{workload.name} is not scaled: {error}") from None

    def _fault(self, method: str, drill: Drill, body: Any) -> None:
        answers = list(self._ask("exchange-control", _CONTROL, method, f"/api/faults/{drill.fault}", body))
        if not answers:
            raise DrillError("no pod of exchange-control answers")
        for _, status, text in answers:
            if status >= 400:
                raise DrillError(f"{drill.fault}: {status} {text.strip()[:200]}")

    def send(self, alerts: list[dict[str, Any]]) -> None:
        # Each must have them: they gossip about what was told, not about what fires.
        taken = [status for _, status, _ in self._ask("alertmanager", _ALERTMANAGER, "POST", "/api/v2/alerts", alerts)]
        if 200 not in taken:
            raise DrillError("no pod of Alertmanager takes alerts")

    def counters(self) -> dict[tuple[str, str], float]:
        sums: dict[tuple[str, str], float] = {}
        for _, _, page in self._ask("alertmanager", _ALERTMANAGER, "GET", "/metrics"):
            for key, value in counted(page).items():
                sums[key] = sums.get(key, 0.0) + value
        if not sums:
            raise DrillError("no pod of Alertmanager answers")
        return sums
