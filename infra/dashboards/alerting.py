"""What fires, what fired, and does it arrive? The alerts of the exchange and the platform that makes them."""

from infra.dashboards import alerting_delivery
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, SOME_EXPECTED, Limits, in_rule
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, number, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, NUMBER, RATIO, SECONDS, STATE

OF_TEAM = f"{variables.TEAM.chosen}, {variables.ALERT.chosen}"
# The heartbeat always fires.
CHOSEN = f'{variables.SEVERITY.chosen}, {OF_TEAM}, alertname!="Watchdog"'
# Counted series name the alert by another label, as a rule that reads them has a name of its own.
COUNTED = f'{variables.SEVERITY.chosen}, {variables.TEAM.chosen}, noisy=~"$alertname"'
RANKS = {3: "critical", 2: "warning", 1: "info"}


def build(source: Source) -> Page:
    """uid alerting."""
    draft = Draft(
        "alerting",
        "Alerting",
        "What fires, what fired, and whether alerts reach the people they are for.",
        [variables.TEAM, variables.SEVERITY, variables.ALERT],
    )
    draft.row("Is anything firing, and does it arrive?", *_answer(source))
    draft.row("What fires now?", _now(), _over_time())
    draft.row("What fired before?", _week(), _noisy(source))
    draft.row("Do notifications arrive?", *alerting_delivery.notifications(source))
    draft.row("What is held back?", *alerting_delivery.held_back())
    draft.row("Are the rules evaluated?", *alerting_delivery.evaluation(source))
    draft.row("The platform's own health", *alerting_delivery.health())
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    firing = f'count(ALERTS{{alertstate="firing", severity="%s", {OF_TEAM}}}) or vector(0)'
    failing = (
        'label_replace(rule_group:rule_evaluation_failures:each_rate10m, "rule_group", "$1", "rule_group", ".*/(.+)")'
    )
    return [
        number(
            "Pages firing",
            Query(firing % "critical"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Critical alerts that fire now, those included that another one silences.",
            wrong="Start with the oldest in the table below; what fired after it is likely to follow from it.",
        ),
        number(
            "Warnings firing",
            Query(firing % "warning"),
            unit=COUNT,
            limits=Limits(warning=1),
            what="Warnings that fire now, those included that another alert silences.",
            wrong="They wait for the day, unless a page fires too: then they hint at its cause.",
        ),
        number(
            "Silenced or inhibited",
            Query('max(alertmanager_alerts{state="suppressed"})'),
            unit=COUNT,
            absent="no Alertmanager",
            what="Alerts that Alertmanager notifies nobody of: silenced by a person, or explained by another alert.",
            wrong="Many during an outage are as intended. In quiet times look for a forgotten silence.",
        ),
        number(
            "Not delivered",
            Query(worst(f"({alerting_delivery.NOT_DELIVERED})", "NotificationsFailing"), "{{service}} {{integration}}"),
            unit=RATIO,
            limits=source.limits(None, "NotificationsFailing"),
            absent="none sent",
            links=[links.to_logs()],
            what="Share of the notifications of the last 5 minutes that failed, of the worst channel.",
            wrong="Read Alertmanager's log for the provider's answer; until it works, watch this page instead.",
        ),
        number(
            "Rules failing each time",
            Query(worst(failing, "RuleEvaluationFailing"), "{{service}} {{rule_group}}"),
            unit=NUMBER,
            limits=source.limits(None, "RuleEvaluationFailing"),
            links=[links.to_logs()],
            what="Rules of the worst group that fail in each evaluation, over 10 minutes.",
            wrong="Alerts of that group cannot fire. Prometheus' log has the error; undo the last change of the file.",
        ),
        number(
            "Heartbeat",
            Query('max(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)'),
            unit=STATE,
            limits=SOME_EXPECTED,
            texts={0: "stopped", 1: "beats"},
            what="Whether the alert that always fires does so: rules run on fresh data and are recorded.",
            wrong="Nothing else may fire either: look whether Prometheus scrapes itself and has the catalog's rules.",
        ),
    ]


def _named(expr: str, label: str) -> str:
    """`expr` with the label alert, whose name stands in `label`; an alert of a whole team is of all its services."""
    named = f'label_replace({expr}, "alert", "$1", "{label}", "(.+)")'
    return f'label_replace({named}, "service", "All", "service", "")'


def _placed(expr: str, label: str) -> str:
    """_named, with the label dashboard besides: where the alert is explained, as its annotation says."""
    return f"{_named(expr, label)} * on (alert) group_left (dashboard) catalog:alert:dashboard"


_TO_DASHBOARD = (
    links.from_row("Where the alert is explained", "${__data.fields.Dashboard}", service="Service"),
    links.from_row("Performance of the service", "app-performance", service="Service"),
    links.to_logs("${__data.fields.Service}"),
)


def _now() -> Panel:
    by = ["alert", "service", "team", "dashboard"]

    def value(operation: str, expr: str) -> str:
        return f"{operation} by ({', '.join(by)}) ({_placed(expr, 'alertname')})"

    firing = f'ALERTS{{alertstate="firing", {CHOSEN}}}'
    ranked = " or ".join(
        f'{rank} * ALERTS{{alertstate="firing", severity="{severity}", {CHOSEN}}}' for rank, severity in RANKS.items()
    )
    since = f"(time() - ALERTS_FOR_STATE{{{CHOSEN}}}) and ignoring (alertstate) {firing}"
    return rows(
        "Firing",
        by,
        [
            Column("Severity", value("max", ranked), STATE, Limits(warning=2, critical=3), RANKS),
            Column("For", value("max", since), SECONDS),
            Column("How many", value("count", firing), COUNT),
        ],
        sort="Severity",
        links=_TO_DASHBOARD,
        absent="nothing fires",
        what="Alerts that fire now, how long their condition has held, and for how many instances, queues or assets. "
        "A click opens the dashboard that explains the alert, for its service.",
        wrong="Take the critical one that has lasted longest; its runbook has the name of the alert.",
        width=15,
        height=10,
    )


def _over_time() -> Panel:
    return graph(
        "Firing over time",
        [
            Query(f'sum(alert:firing:count{{severity="{severity}", {COUNTED}}}) or vector(0)', severity)
            for severity in ("critical", "warning")
        ],
        unit=COUNT,
        what="Critical alerts and warnings that fired, each minute.",
        wrong="Many at one moment have one cause: a host, a network, a deployment. Compare with the marks.",
        width=9,
        height=10,
    )


def _held(window: str) -> str:
    """Minutes within a window in which each alert fired."""
    return f"count_over_time(alert:firing:count{{{COUNTED}}}[{window}])"


def _week() -> Panel:
    by = ["alert", "service", "team", "severity", "dashboard"]
    labels = ", ".join(by)
    # An alert that has fired since before has no beginning in the window.
    times = f"sum_over_time(alert:fired:count{{{COUNTED}}}[1w]) or 0 * {_held('1w')}"
    return rows(
        "Fired this week",
        by,
        [
            Column("Times", f"sum by ({labels}) ({_placed(times, 'noisy')})", COUNT),
            Column("In all", f"60 * sum by ({labels}) ({_placed(_held('1w'), 'noisy')})", SECONDS),
        ],
        sort="Times",
        links=_TO_DASHBOARD,
        absent="nothing fired",
        what="Critical alerts and warnings of the last seven days: how often each fired, and how long in all.",
        wrong="What comes back every day wants a repair, not another look.",
        width=15,
        height=10,
    )


def _noisy(source: Source) -> Panel:
    by = ["alert", "service"]
    labels = ", ".join(by)
    times = _named(f"alert:fired:count1d{{{COUNTED}}}", "noisy")
    minutes = in_rule(source.alerting, "NoisyAlerts")
    return rows(
        "Noisiest of the last day",
        by,
        [
            Column("Times", f"sum by ({labels}) ({times})", COUNT, source.limits("NoisyAlerts")),
            Column(
                "In all",
                f"60 * sum by ({labels}) ({_named(_held('1d'), 'noisy')})",
                SECONDS,
                Limits(warning=60 * minutes),
            ),
        ],
        sort="Times",
        absent="nothing fired",
        what="How often each alert fired within a day, and how long in all; coloured where it is too much to be read.",
        wrong="Repair what it shows, or change its threshold under `alerts:` of the service in the catalog.",
        width=9,
        height=10,
    )
