"""What differs around a component between one machine's Docker and a cluster: names, discovery, logs.

Components ask these two classes; nothing else in a component knows where it runs.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from infra.catalog import Service
from infra.settings import Settings
from infra.workload import API_SERVER, NODES, Call, HostPath, Scrape, Workload

Entry = dict[str, Any]

NAMESPACE = "monitoring"
# Host agents need what Pod Security `restricted` forbids: the machine's files, its network.
AGENTS_NAMESPACE = "monitoring-agents"
KUBELET_PORT = 10250
RELOADER_PORT = 9533
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path


@dataclass(frozen=True)
class Docker:
    """One machine: every name is a container's, every target fixed."""

    settings: Settings
    # Whether cAdvisor runs as a workload; on a cluster every kubelet carries it.
    own_cadvisor = True
    log_config = "log-collector/docker.yml"
    log_files = HostPath("/var/lib/docker/containers", "/var/lib/docker/containers")

    def address(self, service: Service) -> str:
        """host:port of a service of the exchange."""
        return f"{service.host or service.name}:{service.port}"

    def every(self, name: str) -> str:
        """A name that resolves to every replica of a workload."""
        return name

    def replica(self, name: str, _number: int) -> str:
        """The name of one replica."""
        return name

    def of_service(self, _service: Service, scrape: Scrape) -> Entry:
        """Where Prometheus finds a service of the exchange."""
        return fixed(scrape)

    def of_workload(self, _workload: Workload, scrape: Scrape) -> Entry:
        """Where Prometheus finds a workload of the platform."""
        return fixed(scrape)

    def own_jobs(self, _workloads: Sequence[Workload]) -> list[Entry]:
        """Scrape jobs of the surroundings themselves."""
        return []

    def own_calls(self, _workloads: Sequence[Workload]) -> tuple[Call, ...]:
        """The connections those jobs need, and discovery."""
        return ()


@dataclass(frozen=True)
class Kubernetes:
    """A cluster: replicas have names of their own, services are found pod by pod, nodes by the API."""

    settings: Settings
    own_cadvisor = False
    log_config = "log-collector/kubernetes.yml"
    log_files = HostPath("/var/log/pods", "/var/log/pods")

    def namespace_of(self, service: Service) -> str:
        """The namespace a service of the exchange runs in."""
        return service.namespace or self.settings.exchange_namespace

    def address(self, service: Service) -> str:
        """host:port of a service of the exchange: its Service, unless it runs outside the cluster."""
        return f"{service.host or f'{service.name}.{self.namespace_of(service)}'}:{service.port}"

    def every(self, name: str) -> str:
        """A name that resolves to every replica of a workload: its headless Service."""
        return f"{name}-pods"

    def replica(self, name: str, number: int) -> str:
        """The name of one replica of a StatefulSet in the platform's namespace."""
        return f"{name}-{number}.{name}-pods.{NAMESPACE}.svc"

    def of_service(self, service: Service, scrape: Scrape) -> Entry:
        """Every pod with the service's label. A pod that is not ready counts too: it is there and should answer."""
        if service.host:
            return fixed(scrape)
        selector = service.pods or f"app.kubernetes.io/name={service.name}"
        return _per_pod(self.namespace_of(service), selector, service.port, scrape)

    def of_workload(self, workload: Workload, scrape: Scrape) -> Entry:
        """Named replicas, or every node: what is missing then is a target that does not answer, not a gap.

        Only the replicas of a Deployment have no names.
        """
        if workload.kind == "per-node":
            return _per_node(scrape.port, scrape.labels)
        if workload.kind == "stateful" and workload.part_of == "platform":
            return {"static_configs": self._each_replica(workload, scrape.port, scrape.labels)}
        if workload.replicas > 1:
            return _per_pod(NAMESPACE, f"app.kubernetes.io/name={workload.name}", scrape.port, scrape)
        return fixed(scrape)

    def _each_replica(self, workload: Workload, port: int, labels: dict[str, str]) -> list[Entry]:
        """A target for each replica by its own name, which stays when the pod does not."""
        return [
            {
                "targets": [f"{self.replica(workload.name, number)}:{port}"],
                "labels": {"instance": f"{workload.name}-{number}", **labels},
            }
            for number in range(workload.replicas)
        ]

    def own_jobs(self, workloads: Sequence[Workload]) -> list[Entry]:
        """Containers and volumes as each node's kubelet sees them, and the reloaders beside what they reload."""
        kubelet = {
            "scheme": "https",
            "authorization": {"credentials_file": f"{TOKEN}/token"},
            # Kubelets sign their own serving certificates unless the cluster rotates them; the token is
            # sent to addresses that the API server gave.
            "tls_config": {"ca_file": f"{TOKEN}/ca.crt", "insecure_skip_verify": True},
        }
        containers = {
            "job_name": "cadvisor",
            "metrics_path": "/metrics/cadvisor",
            **kubelet,
            **_per_node(KUBELET_PORT, {"service": "cadvisor", "team": "platform"}),
            "metric_relabel_configs": [
                # Pods and slices sum up what their containers say already.
                {"source_labels": ["__name__", "container"], "regex": "container_.+;", "action": "drop"},
                {
                    "source_labels": ["pod", "container"],
                    "separator": "/",
                    "regex": "(.+/.+)",
                    "target_label": "name",
                },
                {"regex": "uid|image", "action": "labeldrop"},
            ],
        }
        volumes = {
            "job_name": "kubelet",
            "metrics_path": "/metrics",
            **kubelet,
            **_per_node(KUBELET_PORT, {"service": "kubelet", "team": "platform"}),
            "metric_relabel_configs": [
                {
                    "source_labels": ["__name__"],
                    "regex": "kubelet_volume_stats_.+|kubelet_running_.+|process_start_time_seconds",
                    "action": "keep",
                },
            ],
        }
        reloaders = {
            "job_name": "config-reloader",
            "static_configs": [
                group
                for workload in workloads
                if workload.reload_metric
                for group in self._each_replica(
                    workload, RELOADER_PORT, {"service": "config-reloader", "team": workload.team}
                )
            ],
        }
        return [containers, volumes, reloaders]

    def own_calls(self, workloads: Sequence[Workload]) -> tuple[Call, ...]:
        """The connections those jobs need, and discovery."""
        reloaders = [Call(workload.name, RELOADER_PORT) for workload in workloads if workload.reload_metric]
        # The API's Service is on 443, and what stands behind it mostly on 6443; policies see either.
        return (*reloaders, Call(NODES, KUBELET_PORT), Call(API_SERVER, 443), Call(API_SERVER, 6443))


Surroundings = Docker | Kubernetes


def of(settings: Settings) -> Surroundings:
    """The surroundings of a stack."""
    return Kubernetes(settings) if settings.target == "kubernetes" else Docker(settings)


def fixed(scrape: Scrape) -> Entry:
    """The scrape's own targets."""
    entry: Entry = {"static_configs": [{"targets": list(scrape.targets), "labels": dict(scrape.labels)}]}
    if scrape.relabel:
        # Copies: YAML writes what two jobs share as an alias.
        entry["relabel_configs"] = deepcopy(list(scrape.relabel))
    return entry


def _per_pod(namespace: str, selector: str, port: int, scrape: Scrape) -> Entry:
    return {
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [namespace]},
                "selectors": [{"role": "pod", "label": selector}],
            }
        ],
        "relabel_configs": [
            # What has ended answers no more, and an init container never does.
            {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
            {"source_labels": ["__meta_kubernetes_pod_container_init"], "regex": "true", "action": "drop"},
            # One target per pod, however many ports it declares.
            {
                "source_labels": ["__meta_kubernetes_pod_ip"],
                "target_label": "__address__",
                "replacement": f"${{1}}:{port}",
            },
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "instance"},
            *({"target_label": name, "replacement": value} for name, value in scrape.labels.items()),
            *deepcopy(list(scrape.relabel)),
        ],
    }


def _per_node(port: int, labels: dict[str, str]) -> Entry:
    """A target on every node, whether or not the pod that should answer there could be scheduled.

    Each step leaves alone what was not found by the API: fixed targets may stand in the same job.
    """

    def on_nodes(source: str, **step: str) -> Entry:
        return {"source_labels": [f"__meta_kubernetes_node_{source}"], "regex": "(.+)", **step}

    others = {name: value for name, value in labels.items() if name != "instance"}
    return {
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [
            on_nodes("address_InternalIP", target_label="__address__", replacement=f"${{1}}:{port}"),
            on_nodes("name", target_label="instance"),
            *(on_nodes("name", target_label=name, replacement=value) for name, value in others.items()),
        ],
    }
