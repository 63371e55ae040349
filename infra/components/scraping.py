"""Scrape jobs and health probes, from Workloads and from the catalog."""

from collections.abc import Iterable
from typing import Any

from infra.catalog import Service
from infra.stack import Stack
from infra.workload import Scrape

BLACKBOX = "blackbox-exporter:9115"


def of_service(service: Service) -> Scrape:
    """The scrape of a catalog entry."""
    return Scrape(
        job=service.name,
        targets=(service.address,),
        labels={"service": service.name, "team": service.team, "tier": service.tier},
        path=service.metrics_path,
        rename=service.rename,
    )


def scrape_configs(stack: Stack, scrapes: Iterable[Scrape]) -> list[dict[str, Any]]:
    """Prometheus' scrape_configs: workloads, then services, then the /health probes.

    Scrapes of one job name become one entry with several target groups.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for scrape in [*scrapes, *(of_service(service) for service in stack.catalog.services)]:
        entry = _entry(scrape)
        if scrape.job in jobs:
            jobs[scrape.job]["static_configs"] += entry["static_configs"]
        else:
            jobs[scrape.job] = entry
    return [*jobs.values(), _probes(stack.catalog.services)]


def _entry(scrape: Scrape) -> dict[str, Any]:
    entry: dict[str, Any] = {"job_name": scrape.job, "metrics_path": scrape.path}
    if scrape.params:
        entry["params"] = {key: list(values) for key, values in scrape.params.items()}
    entry["static_configs"] = [{"targets": list(scrape.targets), "labels": dict(scrape.labels)}]
    if scrape.relabel:
        entry["relabel_configs"] = [dict(rule) for rule in scrape.relabel]
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


def _probes(services: Iterable[Service]) -> dict[str, Any]:
    return {
        "job_name": "health",
        "metrics_path": "/probe",
        "params": {"module": ["health"]},
        # Probes every 15 s like scrapes; a probe that takes longer than the module's 4 s has failed.
        "static_configs": [
            {
                "targets": [f"http://{service.address}{service.health_path}"],
                "labels": {"service": service.name, "team": service.team, "tier": service.tier},
            }
            for service in services
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": BLACKBOX},
        ],
    }
