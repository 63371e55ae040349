"""The speed benchmark's other side: what an expression is without recording rules."""

from pathlib import Path

import pytest

from infra.dashboards import pages
from infra.stack import load
from operate import promql, tools
from operate.dashboards import speed
from operate.dashboards.month import Month
from operate.dashboards.raw import FACTS, Definitions
from operate.dashboards.reading import Dashboard
from operate.replay import Rule


def _rule(name: str, expr: str, **labels: str) -> Rule:
    return Rule(name, expr, labels, 60.0, alerting=False)


_RULES = [
    _rule("job:requests:rate5m", "sum by (job) (rate(requests_total[5m]))"),
    _rule("job:errors:ratio", 'sum by (job) (rate(requests_total{code="500"}[5m])) / (job:requests:rate5m > 0)'),
    _rule(
        "code:requests:ratio",
        'rate(requests_total[5m]) / ignoring (code) group_left () rate(requests_total{code="200"}[5m])',
    ),
    _rule("limit:of", "vector(1)", alert="A"),
    _rule("limit:of", "vector(2)", alert="B"),
    _rule("alert:threshold", "vector(3)"),
]


@pytest.mark.parametrize(
    ("expr", "raw"),
    [
        pytest.param(
            'job:errors:ratio{job=~"a|b"}',
            '(sum by (job) (rate(requests_total{code="500", job=~"a|b"}[5m]))'
            ' / ((sum by (job) (rate(requests_total{job=~"a|b"}[5m]))) > 0))',
            id="matchers reach the raw series through rules on rules",
        ),
        pytest.param(
            'code:requests:ratio{code!="200"}',
            '(rate(requests_total{code!="200"}[5m])'
            ' / ignoring (code) group_left () rate(requests_total{code="200"}[5m]))',
            id="what a rule asks of a label itself stays",
        ),
        pytest.param(
            'job:requests:rate5m{team="x"}',
            "(sum by (job) (rate(requests_total[5m])))",
            id="a label the raw series do not have selects nothing there",
        ),
        pytest.param(
            "max_over_time(job:requests:rate5m[1d] offset 1w)",
            "max_over_time(((sum by (job) (rate(requests_total[5m]))) + 0)[1d:1m] offset 1w)",
            id="a range over a recorded series becomes a subquery",
        ),
        pytest.param(
            "job:requests:rate5m offset 1w > 0",
            "(sum by (job) (rate(requests_total[5m] offset 1w))) > 0",
            id="an offset belongs to the raw selector",
        ),
        pytest.param(
            'limit:of{alert=~"B.*"}',
            '(label_replace(vector(2), "alert", "B", "", ""))',
            id="of rules that record one name, those whose own labels fit",
        ),
        pytest.param("alert:threshold > 1", "alert:threshold > 1", id="facts are no measurements"),
    ],
)
def test_without_recording_rules(expr: str, raw: str) -> None:
    assert Definitions(_RULES, {"requests_total": {"job", "code"}}).raw(expr) == raw


def test_every_question_of_a_dashboard_can_be_measured(tmp_path: Path) -> None:
    """A small exchange instead of the large one: every series is there, and each expression has its raw side."""
    deployed = speed.deployment(load("dev"))
    dashboards = [Dashboard(page.document) for page in pages(load("dev"))]
    series, _ = speed.generated(
        Month(tmp_path, tools.ensure("blocks"), tools.ensure("prometheus")), deployed, dashboards
    )
    recorded = {rule.name for rule in deployed.rules if not rule.alerting and not rule.name.startswith(FACTS)}
    assert recorded & {one.labels["__name__"] for one in series}
    definitions = speed.definitions(deployed, series)
    for expr in speed.expressions(dashboards):
        assert not promql.names(definitions.raw(expr)) & recorded, expr
