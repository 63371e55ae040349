"""A threshold or a mute for one service, from the catalog or the settings, as promtool sees it."""

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
