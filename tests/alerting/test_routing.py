"""Every alert of the rule files reaches exactly those it should, once when it fires and once when it is over."""

from collections import Counter

from tests.alerting.routing import EVERY_ALERT, ODD, WATCHDOG, Message, Routed, named, to_whom, wanted
from tests.conftest import Figure
from tests.rules import harness


def _brought(messages: list[Message]) -> dict[str, Counter[tuple[str, str]]]:
    found: dict[str, Counter[tuple[str, str]]] = {}
    for message in messages:
        found.setdefault(named(message), Counter())[to_whom(message)] += 1
    return found


def _check(routed: Routed, messages: list[Message]) -> None:
    brought = _brought(messages)
    wrong = {}
    for alert in routed.alerts:
        name, expected = alert.labels["alertname"], wanted(routed.stack, alert)
        if brought.pop(name, Counter()) != expected:
            wrong[name] = (_brought(messages).get(name), dict(expected))
    assert wrong == {}
    assert brought == {}, "messages about no alert that fired"


def test_every_deployed_alert_fired(figure: Figure) -> None:
    routed = EVERY_ALERT.result()
    deployed = {rule["alert"] for rule in harness.deployed_rules(routed.stack) if "alert" in rule}
    checked = {alert.labels["alertname"] for alert in routed.alerts} - {alert.labels["alertname"] for alert in ODD}
    figure(f"{len(checked)} of {len(deployed)} alerts of the rule files and {len(ODD)} odd ones fired")
    assert deployed - checked == set(), "without a case in tests/rules/cases nothing is known about its labels"


def test_each_alert_reaches_its_receivers_and_nobody_else(figure: Figure) -> None:
    routed = EVERY_ALERT.result()
    figure(f"{len(routed.fired)} messages checked; all pages were out after {routed.seconds_to_page:.1f} s")
    assert {message["status"] for message in routed.fired} == {"firing"}
    _check(routed, routed.fired)


def test_each_message_has_its_resolved_form_exactly_once(figure: Figure) -> None:
    routed = EVERY_ALERT.result()
    figure(f"{len(routed.resolved)} resolved messages checked")
    assert {message["status"] for message in routed.resolved} == {"resolved"}
    triggered = Counter(m["raw"]["dedup_key"] for m in routed.fired if m["channel"] == "pagerduty")
    ended = Counter(m["raw"]["dedup_key"] for m in routed.resolved if m["channel"] == "pagerduty")
    assert ended == triggered
    _check(routed, routed.resolved)


def test_the_watchdog_beats_and_tells_nobody() -> None:
    routed = EVERY_ALERT.result()
    assert WATCHDOG in {alert.labels["alertname"] for alert in routed.alerts}
    assert routed.heart["beating"]
