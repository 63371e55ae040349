"""Of the page about infrastructure: containers, what is watched, and the monitoring platform itself."""

from infra.dashboards.kit import links
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph, states
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import BYTES, COUNT, DAYS, FINE_RATIO, NUMBER, PER_SECOND, RATIO

_TO_LOGS = [links.to_logs()]


def containers() -> list[Panel]:
    """What cAdvisor tells of each container."""
    by = "max by (name)"
    return [
        rows(
            "Containers",
            ["name"],
            [
                Column("Memory of limit", f"{by} (container:memory_used:ratio)", RATIO),
                Column("Memory", f"{by} (container:memory_working_set_bytes:max)", BYTES),
                Column("CPU cores", f"{by} (container:cpu_seconds:rate5m)", NUMBER),
                Column(
                    "Killed for memory in 1 h",
                    'sum by (name) (increase(container_oom_events_total{name!=""}[1h]))',
                    COUNT,
                    NONE_EXPECTED,
                ),
            ],
            sort="Memory of limit",
            what="Every container with the memory it cannot give back, its CPU over 5 minutes and its kills.",
            wrong="Near 100 % of its limit it is killed next: restart it at a good moment, then raise the limit.",
        ),
        graph(
            "The ten fullest containers",
            [Query("topk(10, container:memory_used:ratio)", "{{name}}")],
            unit=RATIO,
            maximum=1,
            what="Memory that a container cannot give back, as a share of its limit.",
            wrong="Climbs without traffic: a leak. Climbs with it: give the service more instances or a higher limit.",
        ),
        graph(
            "The ten busiest containers",
            [Query("topk(10, container:cpu_seconds:rate5m)", "{{name}}")],
            unit=NUMBER,
            what="CPU cores that a container uses, over 5 minutes.",
            wrong="Takes what others on its host need: limit it, or move it to a host of its own.",
        ),
    ]


def targets(source: Source) -> list[Panel]:
    """Whether what is watched answers, and for how long certificates do."""
    return [
        states(
            "Exporters, parts of the platform, TLS endpoints",
            Query("instance:watched_up:min", "{{job}} {{instance}}"),
            texts=UP,
            limits=SOME_EXPECTED,
            links=_TO_LOGS,
            what="Whether each exporter and each part of the platform answers, and each TLS endpoint shakes hands.",
            wrong="Restart an exporter or part: nothing is seen without it. TLS: customers cannot connect either.",
            width=8,
            height=10,
        ),
        graph(
            "Instances lost",
            [Query("job:targets_lost:ratio", "{{service}}")],
            unit=RATIO,
            limits=source.limits("ScrapePoolLosingTargets"),
            links=[links.to("The service", "app-performance", service="service"), *_TO_LOGS],
            what="Share of the instances of each service and platform part that do not answer, while others do.",
            wrong="The rest carries their load: open the service, its table of instances names the ones that are gone.",
            width=8,
            height=10,
        ),
        graph(
            "Certificates",
            [Query("instance:certificate_remaining:days", "{{instance}}")],
            unit=DAYS,
            limits=source.limits("CertificateExpiresSoon", "CertificateExpiring", below=True),
            what="Days until the certificate of each probed endpoint ends.",
            wrong="No jump up 30 days before the end: it was not renewed. Renew by hand and reload the endpoint.",
            width=8,
            height=10,
        ),
    ]


def health(source: Source) -> list[Panel]:
    """Memory, storage, losses and rules of the monitoring platform."""
    return [
        graph(
            "Memory of the platform's parts",
            [Query("instance:component_memory_used:ratio", "{{service}} {{instance}}")],
            unit=RATIO,
            limits=source.limits("PlatformMemoryHigh"),
            maximum=1,
            links=_TO_LOGS,
            what="Memory of each part of the platform as a share of its limit.",
            wrong="Find the label with many new values and drop it at the scrape; raise the limit if load simply grew.",
            width=8,
        ),
        graph(
            "Storage of Prometheus",
            [Query("instance:component_storage_used:ratio", "{{service}} {{instance}}")],
            unit=RATIO,
            limits=source.limits("PlatformStorageFilling"),
            maximum=1,
            links=_TO_LOGS,
            what="Share of its volume that Prometheus' blocks, log and chunks fill.",
            wrong="Shorten the retention or enlarge the volume; full, it stops recording and alerting.",
            width=8,
        ),
        graph(
            "Failures to store",
            [Query("instance:storage_failures:increase15m", "{{service}} {{instance}} {{failure}}")],
            unit=COUNT,
            limits=Limits(warning=1),
            links=_TO_LOGS,
            what="Times that Prometheus, Loki or Alertmanager failed to write or read its own data, over 15 minutes.",
            wrong="Free the disk or make the volume writable again; the part's log names the file that is damaged.",
            width=8,
        ),
        graph(
            "Samples dropped",
            [Query("instance:samples_dropped:rate5m", "{{service}} {{instance}} {{reason}}")],
            unit=PER_SECOND,
            limits=source.limits("SamplesDropped"),
            links=_TO_LOGS,
            what="Samples, or whole pages of them, that Prometheus refuses each second, over 5 minutes.",
            wrong="Prometheus' log names the target: two that give the same series, a wrong clock, or too many series.",
            width=8,
        ),
        graph(
            "Log lines lost",
            [Query("instance:log_records_lost:ratio_rate30m", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            limits=source.limits("LogsDropped"),
            links=_TO_LOGS,
            what="Share of the log lines read that do not reach Loki, over 30 minutes.",
            wrong="Bring Loki back before the queue is full; if it refuses lines, its log says which limit they meet.",
            width=8,
        ),
        graph(
            "Slowest rules",
            [Query("instance:rule_evaluation_duration:max_ratio", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            limits=source.limits("RuleGroupSlow"),
            links=[links.to("Alerting", "alerting"), *_TO_LOGS],
            what="Time that the slowest group of rules takes, as a share of the time between two evaluations.",
            wrong="Beyond 100 % alerts come late: give Prometheus CPU, or record what the group reads over days.",
            width=8,
        ),
    ]
