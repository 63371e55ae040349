"""The inbox takes what Slack, PagerDuty, webhooks and mail send, shows it, and refuses what they never send."""

import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from simulator.inbox.notification import Notification
from simulator.inbox.server import Inbox
from simulator.inbox.store import KEPT, Store
from tests.unit.inbox_client import PAGERDUTY, SLACK, WEBHOOK, Client, Open, mail
from tests.unit.loopback import LOOPBACK, LoopThread, loop_thread


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with loop_thread() as thread:
        yield thread


@pytest.fixture
def open_inbox(loop: LoopThread, tmp_path: Path) -> Iterator[Open]:
    opened: list[Inbox] = []

    def begin(**options: Any) -> Client:
        async def create() -> Inbox:
            inbox = Inbox(tmp_path, 0, 0, host=LOOPBACK, **options)
            await inbox.start()
            return inbox

        while opened:
            loop.run(opened.pop().stop())
        opened.append(loop.run(create()))
        return Client(opened[-1])

    yield begin
    while opened:
        loop.run(opened.pop().stop())


@pytest.fixture
def client(open_inbox: Open) -> Client:
    return open_inbox()


def test_a_webhook_is_kept_with_its_alerts(client: Client) -> None:
    assert client.post("/webhook/pager", WEBHOOK).status_code == 200
    client.post("/webhook", WEBHOOK)
    newest, first = client.kept(channel="webhook")
    assert (newest["receiver"], first["receiver"]) == ("team-trading", "pager")
    assert first["status"] == "firing"
    assert first["alerts"] == [
        {
            "alertname": "ServiceDown",
            "service": "trading-engine",
            "severity": "critical",
            "team": "trading",
            "status": "firing",
        },
        {"alertname": "HighErrorRate", "service": "", "severity": "", "team": "", "status": "resolved"},
    ]


def test_slack_answers_ok_and_the_alert_is_read_from_its_fields(client: Client) -> None:
    answer = client.post("/slack", SLACK)
    assert (answer.status_code, answer.text) == (200, "ok")
    (kept,) = client.kept(channel="slack")
    assert (kept["status"], kept["receiver"], kept["title"]) == (
        "firing",
        "#alerts-trading",
        "[FIRING:1] ServiceDown",
    )
    (alert,) = kept["alerts"]
    assert (alert["alertname"], alert["service"], alert["severity"]) == (
        "ServiceDown",
        "trading-engine",
        "critical",
    )


def test_slack_blocks_are_read_too(client: Client) -> None:
    client.post(
        "/slack",
        {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "[RESOLVED] ServiceDown"}}]},
    )
    (kept,) = client.kept()
    assert (kept["status"], kept["text"]) == ("resolved", "[RESOLVED] ServiceDown")


def test_pagerduty_answers_as_the_events_api_and_its_key_is_not_kept(client: Client) -> None:
    answer = client.post("/pagerduty/v2/enqueue", PAGERDUTY)
    assert answer.status_code == 202
    assert answer.json() == {"status": "success", "message": "Event processed", "dedup_key": "k1"}
    client.post("/pagerduty/v2/enqueue", {**PAGERDUTY, "event_action": "resolve"})
    resolved, fired = client.kept(channel="pagerduty")
    assert (fired["status"], resolved["status"]) == ("firing", "resolved")
    assert fired["alerts"][0]["alertname"] == "ServiceDown"
    assert fired["alerts"][0]["team"] == "trading"
    assert PAGERDUTY["routing_key"] not in str(client.kept())


def test_a_multipart_mail_is_decoded(client: Client) -> None:
    client.mail(mail("[FIRING:1] Störung ✓", "alertname = DiskSpaceCritical\nteam = platform", "<p>größer</p>"))
    (kept,) = client.kept(channel="email")
    assert (kept["title"], kept["status"]) == ("[FIRING:1] Störung ✓", "firing")
    assert kept["raw"]["from"] == "prometheus@exchange.com"
    assert kept["raw"]["to"] == ["oncall@exchange.com"]
    assert "größer" in kept["raw"]["html"]
    assert kept["alerts"][0]["alertname"] == "DiskSpaceCritical"
    assert kept["alerts"][0]["team"] == "platform"


def test_a_mail_of_html_alone_is_read_as_text(client: Client) -> None:
    page = "<style>p {color: red}</style><b>Labels</b><br>alertname = ServiceDown<br>service = kyc-service<br>"
    client.mail(mail("[RESOLVED] ServiceDown", None, page))
    (kept,) = client.kept()
    assert "color" not in kept["text"]
    assert (kept["alerts"][0]["service"], kept["alerts"][0]["status"]) == ("kyc-service", "resolved")


def test_what_arrives_is_escaped_on_the_page(client: Client) -> None:
    attack = "<script>alert('x')</script><img src=x onerror=alert(1)>"
    client.post("/slack", {"text": attack, "channel": attack})
    alert = {
        "status": attack,
        "labels": {"alertname": attack, "service": attack},
        "annotations": {"summary": attack},
    }
    client.post("/webhook", {"status": "firing", "alerts": [alert], "receiver": attack})
    client.mail(mail(attack, attack, None))
    client.post(f"/heartbeat/{quote(attack, safe='')}", {})
    for path in ("/", "/content"):
        page = requests.get(client.url + path, timeout=5).text
        assert "<img" not in page
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
    assert "default-src 'none'" in requests.get(client.url, timeout=5).headers["Content-Security-Policy"]


def test_slack_markup_is_shown_as_slack_shows_it(client: Client) -> None:
    text = '*wallet-service is down*\n<https://x.example/a?b=1&c=2|Runbook> <javascript:alert(1)|No> <https://y"onclick=z|Odd>'
    client.post("/slack", {"text": text})
    page = requests.get(client.url, timeout=5).text
    assert "<b>wallet-service is down</b>" in page
    assert '<a href="https://x.example/a?b=1&amp;c=2">Runbook</a>' in page
    assert "&lt;javascript:alert(1)|No&gt;" in page
    assert "onclick" not in page.replace("&quot;onclick", "")


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/slack", b"not json", "The body is not valid JSON"),
        ("/slack", b"[]", "The body is JSON but no object"),
        ("/slack", b"{}", "no_text: a Slack message needs"),
        ("/slack", b'{"attachments": 7, "text": ""}', "no_text"),
        ("/pagerduty/v2/enqueue", b"{}", "'event_action' is missing"),
        ("/pagerduty/v2/enqueue", b'{"event_action": "trigger"}', "'routing_key' is missing"),
        (
            "/pagerduty/v2/enqueue",
            b'{"event_action": "trigger", "routing_key": "k"}',
            "'payload.summary' is missing",
        ),
        ("/webhook", b'{"alerts": {}}', "'alerts' is missing"),
        ("/webhook", b"\xff\xfe", "The body is not valid JSON"),
        ("/webhook", b"[" * 100_000, "The body is not valid JSON"),
    ],
)
def test_malformed_input_is_refused_with_a_sentence_and_not_kept(
    client: Client, path: str, body: bytes, sentence: str
) -> None:
    answer = requests.post(client.url + path, data=body, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(sentence)
    assert client.get("/api/notifications/count")["total"] == 0


def test_odd_but_valid_payloads_are_kept(client: Client) -> None:
    odd = {
        "alerts": [7, {"labels": None, "annotations": "x"}, {"labels": {"alertname": 5}}],
        "status": ["firing"],
    }
    assert client.post("/webhook", odd).status_code == 200
    assert client.post("/slack", {"text": 5, "attachments": [{"fields": [None, {"title": None}]}]}).status_code == 200
    assert client.get("/api/notifications/count")["total"] == 2


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    answer = requests.post(f"{client.url}/slack", data=b"x" * (1024 * 1024 + 1), timeout=5)
    assert answer.status_code == 413


def test_the_list_can_be_filtered(client: Client) -> None:
    client.post("/slack", SLACK)
    client.post("/webhook", {**WEBHOOK, "status": "resolved"})
    first = client.kept()[-1]
    assert [each["channel"] for each in client.kept(status="resolved")] == ["webhook"]
    assert [each["channel"] for each in client.kept(alertname="HighErrorRate")] == ["webhook"]
    assert len(client.kept(alertname="ServiceDown")) == 2
    assert client.kept(alertname="Service") == []
    assert len(client.kept(limit=1)) == 1
    assert len(client.kept(since="2020-01-01T00:00:00Z")) == 2
    assert len(client.kept(since=first["received_at"])) >= 1
    assert client.kept(since="2100-01-01T00:00:00+00:00") == []
    for wrong in (
        "limit=0",
        "limit=x",
        "since=yesterday",
        "since=nan",
        "channel=fax",
        "status=odd",
        "order=up",
    ):
        answer = requests.get(f"{client.url}/api/notifications?{wrong}", timeout=5)
        assert (answer.status_code, "; use" in answer.json()["error"]) == (400, True), wrong


def test_counts_and_metrics_follow_and_deletion_empties(client: Client) -> None:
    client.post("/slack", SLACK)
    assert client.get("/api/notifications/count")["by_channel"]["slack"]["firing"] == 1
    page = requests.get(f"{client.url}/metrics", timeout=5).text
    assert 'inbox_notifications_total{channel="slack",status="firing"} 1.0' in page
    assert requests.delete(f"{client.url}/api/notifications", timeout=5).json() == {"deleted": 1}
    assert client.kept() == []


def test_a_channel_fails_on_command_and_recovers(client: Client) -> None:
    assert client.behave("slack", "error") == 200
    assert client.behave("email", "error") == 200
    assert client.post("/slack", SLACK).status_code == 500
    assert client.post("/webhook", WEBHOOK).status_code == 200
    with pytest.raises(smtplib.SMTPDataError) as refused:
        client.mail(mail("x", "y", None))
    assert refused.value.smtp_code == 451
    client.behave("slack", "ok")
    assert client.post("/slack", SLACK).status_code == 200
    assert client.behave("fax", "ok") == 400
    assert client.behave("slack", "maybe") == 400
    assert [each["channel"] for each in client.kept()] == ["slack", "webhook"]


def test_a_channel_hangs_on_command(client: Client) -> None:
    client.behave("pagerduty", "hang")
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{client.url}/pagerduty/v2/enqueue", json=PAGERDUTY, timeout=0.4)
    assert client.post("/slack", SLACK).status_code == 200


def test_a_heart_stops_when_no_beat_arrives_in_time(open_inbox: Open) -> None:
    client = open_inbox(heartbeat_timeout=60)
    client.post("/heartbeat/prometheus", WEBHOOK)
    (heart,) = client.get("/api/heartbeats")["heartbeats"]
    assert (heart["name"], heart["beating"]) == ("prometheus", True)
    stopped = open_inbox(heartbeat_timeout=0)
    (heart,) = stopped.get("/api/heartbeats")["heartbeats"]
    assert heart["beating"] is False
    assert "prometheus: stopped" in requests.get(stopped.url, timeout=5).text


def test_notifications_survive_a_restart(open_inbox: Open) -> None:
    open_inbox().post("/slack", SLACK)
    assert [each["title"] for each in open_inbox().kept()] == ["[FIRING:1] ServiceDown"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(KEPT + 3):
        last = store.add(Notification("slack", str(number), ""), received=float(number))
    assert sum(store.counts().values()) == KEPT
    assert last == KEPT + 3
    store.close()


def test_health_has_the_platforms_form(client: Client) -> None:
    assert list(client.get("/health")) == ["status", "timestamp", "version", "dependencies"]
