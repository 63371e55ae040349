"""Is the exchange healthy? The page to open first; everything else is a link away."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import DEPENDENTS, graph, log_graph, number, states, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, DAYS, FINE_RATIO, FINE_SECONDS, PER_SECOND, REQUESTS, STATE, TIMES

OF_SERVICE = variables.SERVICE.chosen
# 1, or 0 of a service that is down.
_STATE = f"max by (service) (0 * (%s == 1) or catalog:service:expected{{{OF_SERVICE}}})"
_NOW = f"service:down{{{OF_SERVICE}}}"
_MEANWHILE = f"max_over_time(service:down:max1m{{{OF_SERVICE}}}[$__rate_interval])"


def build(source: Source) -> Page:
    """uid system-health."""
    draft = Draft(
        "system-health",
        "System health",
        "Whether the exchange works, which service does not, and what it stands on.",
        [variables.SERVICE],
        with_logs=True,
    )
    draft.row("Is the exchange healthy?", *_answer(source))
    draft.row("Which service is not?", _services(source), _history())
    draft.row("What do they stand on?", _dependencies(), _certificates(source), *_chains(source))
    draft.row("Golden signals", *_signals(source))
    draft.row("What changed, and what the logs say", *_detail(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    alerts = 'count(ALERTS{alertstate="firing", severity="%s"}) or vector(0)'
    return [
        number(
            "Services down",
            Query(f"count(service:down{{{OF_SERVICE}}} == 1) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Services of the catalog that do not answer on any instance.",
            wrong="The table below names them. Look for what they share: a dependency, a host, a deployment.",
        ),
        number(
            "Dependencies down",
            Query("count(dependency:down == 1) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Data stores and hosts that neither their exporter nor the services reach.",
            wrong="Bring the dependency back first; the services on it recover by themselves.",
            links=[links.to("Databases and caches", "database-cache")],
        ),
        number(
            "Pages firing",
            Query(alerts % "critical"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Critical alerts that fire now, those included that another one silences.",
            wrong="Open the alerting dashboard: it lists them with the cause first.",
            links=[links.to("Alerting", "alerting")],
        ),
        number(
            "Warnings firing",
            Query(alerts % "warning"),
            unit=COUNT,
            limits=Limits(warning=1),
            what="Warnings that fire now.",
            wrong="They want a look during the day; during an outage they hint at its cause.",
            links=[links.to("Alerting", "alerting")],
        ),
        number(
            "Worst error ratio",
            Query(worst(f"job:http_error_rate{{{OF_SERVICE}}}", "HighErrorRate"), "{{service}}"),
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            absent="no traffic",
            what="Requests answered 5xx over 5 minutes, of the service nearest to its limit.",
            wrong="Open the service: errors by route say what fails, its dependencies say why.",
            links=links.TO_SERVICE,
        ),
        number(
            "Slowest P99",
            Query(worst(f"job:http_request_duration_p99{{{OF_SERVICE}}}", "APILatencyCritical"), "{{service}}"),
            unit=FINE_SECONDS,
            limits=source.limits(None, "APILatencyCritical"),
            absent="no traffic",
            what="What one request in a hundred takes longer than, of the service nearest to its limit.",
            wrong="Open the service: look at latency by route, then at its database and host.",
            links=links.TO_SERVICE,
        ),
    ]


def _services(source: Source) -> Panel:
    return rows(
        "Services",
        ["service"],
        [
            Column(
                "State",
                _STATE % _NOW,
                STATE,
                SOME_EXPECTED,
                UP,
            ),
            Column("Requests", f"sum by (service) (job:http_requests_per_second{{{OF_SERVICE}}})", REQUESTS),
            Column(
                "Errors",
                f"max by (service) (job:http_error_rate{{{OF_SERVICE}}})",
                FINE_RATIO,
                source.limits("HighErrorRateWarning", "HighErrorRate"),
            ),
            Column(
                "P95",
                f"max by (service) (job:http_request_duration_p95{{{OF_SERVICE}}})",
                FINE_SECONDS,
                source.limits("APILatencyWarning"),
            ),
            Column(
                "P99",
                f"max by (service) (job:http_request_duration_p99{{{OF_SERVICE}}})",
                FINE_SECONDS,
                source.limits(None, "APILatencyCritical"),
            ),
            Column(
                "Budget burn",
                f"max by (service) (service:error_budget:burn_rate1h{{{OF_SERVICE}}})",
                TIMES,
                source.limits(None, "ErrorBudgetBurnFast"),
            ),
            Column(
                "Alerts",
                f'count by (service) (ALERTS{{alertstate="firing", severity=~"critical|warning", {OF_SERVICE}}}'
                " and on (service) catalog:service:expected)"
                f" or max by (service) (0 * catalog:service:expected{{{OF_SERVICE}}})",
                COUNT,
                Limits(warning=1),
            ),
        ],
        sort="Alerts",
        links=[
            links.from_row("Performance of the service", "app-performance", service="Service"),
            links.to_logs("${__data.fields.Service}"),
        ],
        what="State, traffic, errors and latency over 5 minutes of every service; error budget over an hour.",
        wrong="Click the service for its performance or its logs. An empty cell is a service without traffic.",
        width=14,
        height=11,
    )


def _history() -> Panel:
    return states(
        "Up and down",
        Query(_STATE % _MEANWHILE, "{{service}}"),
        texts=UP,
        limits=SOME_EXPECTED,
        links=[links.to("The service", "app-performance", service="service")],
        what="When each service answered and when it did not, were it for a moment; shown within a minute.",
        wrong="Services that went down together share a cause; one that comes and goes restarts.",
        width=10,
        height=11,
    )


def _dependencies() -> Panel:
    down = "max by (service, kind) (0 * (dependency:down == 1) or 0 * catalog:dependency:expected + 1)"
    return rows(
        "Dependencies",
        ["service", "kind"],
        [
            Column("State", down, STATE, SOME_EXPECTED, UP),
            Column(
                "Used by",
                "max by (service, kind) (catalog:dependency:expected) * on (service) group_left () " + DEPENDENTS,
                COUNT,
            ),
        ],
        links=[links.from_row("Databases and caches", "database-cache"), links.from_row("Hosts", "infrastructure")],
        what="Data stores and hosts that services depend on, and how many do.",
        wrong="One that is down explains its services; their own alerts are silenced meanwhile.",
        width=8,
        height=8,
    )


def _certificates(source: Source) -> Panel:
    return number(
        "First certificate to end",
        Query("bottomk(1, instance:certificate_remaining:days)", "{{instance}}"),
        unit=DAYS,
        limits=source.limits("CertificateExpiresSoon", "CertificateExpiring", below=True),
        absent="no probe",
        what="Days until the first of the probed certificates ends.",
        wrong="Automatic renewal has failed; renew by hand before the last day.",
        width=4,
        height=8,
    )


def _chains(source: Source) -> list[Panel]:
    behind = "max by (service, chain) (instance:blockchain_node_height:behind_reference)"
    to_node = [links.to("The node", "app-performance", service="service"), links.to_logs()]
    return [
        graph(
            "Chains: blocks behind the independent height",
            [Query(behind, "{{service}} {{chain}}")],
            unit=COUNT,
            limits=source.limits(None, "BlockchainHeightBehindReference"),
            links=to_node,
            what="How far each node is behind the height that independent sources know.",
            wrong="Deposits on the chain are not seen: check the node's peers, its disk and its version.",
            width=6,
        ),
        graph(
            "Chains: independent height behind the node",
            [Query(f"0 - {behind}", "{{service}} {{chain}}")],
            unit=COUNT,
            limits=source.limits("BlockchainReferenceStale"),
            links=to_node,
            what="How far the independent sources are behind the exchange's own node.",
            wrong="Nobody checks the node meanwhile: see whether blockchain-gateway reaches its sources.",
            width=6,
        ),
    ]


def _signals(source: Source) -> list[Panel]:
    return [
        graph(
            "Traffic",
            [Query(f"sum by (service) (job:http_requests_per_second{{{OF_SERVICE}}})", "{{service}}")],
            unit=REQUESTS,
            links=links.TO_SERVICE,
            what="Requests answered each second.",
            wrong="A sudden fall means that customers do not get through; a sudden rise, a flood or a retry storm.",
        ),
        graph(
            "Errors",
            [Query(f"max by (service) (job:http_error_rate{{{OF_SERVICE}}})", "{{service}}")],
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            links=links.TO_SERVICE,
            what="Share of requests answered 5xx, over 5 minutes.",
            wrong="Compare with the deployments marked on the graph, then open the service.",
        ),
        graph(
            "Latency",
            [Query(f"max by (service) (job:http_request_duration_p99{{{OF_SERVICE}}})", "{{service}}")],
            unit=FINE_SECONDS,
            limits=source.limits(None, "APILatencyCritical"),
            links=links.TO_SERVICE,
            what="What one request in a hundred takes longer than (P99), over 5 minutes.",
            wrong="If all services slow down together, look at what they share: database, host, network.",
        ),
        graph(
            "Saturation",
            [Query("instance:node_cpu_used:ratio_by_minute", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            maximum=1,
            limits=source.limits("HighCPUUsage"),
            links=[links.to("The host", "infrastructure", host="instance")],
            what="Share of each host's CPUs in use.",
            wrong="Open the host: a runaway process, a job that belongs into the night, or too little capacity.",
        ),
    ]


def _with_version(expr: str) -> str:
    """A value of a service beside each of its versions."""
    versions = f"count by (service, version) (service_build_info{{{OF_SERVICE}}})"
    return f"0 * {versions} + on (service) group_left () {expr}"


def _detail(source: Source) -> list[Panel]:
    restarts = source.limits("ServiceHighRestartRate")
    restarts_a_day = source.limits("ServiceRestarted")
    # Absent for what started longer ago.
    in_hour = (
        f"(max by (service) (instance:process_restarts:changes1h{{{OF_SERVICE}}})"
        f" or 0 * max by (service) (catalog:service:expected{{{OF_SERVICE}}}))"
    )
    in_day = f"sum by (service) (service:process_restarts:resets1d{{{OF_SERVICE}}})"
    return [
        rows(
            "Versions and restarts",
            ["service", "version"],
            [
                Column("Instances", f"count by (service, version) (service_build_info{{{OF_SERVICE}}})", COUNT),
                Column("Restarts in 1 h", _with_version(in_hour), COUNT, restarts),
                Column("In a day", _with_version(in_day), COUNT, restarts_a_day),
            ],
            sort="In a day",
            links=[links.from_row("Performance of the service", "app-performance", service="Service")],
            what="Which version runs on how many instances, and how often the service restarted.",
            wrong="Two versions for long are a deployment that stopped half-way; restarts without one are crashes.",
            width=12,
        ),
        log_graph(
            "Errors in the logs",
            Query(
                'sum by (service_name) (rate({service_name=~"$service"} | detected_level="error" [5m]))',
                "{{service_name}}",
            ),
            unit=PER_SECOND,
            what="Log lines of level error each second.",
            wrong="Open the service's logs: its own words are the shortest way to the cause.",
            width=12,
        ),
    ]
