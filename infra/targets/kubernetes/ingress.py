"""The one way in from outside: the host name, with TLS, to Grafana's sign-in."""

from collections.abc import Sequence

from infra.stack import Stack
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes.manifest import Manifest, labels, manifest
from infra.workload import Workload


def of(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """The Ingress, where there is a Grafana."""
    settings = stack.settings
    grafana = next((workload for workload in workloads if workload.name == "grafana"), None)
    if grafana is None:
        return []
    backend = {"service": {"name": grafana.name, "port": {"name": "http"}}}
    spec = {
        "ingressClassName": settings.ingress_class,
        "tls": [{"hosts": [settings.host], "secretName": settings.tls_secret}],
        "rules": [
            {
                "host": settings.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ],
    }
    # Without a controller nothing ever gives it an address, and the deployment would wait for one.
    annotations = {"pulumi.com/skipAwait": "true", **settings.ingress_annotations}
    return [
        manifest("networking.k8s.io/v1", "Ingress", "grafana", NAMESPACE, labels(grafana), {"spec": spec}, annotations)
    ]
