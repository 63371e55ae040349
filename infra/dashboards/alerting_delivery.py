"""The rows of the alerting dashboard about the way from a rule to a person, and the platform on that way."""

from infra.dashboards.kit import links
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import bars, graph, number, states
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, FINE_SECONDS, NUMBER, PER_MINUTE, PER_SECOND, RATIO, SECONDS, STATE

# As NotificationsFailing reads them: a channel whose attempts of two minutes all failed, else the share of failures.
NOT_DELIVERED = "integration:notifications_failed:all2m == 1 or integration:notifications_failed:ratio_increase5m"
# As ConfigReloadFailed, ConfigNotTaken and ConfigRevisionsDiffer read it; the latter two on a cluster.
_CONFIGURATION = (
    "instance:config_last_reload_successful:max or config_reloader_last_apply_successful"
    " or component:config_reloader_revisions:count == bool 1"
)
# For what is bad as soon as it is there at all.
_ANY = Limits(critical=0)
_TO_LOGS = (links.to_logs(),)


def notifications(source: Source) -> list[Panel]:
    """From Prometheus to Alertmanager, and from there to the channels."""
    return [
        graph(
            "Time to notify",
            [
                Query("max(instance:rule_evaluation_duration:max_seconds)", "evaluate the slowest group of rules"),
                Query("max(instance:notifications_latency_p99:max)", "hand over to Alertmanager (p99)"),
                Query("max(integration:notification_latency_seconds:mean5m)", "send by the slowest channel (mean)"),
            ],
            unit=FINE_SECONDS,
            stacked=True,
            what="Seconds from a rule's evaluation to the channel's answer, by stage. Set and not measured, and on top "
            "of it: the wait for scrape and evaluation, the rule's `for`, Alertmanager's group_wait.",
            wrong="Rules: see the groups below. Hand-over: Alertmanager lacks CPU. Channel: its provider is slow.",
            width=8,
        ),
        graph(
            "Notifications",
            [Query("60 * integration:notifications:rate5m", "{{integration}}")],
            unit=PER_MINUTE,
            links=_TO_LOGS,
            what="Notifications begun each minute by channel, those of channels that ever sent one; webhook is the "
            "heartbeat's.",
            wrong="None by webhook: the heartbeat does not leave. A flood by the others: look at what fires.",
            width=8,
        ),
        graph(
            "Not delivered",
            [Query(f"max by (service, integration) ({NOT_DELIVERED})", "{{service}} {{integration}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits(None, "NotificationsFailing"),
            links=_TO_LOGS,
            what="Share of notifications that failed, over 5 minutes, by channel.",
            wrong="One channel: its provider, key or address. All: no way out of the network, or no DNS.",
            width=8,
        ),
        graph(
            "Alerts that Alertmanager did not take",
            [Query("60 * instance:notifications_not_handed_over:rate5m", "{{outcome}} {{instance}}")],
            unit=PER_MINUTE,
            limits=_ANY,
            links=_TO_LOGS,
            what="Alerts each minute that Prometheus could not hand over: refused, or given up with a full queue.",
            wrong="Nobody is notified of them: bring Alertmanager back; if it is up, check the network to it.",
            width=8,
        ),
        number(
            "Alertmanagers found",
            Query("min(prometheus_notifications_alertmanagers_discovered or alertmanager_cluster_members)"),
            unit=COUNT,
            limits=SOME_EXPECTED,
            what="The fewest Alertmanagers that a Prometheus hands its alerts to, or that one of several sees.",
            wrong="None: nobody is notified, check that it runs. Fewer than there are: the network between them.",
            width=4,
            height=8,
        ),
        number(
            "Heartbeat's age",
            # Of an hour, so that the age of a heartbeat that stopped is known.
            Query('time() - max(max_over_time(timestamp(ALERTS{alertname="Watchdog", alertstate="firing"})[1h:15s]))'),
            unit=SECONDS,
            absent="over an hour",
            what="Seconds since the alert that always fires last did; an evaluation or two is usual.",
            wrong="It rises while Prometheus does not evaluate: look at its log, disk and memory.",
            width=4,
            height=8,
        ),
        graph(
            "Alerts in Alertmanager",
            [Query("sum by (state) (state:alertmanager_alerts:max)", "{{state}}")],
            unit=COUNT,
            stacked=True,
            what="Alerts of every severity that Alertmanager holds: active ones notify, suppressed ones are silenced "
            "or inhibited, unprocessed ones wait.",
            wrong="Unprocessed ones that stay mean that it is overloaded: look at its CPU.",
            width=8,
        ),
    ]


def held_back() -> list[Panel]:
    """What notifies nobody on purpose."""
    return [
        rows(
            "Muted alerts",
            ["muted", "service", "reason"],
            [
                Column(
                    "State",
                    'max by (muted, service, reason) (catalog:alert:muted{team=~"$team", muted=~"$alertname"})',
                    STATE,
                    Limits(warning=1),
                    {1: "cannot fire"},
                )
            ],
            absent="none muted",
            what="Alerts that the catalog or the settings mute for a service, and why.",
            wrong="Remove a mute whose reason is gone from `alerts:` of the service's entry in the catalog.",
            width=9,
            height=7,
        ),
        rows(
            "Under maintenance",
            ["service", "reason"],
            [
                Column(
                    "State",
                    'max by (service, reason) (catalog:service:maintenance{team=~"$team"})',
                    STATE,
                    Limits(warning=1),
                    {1: "notifies nobody"},
                )
            ],
            links=[links.from_row("Performance of the service", "app-performance", service="Service")],
            absent="none",
            what="Services under planned maintenance, whose alerts notify nobody, and why.",
            wrong="When the work is done, remove the line `maintenance` from the service's entry in the catalog.",
            width=9,
            height=7,
        ),
        bars(
            "Silences",
            Query('max by (state) (alertmanager_silences{state!="expired"})', "{{state}}"),
            unit=COUNT,
            what="Silences that people set: in force now (active) or to come (pending).",
            wrong="End those that nobody remembers in Alertmanager; for a longer time the catalog has mutes.",
            width=6,
            height=7,
        ),
    ]


def evaluation(source: Source) -> list[Panel]:
    """Whether the rules run, and in time."""
    slow = source.limits("RuleGroupSlow")
    failing = source.limits(None, "RuleEvaluationFailing")

    def each(series: str) -> str:
        return f'max by (rule_group) (label_replace({series}, "rule_group", "$1", "rule_group", ".*/(.+)"))'

    return [
        graph(
            "Time for rules",
            [Query("instance:rule_evaluation_duration:max_ratio", "{{service}} {{instance}}")],
            unit=RATIO,
            limits=slow,
            links=_TO_LOGS,
            what="Share of its interval that the slowest group's evaluation takes.",
            wrong="The table below names the group: look for a rule over long windows or too many series.",
            width=8,
        ),
        graph(
            "Rules failing",
            [Query("instance:rule_evaluation_failures:max_each", "{{service}} {{instance}}")],
            unit=NUMBER,
            limits=failing,
            links=_TO_LOGS,
            what="Rules of the worst group that fail in each evaluation, over 10 minutes.",
            wrong="The table below names the group, Prometheus' log the rule; undo the last change of its file.",
            width=8,
        ),
        graph(
            "Evaluations left out",
            [Query("instance:rule_evaluations_missed:max", "{{service}} {{instance}}")],
            unit=NUMBER,
            limits=Limits(warning=0),
            links=_TO_LOGS,
            what="Evaluations that the worst group left out within 5 minutes, because the one before still ran.",
            wrong="Alerts come late: give Prometheus more CPU, or that group a longer interval.",
            width=8,
        ),
        rows(
            "Groups of rules",
            ["rule_group"],
            [
                Column("Took", each("prometheus_rule_group_last_duration_seconds"), FINE_SECONDS),
                Column("Of its interval", each("rule_group:rule_evaluation_duration:ratio"), RATIO, slow),
                Column("Fail each time", each("rule_group:rule_evaluation_failures:each_rate10m"), NUMBER, failing),
                Column("Left out", each("rule_group:rule_evaluations_missed:increase5m"), NUMBER, Limits(warning=0)),
                Column(
                    "Last run",
                    each("(time() - prometheus_rule_group_last_evaluation_timestamp_seconds)"),
                    SECONDS,
                ),
                Column("Interval", each("prometheus_rule_group_interval_seconds"), SECONDS),
            ],
            sort="Of its interval",
            what="Every group of rules by file and name: what its last evaluation took, rules that failed, evaluations "
            "left out in 5 minutes, and seconds since it last ran.",
            wrong="A group that ran longer ago than its interval and a scrape stands still: restart Prometheus.",
        ),
    ]


def health() -> list[Panel]:
    """What alerts are made from: targets, samples, logs, configuration."""
    return [
        rows(
            "Targets that do not answer",
            ["service", "instance", "job"],
            [
                Column(
                    "Lost within an hour",
                    'max by (service, instance, job) ((1 - avg_over_time(up{team=~"$team"}[1h])) and up == 0)',
                    RATIO,
                )
            ],
            sort="Lost within an hour",
            links=[links.to_logs("${__data.fields.Service}"), links.from_row("Infrastructure", "infrastructure")],
            absent="all answer",
            what="Targets whose last scrape failed, and the share of scrapes that failed within an hour.",
            wrong="No alert on their metrics can fire: restart the exporter or the service, check its network.",
            width=12,
            height=8,
        ),
        states(
            "Configuration",
            Query(_CONFIGURATION, "{{service}} {{instance}} {{component}}"),
            texts={0: "the old one runs", 1: "in force"},
            limits=Limits(warning=1, below=True),
            links=_TO_LOGS,
            what="Whether each part of the platform took its last configuration; on a cluster also whether its "
            "reloader could bring it, and whether all replicas have the same.",
            wrong="The log of the part or of its reloader names the line; repair it before a restart, which may fail.",
            width=12,
            height=8,
        ),
        graph(
            "Samples recorded",
            [Query("instance:samples_appended:rate5m", "{{service}} {{instance}}")],
            unit=PER_SECOND,
            links=_TO_LOGS,
            what="Samples that Prometheus records each second.",
            wrong="A fall is a loss of targets (table above); a jump a new label with many values.",
            width=8,
        ),
        graph(
            "Series",
            [Query("instance:head_series:max", "{{service}} {{instance}}")],
            unit=COUNT,
            links=[links.to("Infrastructure", "infrastructure")],
            what="Series in Prometheus' memory.",
            wrong="A steady rise fills its memory: find the metric with the most series under Status, TSDB.",
            width=8,
        ),
        graph(
            "Log lines",
            [Query("instance:log_lines_received:rate5m", "{{service}} {{instance}}")],
            unit=PER_SECOND,
            links=_TO_LOGS,
            what="Log lines that Loki receives each second.",
            wrong="None while services run: look at the log collector. A jump is one service that repeats an error.",
            width=8,
        ),
    ]
