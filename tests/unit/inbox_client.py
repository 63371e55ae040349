"""What senders send to the inbox, and a client that reads it."""

import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import requests

from simulator.inbox.server import Inbox
from tests.unit.loopback import LOOPBACK

WEBHOOK: dict[str, Any] = {
    "version": "4",
    "status": "firing",
    "receiver": "team-trading",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "ServiceDown",
                "service": "trading-engine",
                "severity": "critical",
                "team": "trading",
            },
            "annotations": {"summary": "trading-engine is down."},
        },
        {"status": "resolved", "labels": {"alertname": "HighErrorRate"}, "annotations": {}},
    ],
}
SLACK: dict[str, Any] = {
    "channel": "#alerts-trading",
    "username": "Alertmanager",
    "attachments": [
        {
            "title": "[FIRING:1] ServiceDown",
            "text": "trading-engine is down.",
            "color": "danger",
            "fields": [
                {"title": "Service", "value": "trading-engine"},
                {"title": "Severity", "value": "critical"},
            ],
        }
    ],
}
PAGERDUTY: dict[str, Any] = {
    "routing_key": "0123456789abcdef0123456789abcdef",
    "event_action": "trigger",
    "dedup_key": "k1",
    "payload": {
        "summary": "[FIRING:1] ServiceDown",
        "severity": "critical",
        "source": "prometheus",
        "custom_details": {
            "firing": "Labels:\n - alertname = ServiceDown\n - service = trading-engine\n - team = trading\n"
        },
    },
}

# It runs in the tests' own process, which may have much else to do.
_SECONDS = 30


class Client:
    def __init__(self, inbox: Inbox) -> None:
        self.url = f"http://{LOOPBACK}:{inbox.web.port}"
        self.smtp_port = inbox.mail.port

    def post(self, path: str, body: object) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=_SECONDS)

    def get(self, path: str) -> Any:
        return requests.get(self.url + path, timeout=_SECONDS).json()

    def kept(self, **filters: Any) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/api/notifications", params=filters, timeout=_SECONDS)
        assert answer.status_code == 200, answer.text
        kept: list[dict[str, Any]] = answer.json()["notifications"]
        return kept

    def behave(self, channel: str, mode: str) -> int:
        answer = requests.put(f"{self.url}/api/behaviour", json={"channel": channel, "mode": mode}, timeout=_SECONDS)
        return answer.status_code

    def mail(self, message: EmailMessage) -> None:
        with smtplib.SMTP(LOOPBACK, self.smtp_port, timeout=_SECONDS) as smtp:
            smtp.send_message(message)


Open = Callable[..., Client]


def mail(subject: str, text: str | None, page: str | None) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "prometheus@exchange.com",
        "oncall@exchange.com",
        subject,
    )
    if text is not None:
        message.set_content(text)
    if page is not None and text is not None:
        message.add_alternative(page, subtype="html")
    elif page is not None:
        message.set_content(page, subtype="html")
    return message
