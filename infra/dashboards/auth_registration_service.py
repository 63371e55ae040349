"""The accounts service itself, for its dashboard: golden signals, what it reaches and what it says."""

from infra.dashboards.kit import links
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph, lines, log_graph, states
from infra.dashboards.kit.units import BYTES, FINE_RATIO, FINE_SECONDS, NUMBER, PER_SECOND, REQUESTS

TO_STORES = [links.to("Databases and caches", "database-cache"), links.to_logs()]


def signals(source: Source, of_service: str) -> list[Panel]:
    """Traffic, errors, latency and saturation of the services that the matchers `of_service` select."""
    return [
        graph(
            "Traffic",
            [Query(f"job:http_requests_per_second{{{of_service}}}", "{{service}}")],
            unit=REQUESTS,
            links=links.TO_SERVICE,
            what="Requests answered a second, over 2 minutes.",
            wrong="A fall while the gateway is busy: the route from it is broken. A rise: see security for who it is.",
            width=8,
        ),
        graph(
            "Errors",
            [Query(f"job:http_error_rate{{{of_service}}}", "{{service}}")],
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            links=links.TO_SERVICE,
            what="Share of requests answered 5xx, over 5 minutes.",
            wrong="Compare with the dependencies below and the deployment marks, and roll back what began it.",
            width=8,
        ),
        graph(
            "Latency, P95",
            [Query(f"job:http_request_duration_p95{{{of_service}}}", "{{service}} p95")],
            unit=FINE_SECONDS,
            limits=source.limits("APILatencyWarning"),
            links=links.TO_SERVICE,
            what="What one request in 20 takes longer than, over 5 minutes.",
            wrong="With CPU at its limit, add instances: hashing passwords is work. Without, look at the database.",
            width=8,
        ),
        graph(
            "Latency, P99",
            [Query(f"job:http_request_duration_p99{{{of_service}}}", "{{service}} p99")],
            unit=FINE_SECONDS,
            limits=source.limits(None, "APILatencyCritical"),
            links=links.TO_SERVICE,
            what="What one request in a hundred takes longer than, over 5 minutes.",
            wrong="P99 alone: locks or a full connection pool; see the database's slow statements.",
            width=8,
        ),
        graph(
            "CPU of the busiest instance",
            [Query(f"service:process_cpu_seconds:rate5m_max{{{of_service}}}", "{{service}}")],
            unit=NUMBER,
            links=links.TO_SERVICE,
            what="CPU cores in use by the process that uses most, over 5 minutes.",
            wrong="With more sign-ins than usual, add instances; with as many, compare versions for a regression.",
            width=8,
        ),
        graph(
            "Memory of the largest instance",
            [Query(f"service:process_resident_memory_bytes:max{{{of_service}}}", "{{service}}")],
            unit=BYTES,
            links=links.TO_SERVICE,
            what="Resident memory of the process that has most.",
            wrong="A line that climbs for days is a leak: restart the instances one by one and open a ticket.",
            width=8,
        ),
    ]


def detail(accounts: str, of_service: str) -> list[Panel]:
    """Dependencies and logs of the services `accounts`, by name as a regular expression, which `of_service` selects."""
    of_logs = f'service_name=~"$accounts", service_name=~"{accounts}"'
    return [
        states(
            "Dependencies, as the service sees them",
            Query(f"service:service_dependency_up:min{{{of_service}}}", "{{service}} {{dependency}}"),
            texts={0: "out of reach", 1: "reached"},
            limits=Limits(warning=1, below=True),
            links=TO_STORES,
            what="Whether every instance reaches its database, cache and message broker.",
            wrong="If the store is up for others, check this service's password, network policy and connection pool.",
            width=12,
        ),
        log_graph(
            "Log lines, by level",
            Query(
                f"sum by (service_name, detected_level) (rate({{{of_logs}}}[5m]))",
                "{{service_name}} {{detected_level}}",
            ),
            unit=PER_SECOND,
            what="Lines a second of each level, over 5 minutes.",
            wrong="Errors that begin at one moment have one cause: read the first of them below.",
        ),
        lines(
            "Warnings and errors",
            f'{{{of_logs}}} | detected_level=~"warn|error|fatal"',
            what="The newest log lines above level info.",
            wrong="The route in the line says what fails; follow its request_id through the other services' logs.",
        ),
    ]
