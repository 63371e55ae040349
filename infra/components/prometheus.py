"""Prometheus: scrapes everything, evaluates the rules, keeps the metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra import documents, rules
from infra.components import scraping
from infra.stack import Stack
from infra.workload import (
    GIB,
    MIB,
    NODES,
    OUTSIDE,
    Call,
    ConfigFile,
    Port,
    Probe,
    Resources,
    Scrape,
    SecretFile,
    Security,
    Storage,
    Workload,
)

PORT = 9090
# Of its volume. The rest is for the log of the last hours, the block being written, and for VolumeSpaceWarning to
# stay quiet below its fifth.
RETAINED_SHARE = 0.7
# Of each page that is scraped; what is over a limit counts as a target that does not answer, so that one target cannot
# take the memory that all alerts stand on: with ten times as much a hostile page took more than the container has. The
# largest page of the stack `dev`, Loki's, has 1,500 samples in 0.2 MB; what grows, cAdvisor's, has 35 samples for each
# container. No limit of targets: above one no target of the job would be scraped at all.
SCRAPE_LIMITS = {
    "body_size_limit": "8MB",
    "sample_limit": 20_000,
    "label_limit": 64,
    "label_name_length_limit": 256,
    "label_value_length_limit": 8192,
}
# Share of its memory that the samples of one query may take, at 16 bytes each: what is made of them takes several times
# as much while the query runs. By the default of 50 million samples one careless query has it killed for memory.
QUERY_SHARE, BYTES_IN_QUERY, MAX_SAMPLES = 0.1, 16, 50_000_000


def build(stack: Stack, others: Iterable[Workload], more: Iterable[Scrape] = ()) -> Workload:
    """Prometheus for the scrapes of the other workloads, of `more`, of the catalog and of itself."""
    settings = stack.settings
    size = settings.size("prometheus")
    storage, memory = size.storage or 50 * GIB, size.memory or 768 * MIB
    own = Workload(
        name="prometheus",
        kind="stateful",
        image=stack.images["prometheus"],
        team="platform",
        part_of="platform",
        security=Security(65534, 65534),
        resources=Resources(memory=memory, cpu=1.0, cpu_request=0.1),
        replicas=size.replicas or 1,
        args=(
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={settings.retention_days}d",
            # The oldest blocks go before the volume is full.
            f"--storage.tsdb.retention.size={int(storage * RETAINED_SHARE) // MIB}MB",
            f"--web.external-url={stack.link(settings.prometheus_port)}",
            "--web.enable-lifecycle",
            # A restart does not begin the `for` of an alert anew; the default keeps only those of over 10 minutes.
            "--rules.alert.for-grace-period=1m",
            f"--query.max-samples={min(int(memory * QUERY_SHARE) // BYTES_IN_QUERY, MAX_SAMPLES)}",
            "--enable-feature=expand-external-labels",
            *scraping.web_arguments(stack),
        ),
        # Near its limit of memory it tidies up rather than grow until it is killed.
        env={"GOMEMLIMIT": str(int(memory * 0.9))},
        ports=(Port("http", PORT, settings.prometheus_port),),
        storage=Storage("/prometheus", storage, silent_when_full=True),
        readiness=Probe("/-/ready", PORT, live_path="/-/healthy", start_limit=1800),
        # What it holds in memory is written down on the way out; a kill costs a slow replay at the next start.
        grace_seconds=300,
        scrapes=(Scrape("prometheus", (f"prometheus:{PORT}",), {"service": "prometheus", "team": "platform"}),),
        reload_metric="prometheus_config_last_reload_successful",
        asks_for_password=bool(settings.web_user),
        secret_files=(
            *scraping.web_secrets(stack),
            *((SecretFile(scraping.WEB_PASSWORD, "web-password"),) if settings.web_user else ()),
            *((SecretFile(scraping.HOSTS_PASSWORD, "node-exporter-password"),) if stack.inventory else ()),
        ),
    )
    workloads = [own, *others]
    files = config_files(stack, workloads, more)
    rule_files = [file.path.lstrip("/") for file in files if "/rules/" in file.path]
    checks = (
        # The password and token files that it names are where it runs, not where it is checked.
        ("promtool", "check", "config", "--syntax-only", "etc/prometheus/prometheus.yml"),
        ("promtool", "check", "rules", *rule_files),
    )
    return replace(own, config_files=files, checks=checks, calls=_calls(stack, workloads, more))


def _calls(stack: Stack, workloads: Sequence[Workload], more: Iterable[Scrape]) -> tuple[Call, ...]:
    """Every connection that its configuration makes it open."""
    scraped = [
        Call(NODES if workload.kind == "per-node" else workload.name, port)
        for workload in workloads
        for port in sorted({scrape.port for scrape in workload.scrapes if scrape.path != "/probe"})
    ]
    elsewhere = [Call(scrape.targets[0].rpartition(":")[0], scrape.port) for scrape in more]
    hosts = [Call(OUTSIDE, scrape.port) for scrape in scraping.of_hosts(stack)]
    services = [Call(service.name, service.port) for service in stack.catalog.services]
    others = (Call("blackbox-exporter", 9115), Call("alertmanager", 9093), *stack.surroundings.own_calls(workloads))
    return tuple(dict.fromkeys([*scraped, *hosts, *elsewhere, *services, *others]))


def config_files(stack: Stack, workloads: list[Workload], more: Iterable[Scrape]) -> tuple[ConfigFile, ...]:
    """prometheus.yml, the rule files, and the hosts' CA."""
    config = {
        "global": {
            "scrape_interval": f"{stack.settings.scrape_interval_seconds}s",
            "scrape_timeout": "5s",
            "evaluation_interval": f"{stack.settings.scrape_interval_seconds}s",
            **SCRAPE_LIMITS,
            "external_labels": {"environment": stack.settings.environment, "replica": "${HOSTNAME}"},
        },
        "rule_files": ["rules/*.yml"],
        "alerting": _alerting(stack),
        "scrape_configs": scraping.scrape_configs(stack, workloads, more),
    }
    return (
        ConfigFile("/etc/prometheus/prometheus.yml", documents.dump(config)),
        *((ConfigFile(scraping.HOSTS_CA, stack.inventory.ca),) if stack.inventory else ()),
        *(
            ConfigFile(f"/etc/prometheus/rules/{name}", documents.dump(document, width=200))
            for name, document in rules.deployed(stack, workloads).items()
        ),
    )


def _alerting(stack: Stack) -> dict[str, object]:
    """Every Alertmanager is told: they agree among themselves who notifies."""
    count = stack.settings.size("alertmanager").replicas or 1
    peers = [f"{stack.surroundings.replica('alertmanager', number)}:9093" for number in range(count)]
    manager: dict[str, object] = {"static_configs": [{"targets": peers}]}
    if stack.settings.web_user:
        manager["basic_auth"] = scraping.web_credentials(stack)
    return {
        # The same alert of two replicas is one alert.
        "alert_relabel_configs": [{"regex": "replica", "action": "labeldrop"}],
        "alertmanagers": [manager],
    }
