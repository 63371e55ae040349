"""Prometheus: scrapes everything, evaluates the rules, keeps the metrics."""

from collections.abc import Iterable
from dataclasses import replace

import yaml

from infra import rules
from infra.components import scraping
from infra.stack import Stack
from infra.workload import GIB, MIB, ConfigFile, Port, Probe, Resources, Scrape, Security, Storage, Workload

PORT = 9090


def build(stack: Stack, others: Iterable[Workload], more: Iterable[Scrape] = ()) -> Workload:
    """Prometheus for the scrapes of the other workloads, of `more`, of the catalog and of itself."""
    settings = stack.settings
    own = Workload(
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
        storage=Storage("/prometheus", 50 * GIB),
        readiness=Probe("/-/ready", PORT),
        # The head block is flushed on the way out; a kill in the middle costs a slow replay at the next start.
        grace_seconds=60,
        checks=(("promtool", "check", "config", "etc/prometheus/prometheus.yml"),),
        scrapes=(Scrape("prometheus", (f"prometheus:{PORT}",), {"service": "prometheus", "team": "platform"}),),
    )
    workloads = [own, *others]
    return replace(own, config_files=config_files(stack, workloads, more))


def config_files(stack: Stack, workloads: list[Workload], more: Iterable[Scrape]) -> tuple[ConfigFile, ...]:
    """prometheus.yml and the rule files."""
    scrapes = [*(scrape for workload in workloads for scrape in workload.scrapes), *more]
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
    return (
        ConfigFile("/etc/prometheus/prometheus.yml", yaml.safe_dump(config, sort_keys=False)),
        *(
            ConfigFile(f"/etc/prometheus/rules/{name}", yaml.safe_dump(document, sort_keys=False, width=200))
            for name, document in rules.deployed(stack, workloads).items()
        ),
    )
