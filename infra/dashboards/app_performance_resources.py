"""Of the page about services: their instances, their error budget and their logs."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph, lines, log_graph
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import (
    BYTES,
    COUNT,
    FINE_RATIO,
    FINE_SECONDS,
    NUMBER,
    PER_SECOND,
    REQUESTS,
    SECONDS,
    STATE,
    TIMES,
)

OF_SERVICE = variables.SERVICE.chosen
OF_INSTANCE = f"{OF_SERVICE}, {variables.INSTANCE.chosen}"
# Only services of the catalog have a tier; exporters and the platform are scraped too.
TARGETS = f'job!="health", tier=~".+", {OF_INSTANCE}'


def instances(source: Source) -> list[Panel]:
    """Where one instance differs from the others, and what the processes use."""
    return [
        _instances(source),
        graph(
            "Error ratio by instance",
            [Query(f"instance:http_errors:ratio_rate5m{{{OF_INSTANCE}}}", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            links=[links.to_logs()],
            what="Share of requests answered 5xx by each instance, over 5 minutes.",
            wrong="One line above the others: take that instance out of service; the others carry its load.",
            width=8,
        ),
        graph(
            "CPU",
            [Query(f"max by (service) (service:process_cpu_seconds:rate5m_max{{{OF_SERVICE}}})", "{{service}}")],
            unit=NUMBER,
            links=[links.to("Hosts and containers", "infrastructure")],
            what="CPU cores that the busiest instance of each service uses, over 5 minutes.",
            wrong="Rises with traffic: add instances. Rises alone: what the last deployment changed, or a loop.",
            width=8,
        ),
        graph(
            "Memory",
            [Query(f"max by (service) (service:process_resident_memory_bytes:max{{{OF_SERVICE}}})", "{{service}}")],
            unit=BYTES,
            links=[links.to("Hosts and containers", "infrastructure")],
            what="Memory that the largest instance of each service holds.",
            wrong="Climbs for hours and drops at a restart: a leak. Raise the limit now, repair it by day.",
            width=8,
        ),
    ]


def _instances(source: Source) -> Panel:
    by = "max by (service, instance, version)"
    # At a deployment both versions are there for a moment; two would match one instance.
    version = "* on (service, instance) group_left (version) topk by (service, instance) (1, service_build_info)"
    up = f"up{{{TARGETS}}}"
    started = f"process_start_time_seconds{{{TARGETS}}}"
    # Absent for what started longer ago.
    restarts = f"instance:process_restarts:changes1h{{{TARGETS}}} or 0 * {started}"

    def of(expr: str) -> str:
        return f"{by} (({expr}) {version})"

    return rows(
        "Instances",
        ["service", "instance", "version"],
        [
            # What is down tells no version.
            Column("State", f"{by} ({up} {version} or on (service, instance) {up})", STATE, SOME_EXPECTED, UP),
            Column("Requests", of(f"instance:http_requests:rate5m{{{OF_INSTANCE}}}"), REQUESTS),
            Column(
                "Error ratio",
                of(f"instance:http_errors:ratio_rate5m{{{OF_INSTANCE}}}"),
                FINE_RATIO,
                source.limits("HighErrorRateWarning", "HighErrorRate"),
            ),
            Column(
                "P99",
                of(f"instance:http_request_duration_seconds:p99{{{OF_INSTANCE}}}"),
                FINE_SECONDS,
                source.limits(None, "APILatencyCritical"),
            ),
            Column("CPU cores", of(f"rate(process_cpu_seconds_total{{{TARGETS}}}[5m])"), NUMBER),
            Column("Memory", of(f"process_resident_memory_bytes{{{TARGETS}}}"), BYTES),
            Column("Running for", of(f"time() - {started}"), SECONDS),
            Column("Restarts in 1 h", of(restarts), COUNT, source.limits("ServiceHighRestartRate")),
        ],
        sort="Error ratio",
        links=[
            links.from_row("Only this service", "app-performance", service="Service"),
            links.to_logs("${__data.fields.Service}"),
        ],
        what="Every instance with its version, the last 5 minutes' requests, what it uses and its restarts.",
        wrong="Two versions: a deployment stopped half-way, finish it or roll back. Restarts: read the last log lines.",
    )


def budget(source: Source) -> list[Panel]:
    """How fast the errors that an objective allows are spent, over the windows the alerts look at."""
    return [
        _budgets(source),
        graph(
            "Budget spent",
            [Query(f"service:error_budget:spent30d{{{OF_SERVICE}}}", "{{service}}")],
            unit=FINE_RATIO,
            limits=source.limits("ErrorBudgetSpent"),
            what="Share of the failures allowed in 30 days that has happened.",
            wrong="A step is an outage, a slope an error that stays: see the burn rates below for which it is.",
            width=8,
        ),
        _burn(
            "1h",
            "the last hour",
            source.limits(None, "ErrorBudgetBurnFast"),
            "Above the line two days end the budget: roll back what changed, then look at the failing routes.",
        ),
        _burn(
            "6h",
            "six hours",
            source.limits(None, "ErrorBudgetBurn"),
            "Above the line five days end the budget: look for one bad instance or one failing route.",
        ),
        _burn(
            "1d",
            "a day",
            source.limits("ErrorBudgetBurnSlow"),
            "Above the line ten days end the budget: look for time-outs at peak load and slow dependencies.",
        ),
        _burn(
            "3d",
            "three days",
            source.limits("ErrorBudgetBurnCreeping"),
            "Above the line the budget ends before the month: repair the rare request that always fails.",
        ),
    ]


def _budgets(source: Source) -> Panel:
    def burn(window: str) -> str:
        return f"max by (service) (service:error_budget:burn_rate{window}{{{OF_SERVICE}}})"

    spent = f"max by (service) (service:error_budget:spent30d{{{OF_SERVICE}}})"
    return rows(
        "Error budgets",
        ["service"],
        [
            Column("Objective", f"1 - max by (service) (catalog:service:error_budget{{{OF_SERVICE}}})", FINE_RATIO),
            Column("Left of 30 days", f"1 - {spent}", FINE_RATIO),
            Column("Spent", spent, FINE_RATIO, source.limits("ErrorBudgetSpent")),
            Column("Burn 1 h", burn("1h"), TIMES, source.limits(None, "ErrorBudgetBurnFast")),
            Column("Burn 6 h", burn("6h"), TIMES, source.limits(None, "ErrorBudgetBurn")),
            Column("Burn 1 d", burn("1d"), TIMES, source.limits("ErrorBudgetBurnSlow")),
            Column("Burn 3 d", burn("3d"), TIMES, source.limits("ErrorBudgetBurnCreeping")),
        ],
        sort="Spent",
        links=[links.from_row("Only this service", "app-performance", service="Service")],
        what="Share of requests that must succeed over 30 days, the allowed failures that are left, and their pace.",
        wrong="The longest coloured window says how long it has gone on. A negative rest misses the objective.",
        width=16,
        height=8,
    )


def _burn(window: str, words: str, limits: Limits, wrong: str) -> Panel:
    return graph(
        f"Budget burn over {words}",
        [Query(f"service:error_budget:burn_rate{window}{{{OF_SERVICE}}}", "{{service}}")],
        unit=TIMES,
        limits=limits,
        links=[links.to_logs()],
        what=f"How many times faster than evenly over 30 days the error budget was spent in {words}.",
        wrong=wrong,
    )


def logs() -> list[Panel]:
    """What the chosen services write."""
    selected = '{service_name=~"$service"}'
    return [
        log_graph(
            "Errors in the logs",
            Query(
                f'sum by (service_name) (rate({selected} | detected_level=~"error|fatal|critical" [5m]))',
                "{{service_name}}",
            ),
            unit=PER_SECOND,
            what="Log lines of level error or worse each second, over 5 minutes.",
            wrong="Look at the lines beside it from the moment at which the rate rises.",
            width=8,
            height=10,
        ),
        lines(
            "Warnings and errors",
            f'{selected} | detected_level=~"warn|error|fatal|critical"',
            what="The newest 200 log lines of level warning or worse; with All chosen, of everything that runs.",
            wrong="Read the oldest first: the first error is the cause, those after it mostly its consequences.",
            width=16,
        ),
    ]
