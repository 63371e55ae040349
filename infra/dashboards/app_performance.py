"""How does a service perform, and why not better? One service, or all of them."""

from infra.dashboards import app_performance_resources
from infra.dashboards.app_performance_resources import OF_SERVICE, TARGETS
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, NOTHING, SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, number, states, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, FINE_RATIO, FINE_SECONDS, PER_SECOND, REQUESTS, STATE, TIMES

# What the alerts ask for besides their threshold: enough requests for the value to mean something.
_THREE_ERRORS = "job:http_error_rate * job:http_requests:rate5m > 0.01"
_FOR_P95 = "job:http_requests:rate5m > 0.1"
_FOR_P99 = "job:http_requests:rate5m > 0.334"
_TEN_ERRORS = "service:http_errors:increase1h > 10"


def build(source: Source) -> Page:
    """uid app-performance."""
    draft = Draft(
        "app-performance",
        "Application performance",
        "Traffic, errors, latency and saturation of the chosen services, and what they stand on.",
        [variables.SERVICE, variables.INSTANCE],
        with_logs=True,
    )
    draft.row("Do customers get answers, and fast enough?", *_answer(source))
    draft.row("Which service, and since when?", *_signals(source))
    draft.row("Which requests?", *_requests())
    draft.row("Is it something they depend on?", *_dependencies())
    draft.row("Is it one instance, or are they at their limit?", *app_performance_resources.instances(source))
    draft.row("Will the error budget last?", *app_performance_resources.budget(source))
    draft.row("What the logs say", *app_performance_resources.logs())
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    to_logs = [links.to_logs()]
    errors = f"job:http_error_rate{{{OF_SERVICE}}}"
    burn = f"service:error_budget:burn_rate1h{{{OF_SERVICE}}}"
    p95 = f"(job:http_request_duration_p95{{{OF_SERVICE}}} and on (job, service) {_FOR_P95})"
    p99 = f"(job:http_request_duration_p99{{{OF_SERVICE}}} and on (job, service) {_FOR_P99})"
    return [
        number(
            "Instances down",
            Query(f"count(up{{{TARGETS}}} == 0) or count(service:down{{{OF_SERVICE}}} == 1) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Instances that do not answer Prometheus; a service without any instance counts as one.",
            wrong="The table of instances below names them. If all of one host's are gone, look at the host.",
            links=[links.to("Hosts", "infrastructure")],
        ),
        number(
            "Worst error ratio",
            Query(
                worst(f"({errors} and on (job, service) {_THREE_ERRORS} or 0 * {errors})", "HighErrorRate"),
                "{{service}}",
            ),
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            absent="no traffic",
            what="Requests answered 5xx over 5 minutes, of the service nearest to its limit; fewer than 3 count as 0.",
            wrong="See below which requests fail and which dependency is gone; roll back if a deployment came before.",
            links=to_logs,
        ),
        number(
            "Slowest P95",
            Query(worst(p95, "APILatencyWarning"), "{{service}}"),
            unit=FINE_SECONDS,
            limits=source.limits("APILatencyWarning"),
            absent="too few requests",
            what="What one request in 20 takes longer than, over 5 minutes, of the service nearest to its limit.",
            wrong="If all routes are slow, look at CPU and dependencies; if one is, at its queries.",
            links=to_logs,
        ),
        number(
            "Slowest P99",
            Query(worst(p99, "APILatencyCritical"), "{{service}}"),
            unit=FINE_SECONDS,
            limits=source.limits(None, "APILatencyCritical"),
            absent="too few requests",
            what="What one request in 100 takes longer than, over 5 minutes, of the service nearest to its limit.",
            wrong="Customers run into time-outs: find the route below, then the lock, pool or host it waits for.",
            links=[links.to("Databases and caches", "database-cache"), *to_logs],
        ),
        number(
            "Fastest budget burn",
            Query(
                worst(f"({burn} and on (service) {_TEN_ERRORS} or 0 * {burn})", "ErrorBudgetBurnFast"), "{{service}}"
            ),
            unit=TIMES,
            limits=source.limits(None, "ErrorBudgetBurnFast"),
            absent="no objective",
            what="Pace at which the 30 days' error budget was spent in the last hour; up to 10 failures count as 0.",
            wrong="1 just lasts the month, 14 ends it in two days: stop what changed last, then repair.",
        ),
        number(
            "Most budget spent",
            Query(worst(f"service:error_budget:spent30d{{{OF_SERVICE}}}", "ErrorBudgetSpent"), "{{service}}"),
            unit=FINE_RATIO,
            limits=source.limits("ErrorBudgetSpent"),
            absent="no objective",
            what="Share of the failures allowed in 30 days that has happened, of the service nearest to its limit.",
            wrong="Hold back risky releases of the service until the share falls; at 100 % its objective is missed.",
        ),
    ]


def _signals(source: Source) -> list[Panel]:
    return [
        graph(
            "Traffic",
            [Query(f"sum by (service) (job:http_requests_per_second{{{OF_SERVICE}}})", "{{service}}")],
            unit=REQUESTS,
            links=[links.to_logs()],
            what="Requests answered each second, over 2 minutes.",
            wrong="A sudden fall: customers do not get through, look at the gateway. A sudden rise: flood or retries.",
        ),
        graph(
            "Error ratio",
            [Query(f"max by (service) (job:http_error_rate{{{OF_SERVICE}}})", "{{service}}")],
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            links=[links.to_logs()],
            what="Share of requests answered 5xx, over 5 minutes.",
            wrong="Began with a deployment marked here: roll it back. Began at several services at once: a dependency.",
        ),
        _latency(
            "P50",
            NOTHING,
            what="What half of the requests take longer than, over 5 minutes.",
            wrong="Rises with P95: everything is slow, look at CPU, database and network. Only P95 rises: one route.",
        ),
        _latency(
            "P95",
            source.limits("APILatencyWarning"),
            what="What one request in 20 takes longer than, over 5 minutes.",
            wrong="Look below for the slow routes, then for the dependency they share.",
        ),
        _latency(
            "P99",
            source.limits(None, "APILatencyCritical"),
            what="What one request in 100 takes longer than, over 5 minutes.",
            wrong="Above the line customers' own time-outs begin: look for locks and full connection pools.",
        ),
    ]


def _latency(quantile: str, limits: Limits, *, what: str, wrong: str) -> Panel:
    record = f"job:http_request_duration_{quantile.lower()}{{{OF_SERVICE}}}"
    return graph(
        f"Latency {quantile}",
        [Query(f"max by (service) ({record})", "{{service}}")],
        unit=FINE_SECONDS,
        limits=limits,
        links=[links.to_logs(), links.to("Databases and caches", "database-cache")],
        what=what,
        wrong=wrong,
        width=8,
    )


def _requests() -> list[Panel]:
    by = "max by (service, method, route)"
    requests = f"route:http_requests:rate5m{{{OF_SERVICE}}}"
    errors = f"route:http_errors:rate5m{{{OF_SERVICE}}}"
    return [
        rows(
            "Routes",
            ["service", "method", "route"],
            [
                Column("Requests", f"{by} ({requests} > 0)", REQUESTS),
                Column("Failed", f"{by} ({errors} and {requests} > 0)", PER_SECOND),
                Column("Error ratio", f"{by} ({errors} / ({requests} > 0))", FINE_RATIO),
                Column("P95", f"{by} (route:http_request_duration_seconds:p95{{{OF_SERVICE}}})", FINE_SECONDS),
                Column("P99", f"{by} (route:http_request_duration_seconds:p99{{{OF_SERVICE}}})", FINE_SECONDS),
            ],
            sort="P99",
            links=[
                links.from_row("Only this service", "app-performance", service="Service"),
                links.to_logs("${__data.fields.Service}"),
            ],
            what="Every route with requests in the last 5 minutes, the slowest first; click a heading to sort by it.",
            wrong="One route that fails or is slow: its code or its queries. All of a service: what it stands on.",
        ),
        graph(
            "Failed requests by route",
            [Query(f"topk(10, {by} ({errors}) > 0)", "{{service}} {{method}} {{route}}")],
            unit=PER_SECOND,
            links=[links.to_logs()],
            what="Requests answered 5xx each second, over 5 minutes, of the ten routes that fail most.",
            wrong="Search the service's logs for the route: the error that stands there is the cause or its name.",
        ),
        graph(
            "Refused and failed requests by status",
            [Query(f'sum by (status) (status:http_requests:rate5m{{{OF_SERVICE}, status=~"[45].."}})', "{{status}}")],
            unit=PER_SECOND,
            what="Answers of 4xx (refused) and 5xx (failed) each second, over 5 minutes.",
            wrong="503, 504: a dependency, or no free instance. 500: the code. 429: rate limits. 401, 403: sign-in.",
        ),
    ]


def _dependencies() -> list[Panel]:
    reached = f"service:service_dependency_up:min{{{OF_SERVICE}}}"
    return [
        states(
            "Reached by all of the chosen services",
            Query(f"min by (dependency) ({reached})", "{{dependency}}"),
            texts={0: "not by all", 1: "by all"},
            limits=SOME_EXPECTED,
            links=[links.to("Databases and caches", "database-cache")],
            what="For each dependency, whether all instances of the chosen services reach it, as their /health says.",
            wrong="Compare with the start of the errors above. If it is red, the table beside names who lost it.",
            width=12,
        ),
        rows(
            "Who reaches what",
            ["service", "dependency"],
            [
                Column("State", f"min by (service, dependency) ({reached})", STATE, SOME_EXPECTED, UP),
                Column(
                    "Out of reach in the last hour",
                    f"max by (service, dependency) (1 - avg_over_time({reached}[1h]))",
                    FINE_RATIO,
                ),
            ],
            sort="Out of reach in the last hour",
            links=[
                links.from_row("Only this service", "app-performance", service="Service"),
                links.to_logs("${__data.fields.Service}"),
            ],
            what="Each service's dependencies as its worst instance sees them, and for how much of the last hour not.",
            wrong="Lost by one service: its network, password or pool. Lost by all: the dependency itself is down.",
            width=12,
            height=8,
        ),
    ]
