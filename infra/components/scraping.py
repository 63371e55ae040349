"""Scrape jobs and health probes, from Workloads and from the catalog."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from infra.catalog import Service
from infra.stack import Stack
from infra.workload import Scrape

# The prober is asked about the target; the series carry the target's address.
THROUGH_BLACKBOX: tuple[dict[str, object], ...] = (
    {"source_labels": ["__address__"], "target_label": "__param_target"},
    {"source_labels": ["__param_target"], "target_label": "instance"},
    {"target_label": "__address__", "replacement": "blackbox-exporter:9115"},
)


def of_service(service: Service) -> Scrape:
    """The scrape of a catalog entry."""
    return Scrape(
        job=service.name,
        targets=(service.address,),
        labels={"service": service.name, "team": service.team, "tier": service.tier},
        path=service.metrics_path,
        rename=service.rename,
    )


def of_health(service: Service) -> Scrape:
    """The probe of a catalog entry's /health; one that takes longer than the module's 4 s has failed."""
    return Scrape(
        job="health",
        targets=(f"http://{service.address}{service.health_path}",),
        labels={"service": service.name, "team": service.team, "tier": service.tier},
        path="/probe",
        params={"module": ("health",)},
        relabel=THROUGH_BLACKBOX,
    )


def of_certificate(address: str) -> Scrape:
    """The probe that says when the certificate served at host:port ends."""
    return Scrape(
        job="certificates",
        targets=(address,),
        labels={"service": "tls", "team": "platform"},
        path="/probe",
        params={"module": ("tls",)},
        relabel=THROUGH_BLACKBOX,
    )


def scrape_configs(stack: Stack, scrapes: Iterable[Scrape]) -> list[dict[str, Any]]:
    """Prometheus' scrape_configs: workloads, then services, then the probes of /health and of certificates.

    Scrapes of one job name become one entry with several target groups.
    """
    jobs: dict[str, dict[str, Any]] = {}
    services = stack.catalog.services
    watched = [*map(of_service, services), *map(of_health, services), *map(of_certificate, stack.settings.tls_probes)]
    for scrape in [*scrapes, *watched]:
        entry = _entry(scrape)
        if scrape.job in jobs:
            jobs[scrape.job]["static_configs"] += entry["static_configs"]
        else:
            jobs[scrape.job] = entry
    return list(jobs.values())


def _entry(scrape: Scrape) -> dict[str, Any]:
    entry: dict[str, Any] = {"job_name": scrape.job, "metrics_path": scrape.path}
    if scrape.params:
        entry["params"] = {key: list(values) for key, values in scrape.params.items()}
    entry["static_configs"] = [{"targets": list(scrape.targets), "labels": dict(scrape.labels)}]
    if scrape.relabel:
        # Copies: YAML writes what two jobs share as an alias.
        entry["relabel_configs"] = deepcopy(list(scrape.relabel))
    if scrape.rename:
        entry["metric_relabel_configs"] = [
            {
                "source_labels": ["__name__"],
                # Histograms arrive as three families; the group is empty for every other type.
                "regex": f"{spoken}(_bucket|_sum|_count)?",
                "target_label": "__name__",
                "replacement": name + "${1}",
            }
            for spoken, name in scrape.rename.items()
        ]
    return entry
