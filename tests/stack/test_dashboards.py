"""Every query of every dashboard, as it stands and for every choice a reader can make, finds its data."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from infra import dashboards
from infra.stack import load
from operate.dashboards.reading import Dashboard, Panel, PanelQuery
from tests import promql
from tests.conftest import Figure
from tests.running import eventually
from tests.stack.asking import all_of, ask
from tests.stack.conftest import STACK, Live

EXPLAINED = ("data", "reason", "no such series")
UIDS = [page.uid for page in dashboards.pages(load(STACK))]

DAY, HOUR = "the stack is not a day old", "rules over hours want some of them"
QUIET, WELL = "a service that logged none has no line", "nothing fires while all is well"

# Queries that have nothing to show on a healthy stack some minutes old: uid, panel, a part of the query, the reason.
REASONS = [
    ("system-health", "Errors in the logs", "detected_level", QUIET),
    ("app-performance", "Errors in the logs", "detected_level", QUIET),
    ("app-performance", "Warnings and errors", "detected_level", QUIET),
    ("app-performance", "Failed requests by route", "> 0", "a route that fails nothing is none of the ten"),
    ("app-performance", "Slowest P95", "> 0.1", "the alert's floor: of fewer requests the P95 is a single one"),
    ("app-performance", "Slowest P99", "> 0.334", "the alert's floor: of fewer requests the P99 is a single one"),
    ("app-performance", "Error budgets", "burn_rate", HOUR),
    ("app-performance", "Budget burn over six hours", "burn_rate", HOUR),
    ("app-performance", "Budget burn over a day", "burn_rate", HOUR),
    ("app-performance", "Budget burn over three days", "burn_rate", HOUR),
    ("infrastructure", "Days until full", ":days", "the trend is that of three days"),
    ("infrastructure", "Disks", ":days", "the trend is that of three days"),
    ("infrastructure", "Volumes", "kubelet", "Docker's volumes are folders of the host's disk"),
    ("infrastructure", "Log lines lost", "rate30m", "the rule wants half an hour of history"),
    ("trading-engine", "Markets", "offset 1d", DAY),
    ("trading-engine", "Orders accepted, and a day ago", "offset 1d", DAY),
    ("business-metrics", "Users lost in a week", "offset 1w", DAY),
    ("business-metrics", "Daily active users against a week ago", "offset 1w", DAY),
    ("business-metrics", "Net flow", "offset 1d", DAY),
    ("business-metrics", "Volume against earlier", "offset 1", DAY),
    ("business-metrics", "Identity checks approved", "ratio6h", "of fewer than 30 decisions a ratio says nothing"),
    ("security-anomaly", "Flood, times the usual", "p90_1d", DAY),
    ("security-anomaly", "Times the usual", "p90_1d", DAY),
    ("security-anomaly", "Refused by rate limit", "ratio_rate5m", "fewer than one refusal a second is no ratio"),
    ("security-anomaly", "Withdrawn, times the usual", "p90_1d", DAY),
    ("security-anomaly", "Alerts firing", "ALERTS", WELL),
    ("security-anomaly", "Refused requests", "status", QUIET),
    ("auth-registration", "Sign-ins, now and usual", "usual", DAY),
    ("auth-registration", "Registrations, now and usual", "usual", DAY),
    ("auth-registration", "Warnings and errors", "detected_level", QUIET),
    ("alerting", "Firing", "ALERTS", WELL),
    ("alerting", "Fired this week", "alert:fir", WELL),
    ("alerting", "Noisiest of the last day", "alert:fir", WELL),
    ("alerting", "Muted alerts", "catalog:alert:muted", "the catalog mutes nothing"),
    ("alerting", "Under maintenance", "catalog:service:maintenance", "the catalog has no maintenance"),
    ("alerting", "Targets that do not answer", "up", "all answer"),
]


@pytest.fixture(scope="module")
def pages(live: Live) -> dict[str, Dashboard]:
    """The dashboards by uid."""
    return {dashboard.uid: dashboard for dashboard in all_of(live)}


def has_series(live: Live, query: PanelQuery, chosen: dict[str, str]) -> bool:
    """Whether each metric the query reads has a series that fits the choice."""
    expr = query.filled(chosen, range_seconds=900, step_seconds=15)
    return all(live.query(str(selector)) for selector in promql.selectors(expr))


@pytest.mark.parametrize("uid", UIDS)
def test_every_query_has_data(live: Live, pages: dict[str, Dashboard], uid: str, figure: Figure) -> None:
    dashboard = pages[uid]
    values = {
        v.name: eventually(f"values of {v.name}", partial(v.values, live.prometheus)) for v in dashboard.variables
    }
    asked = [
        (panel, query, choice)
        for panel in dashboard.panels
        for query in panel.queries
        for choice in dashboard.choices(query, values)
    ]

    def outcome(panel: Panel, query: PanelQuery, choice: dict[str, str]) -> str:
        if ask(live, query, choice):
            return "data"
        if any((uid, panel.title) == at[:2] and at[2] in query.expr for at in REASONS):
            return "reason"
        everything = {**dashboard.everything(), **choice}
        if (
            everything != dashboard.everything()
            and query.source == "prometheus"
            and not has_series(live, query, choice)
        ):
            return "no such series"
        return f"{panel.title}: {query.expr} has no data for {choice or 'any choice'}"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda each: outcome(*each), asked))
    # What has only just come back is in the next evaluation of rules that run every two minutes.
    end = time.monotonic() + 130
    while any(text not in EXPLAINED for text in outcomes) and time.monotonic() < end:
        time.sleep(5)
        outcomes = [text if text in EXPLAINED else outcome(*each) for text, each in zip(outcomes, asked, strict=True)]
    counts = {kind: outcomes.count(kind) for kind in EXPLAINED}
    figure(
        f"{uid}: {len(dashboard.panels)} panels, {len(asked)} queries asked: {counts['data']} with data, "
        f"{counts['no such series']} of a metric the chosen value does not have, {counts['reason']} with a reason"
    )
    unexplained = [text for text in outcomes if text not in counts]
    assert not unexplained, "\n".join(unexplained)


def test_reasons_are_of_queries_that_exist(pages: dict[str, Dashboard]) -> None:
    asked = {(uid, panel.title, q.expr) for uid, page in pages.items() for panel in page.panels for q in panel.queries}
    for uid, title, part, reason in REASONS:
        assert any((uid, title) == at[:2] and part in at[2] for at in asked), f"{uid}: {title}: {reason}"
