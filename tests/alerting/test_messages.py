"""What people read: the text of every message, firing and resolved, its links, digests and groups."""

import re
from collections import Counter
from html import escape
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.alerting.alerts import matchers_of
from tests.alerting.digest import DIGEST, GROUPED
from tests.alerting.links import NAMES, is_well_formed, pagerduty_links, silence_filter, slack_links
from tests.alerting.platform import Alert
from tests.alerting.routing import EVERY_ALERT, Message, named, owner, to_whom
from tests.conftest import Figure

PAIRS = ("slack", "pagerduty")


def _pairs(channel: str, status: str) -> list[tuple[Alert, Message]]:
    """Every alert with each of its messages in a channel."""
    routed = EVERY_ALERT.result()
    alerts = {alert.labels["alertname"]: alert for alert in routed.alerts}
    messages = routed.fired if status == "firing" else routed.resolved
    return [(alerts[named(message)], message) for message in messages if message["channel"] == channel]


def _since(alert: Alert) -> str:
    return alert.started.strftime("%Y-%m-%d %H:%M:%S UTC")


def _title(alert: Alert) -> str:
    service = alert.labels.get("service")
    return f"{alert.labels['alertname']}{f' {service}' if service else ''} (dev)"


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_slack_says_what_and_since_when(status: str) -> None:
    for alert, message in _pairs("slack", status):
        (attachment,) = message["raw"]["attachments"]
        assert attachment["title"] == f"[{status.upper()}] {_title(alert)}"
        assert escape(alert.annotations["summary"], quote=False) in attachment["text"]
        assert alert.annotations["summary"] in attachment["fallback"]
        if status == "firing":
            assert f"Since {_since(alert)}" in attachment["text"]
            assert escape(alert.annotations["description"], quote=False) in attachment["text"]
        else:
            assert re.search(r"Over since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, lasted \d+", attachment["text"])


def test_a_page_says_who_what_and_since_when() -> None:
    for alert, message in _pairs("pagerduty", "firing"):
        event, labels = message["raw"], alert.labels
        payload = event["payload"]
        assert (event["event_action"], payload["severity"], payload["class"], payload.get("component", "")) == (
            "trigger",
            "critical",
            labels["alertname"],
            labels.get("service", ""),
        )
        assert payload["group"] in {owner(EVERY_ALERT.result().stack, alert), "security"}
        assert payload["summary"] == f"[FIRING] {labels['alertname']}: {alert.annotations['summary']}"
        details = payload["custom_details"]
        assert details["firing"].startswith(f"{alert.annotations['summary']} (Since {_since(alert)})")
        assert details["description"] == alert.annotations["description"]
        assert (details["team"], details["environment"]) == (labels.get("team", ""), "dev")


def test_each_page_has_its_own_incident() -> None:
    keys = [message["raw"]["dedup_key"] for _, message in _pairs("pagerduty", "firing")]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("channel", PAIRS)
def test_links_lead_where_they_say(channel: str, figure: Figure) -> None:
    longest = 0
    for alert, message in _pairs(channel, "firing"):
        links = slack_links(message) if channel == "slack" else pagerduty_links(message)
        assert set(links) == NAMES
        assert [url for url in links.values() if not is_well_formed(url)] == []
        assert links["Runbook"] == alert.annotations["runbook_url"]
        assert links["Dashboard"] == alert.annotations["dashboard_url"]
        assert parse_qs(urlsplit(links["Graph"]).query)["g0.expr"] == [alert.expr]
        group = {name: alert.labels[name] for name in ("alertname", "service") if name in alert.labels}
        assert matchers_of(silence_filter(links["Silence"])) == group
        longest = max(longest, *(len(url) for url in links.values()))
    figure(f"the longest link in {channel} has {longest} characters")


def test_no_message_shows_what_a_template_left_over() -> None:
    routed, digested = EVERY_ALERT.result(), DIGEST.result()
    for message in [*routed.fired, *routed.resolved, *digested.messages]:
        assert re.search(r"<no value>|{{|%!|<nil>", str(message["raw"])) is None, message


def test_each_team_gets_one_digest_by_slack_and_by_mail(figure: Figure) -> None:
    digested = DIGEST.result()
    wanted = Counter(
        (channel, receiver)
        for team in digested.stack.catalog.teams.values()
        for channel, receiver in (("slack", team.slack_channel), ("email", team.email))
    )
    assert Counter(to_whom(message) for message in digested.messages) == wanted
    figure(f"{len(digested.messages)} digests of {len(digested.alerts)} info alerts")


def test_a_digest_names_each_note_of_its_team_and_no_other() -> None:
    digested = DIGEST.result()
    for team, reached in digested.stack.catalog.teams.items():
        notes = [alert for alert in digested.alerts if owner(digested.stack, alert) == team]
        for message in digested.messages:
            if message["receiver"] not in (reached.slack_channel, reached.email):
                continue
            assert message["title"] == f"[DIGEST] {team}: {len(notes)} open notes (dev)"
            texts = [message["text"]]
            if message["channel"] == "email":
                texts.append(message["raw"]["html"])
            for alert in digested.alerts:
                said = [alert.annotations["summary"] in text for text in texts[:1]]
                said += [escape(alert.annotations["summary"]) in text for text in texts[1:]]
                assert said == [alert in notes] * len(texts), (team, alert.labels)
                assert alert not in notes or all(alert.annotations["runbook_url"] in text for text in texts)


def test_ten_alerts_of_one_service_and_name_are_one_notification() -> None:
    grouped = GROUPED.result()
    found = Counter((message["channel"], "crowd" in str(message["raw"])) for message in grouped.messages)
    assert found == {(channel, crowd): 1 for channel in PAIRS for crowd in (True, False)}
    titles = {message["title"] for message in grouped.messages}
    assert "[FIRING:10] InstanceBroken crowd (dev)" in titles
    slack = next(m for m in grouped.messages if m["channel"] == "slack" and "crowd" in m["title"])
    assert [n for n in range(10) if f"crowd {n} is broken." not in slack["text"]] == []


def test_the_silence_link_silences_its_group_and_nothing_else() -> None:
    grouped = GROUPED.result()
    assert grouped.silenced == {f"crowd-{n}" for n in range(10)}
    assert grouped.heard == {"single"}
