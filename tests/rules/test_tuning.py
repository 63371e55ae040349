"""What a catalog entry does to alerts, as promtool sees it: thresholds, mutes, and a service that is new."""

from dataclasses import replace
from typing import Any

import pytest

from infra.settings import from_config
from infra.stack import Stack
from infra.tuning import Tuning
from tests.rules import harness, promtool

ALERTS = {"HighErrorRate": Tuning(threshold=0.95), "ServiceDown": Tuning(mute="moves to another zone")}


def in_settings(alert: str, service: str) -> Stack:
    """The stack dev with one alert tuned for one service in its settings."""
    tuning = {alert: {service: ALERTS[alert].model_dump(exclude_none=True)}}
    return replace(promtool.stack(), settings=from_config({"alerts": tuning}, "Pulumi.dev.yaml"))


def in_catalog(alert: str, service: str) -> Stack:
    """The stack dev with one alert tuned in a service's catalog entry."""
    stack = promtool.stack()
    services = tuple(
        entry.model_copy(update={"alerts": {alert: ALERTS[alert]}}) if entry.name == service else entry
        for entry in stack.catalog.services
    )
    return replace(stack, catalog=stack.catalog.model_copy(update={"services": services}))


def case_of(alert: str) -> harness.Case:
    return replace(harness.cases()[alert], others=promtool.background())


def quiet(stack: Stack, alert: str) -> str:
    """promtool's complaints where the fault of the alert's case must never fire it."""
    case = case_of(alert)
    rules = {"groups": [{"name": "tuned", "rules": harness.needed(harness.deployed_rules(stack), case)}]}
    length = harness.seconds(case.fires_after) + 600
    test = harness.never(case, "tuned", [("good", harness.seconds(case.warmup)), ("bad", length)])
    tests: dict[str, Any] = {"evaluation_interval": case.step, "tests": [test]}
    return promtool.complaints(rules, tests)


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("tuned", [in_settings, in_catalog])
def test_tuned_for_the_service(alert: str, tuned: Any) -> None:
    service = case_of(alert).labels["service"]
    assert quiet(promtool.stack(), alert) != "", "the fault must fire the alert where nothing is tuned"
    assert quiet(tuned(alert, service), alert) == ""


@pytest.mark.parametrize("alert", ALERTS)
def test_tuned_for_all_services(alert: str) -> None:
    assert quiet(in_settings(alert, "*"), alert) == ""


@pytest.mark.parametrize("alert", ALERTS)
def test_tuned_for_another_service(alert: str) -> None:
    """The whole case holds as if nothing were tuned."""
    rules = harness.deployed_rules(in_settings(alert, "bitcoin-node"))
    assert promtool.complaints(*harness.promtool_file(case_of(alert), rules)) == ""


def test_the_settings_go_before_the_catalog() -> None:
    stack = replace(in_catalog("HighErrorRate", "wallet-service"))
    values = {"alerts": {"HighErrorRate": {"wallet-service": {"threshold": 0.2}}}}
    both = replace(stack, settings=from_config(values, "Pulumi.dev.yaml"))
    rule = next(r for r in harness.deployed_rules(both) if r.get("labels", {}).get("alert") == "HighErrorRate")
    assert 'vector(0.2), "service", "wallet-service"' in rule["expr"]
    assert "0.95" not in rule["expr"]


def test_a_mute_is_seen() -> None:
    rules = harness.deployed_rules(in_settings("ServiceDown", "kyc-service"))
    muted = [rule["labels"] for rule in rules if rule.get("record") == "catalog:alert:muted"]
    expected = {"muted": "ServiceDown", "service": "kyc-service", "team": "compliance"}
    assert muted == [{**expected, "reason": "moves to another zone"}]


@pytest.mark.parametrize("alert", ["ServiceDown", "HighErrorRate"])
def test_a_new_service_has_its_alerts_and_its_team(alert: str) -> None:
    """One entry in the catalog, and no rule touched."""
    stack, case = promtool.stack(), case_of(alert)
    service, team = case.labels["service"], case.labels["team"]
    new = stack.catalog.by_name[service].model_copy(update={"name": "staking-service", "team": "compliance"})
    catalog = stack.catalog.model_copy(update={"services": (*stack.catalog.services, new)})

    def renamed(text: str) -> str:
        return text.replace(service, "staking-service").replace(f'team="{team}"', 'team="compliance"')

    case = replace(
        case,
        series={renamed(key): values for key, values in case.series.items()},
        labels={name: renamed(value) for name, value in case.labels.items()} | {"team": "compliance"},
        summary=renamed(case.summary),
        vanish={"silent": "not this test's"},
    )
    rules = harness.deployed_rules(replace(stack, catalog=catalog))
    assert promtool.complaints(*harness.promtool_file(case, rules)) == ""
