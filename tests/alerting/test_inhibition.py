"""What explains an alert silences it, and nothing else does."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from infra.stack import Stack
from tests.alerting.alerts import Inhibitions, every_alert
from tests.alerting.outages import INHIBITED, OUTAGES, RUINED, Outage, summary
from tests.alerting.platform import stack_of
from tests.conftest import Figure

# Labels that tell alerts of one service apart: two alerts of one cause have the same.
_PARTS = ("instance", "device", "mountpoint", "queue", "asset", "chain", "market")


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_outage(outage: Outage) -> None:
    seen = INHIBITED.result()
    targets = {summary(outage, given) for given in (*outage.silenced, *outage.heard)}
    assert targets - seen.alone == set(), "not heard even without the cause"
    assert targets & seen.beside == {summary(outage, given) for given in outage.heard}


def test_alerts_about_money_order_and_intruders_are_heard_whatever_is_down(figure: Figure) -> None:
    ruin = RUINED.result()
    figure(f"{len(ruin.wanted)} integrity and security alerts heard while everything is down")
    assert len(ruin.wanted) >= 7
    assert ruin.wanted - ruin.heard == set()


def test_no_two_alerts_silence_each_other(figure: Figure) -> None:
    """Nor three in a circle: Alertmanager lets an alert that is silenced itself go on silencing others."""
    stack = stack_of()
    labels = list(_everywhere(stack))
    names = [f"{each['alertname']} of {each.get('service', each.get('team'))}" for each in labels]
    causes: dict[str, set[str]] = {}
    for rule in Inhibitions(stack).rules:
        targets = [n for n, each in enumerate(labels) if rule.is_target(each)]
        for cause in (n for n, each in enumerate(labels) if rule.is_cause(each)):
            for target in targets:
                if names[target] != names[cause] and rule.silences(labels[cause], labels[target]):
                    causes.setdefault(names[target], set()).add(names[cause])
    figure(f"{sum(map(len, causes.values()))} silencings between {len(labels)} alerts and services are no circle")
    assert causes
    TopologicalSorter(causes).prepare()


def _everywhere(stack: Stack) -> Iterator[dict[str, str]]:
    """The labels of each alert as each service and each team could have them."""
    catalog = stack.catalog
    teams = {service.name: service.team for service in catalog.services}
    teams |= {name: store.team for name, store in catalog.dependencies.items()}
    for alert in every_alert(stack):
        labels = {name: value for name, value in alert.labels.items() if name not in _PARTS}
        if "service" in labels:
            yield from ({**labels, "service": service, "team": team} for service, team in teams.items())
        else:
            yield from ({**labels, "team": team} for team in catalog.teams)
