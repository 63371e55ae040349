"""Prometheus: scrapes everything, evaluates the rules, keeps the metrics."""

from collections.abc import Iterable

import yaml

from infra.components import scraping
from infra.stack import Stack
from infra.workload import GIB, MIB, ConfigFile, Port, Probe, Resources, Scrape, Security, Storage, Workload

PORT = 9090
RULES = "configs/prometheus/rules"


def build(stack: Stack, others: Iterable[Scrape]) -> Workload:
    """Prometheus for the scrapes of the other workloads, of the catalog and of itself."""
    own = Scrape("prometheus", (f"prometheus:{PORT}",), {"service": "prometheus", "team": "platform"})
    scrapes = [own, *others]
    settings = stack.settings
    return Workload(
        name="prometheus",
        kind="stateful",
        image=stack.images["prometheus"],
        team="platform",
        part_of="platform",
        security=Security(65534, 65534),
        resources=Resources(memory=768 * MIB, cpu=1.0),
        args=(
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={settings.retention_days}d",
            f"--web.external-url={stack.link(settings.prometheus_port)}",
            "--web.enable-lifecycle",
        ),
        ports=(Port("http", PORT, settings.prometheus_port),),
        config_files=config_files(stack, scrapes),
        storage=Storage("/prometheus", 50 * GIB),
        readiness=Probe("/-/ready", PORT),
        # The head block is flushed on the way out; a kill in the middle costs a slow replay at the next start.
        grace_seconds=60,
        checks=(("promtool", "check", "config", "etc/prometheus/prometheus.yml"),),
        scrapes=(own,),
    )


def config_files(stack: Stack, scrapes: Iterable[Scrape]) -> tuple[ConfigFile, ...]:
    """prometheus.yml, the hand-written rules and the rules that follow from the catalog."""
    config = {
        "global": {
            "scrape_interval": f"{stack.settings.scrape_interval_seconds}s",
            "scrape_timeout": "5s",
            "evaluation_interval": f"{stack.settings.scrape_interval_seconds}s",
            "external_labels": {"environment": stack.settings.environment},
        },
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": scraping.scrape_configs(stack, scrapes),
    }
    rules = sorted((stack.root / RULES).glob("*.yml"))
    return (
        ConfigFile("/etc/prometheus/prometheus.yml", yaml.safe_dump(config, sort_keys=False)),
        ConfigFile("/etc/prometheus/rules/catalog.yml", yaml.safe_dump(catalog_rules(stack), sort_keys=False)),
        *(ConfigFile(f"/etc/prometheus/rules/{path.name}", path.read_text()) for path in rules),
    )


def catalog_rules(stack: Stack) -> dict[str, object]:
    """The expected-service series: one per catalog entry, there whether or not the service is.

    A target that vanished from discovery leaves no `up` behind; comparing against this series sees it.
    """
    return {
        "groups": [
            {
                "name": "catalog",
                "rules": [
                    {
                        "record": "catalog:service:expected",
                        "expr": "vector(1)",
                        "labels": {"service": s.name, "team": s.team, "tier": s.tier},
                    }
                    for s in stack.catalog.services
                ],
            }
        ]
    }
