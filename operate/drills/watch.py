"""What a drill watches: the alerts of Prometheus, and the messages that reached the inbox."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from operate.documents.alert_test_plan import Alert

Labels = dict[str, str]
# What a template prints that found nothing, or failed.
_BROKEN = ("<no value>", "%!", "template:")


class Answers(Protocol):
    """Where a stack answers GET requests with JSON. Each returns None while it does not."""

    def prometheus(self, path: str) -> Any: ...

    def alertmanager(self, path: str) -> Any: ...

    def inbox(self, path: str) -> Any: ...


@dataclass(frozen=True)
class Active:
    """An alert that Prometheus has pending or firing."""

    labels: Labels
    firing: bool


@dataclass(frozen=True)
class Message:
    """A notification as it arrived at `at` (Unix time); `raw` is its whole payload as text."""

    identifier: int
    at: float
    channel: str
    firing: bool
    alerts: Sequence[Labels]
    raw: str

    def about(self, alert: Alert) -> list[Labels]:
        """What it says of the alert."""
        service = alert.labels.get("service", "")
        return [
            entry for entry in self.alerts if entry["alertname"] == alert.name and entry.get("service", "") == service
        ]


def holds(site: Answers, query: str) -> bool:
    """Whether a PromQL query has a result now."""
    answer = site.prometheus(f"/api/v1/query?query={quote(query)}")
    return bool(answer and answer["data"]["result"])


class Watch:
    """Looks once per call of `look`; what did not answer keeps its last state. Messages from Unix time `since` on."""

    def __init__(self, site: Answers, since: float | None = None) -> None:
        self._site = site
        self._since = time.time() if since is None else since
        self.alerts: list[Active] = []
        self.messages: list[Message] = []
        # When each group of Alertmanager's had an alert that fired, Unix time.
        self._fired: dict[tuple[str, str], float] = {}

    def look(self) -> None:
        """Fetch the alerts of now and the messages since the last look."""
        answer = self._site.prometheus("/api/v1/alerts")
        if answer is not None:
            self.alerts = [Active(found["labels"], found["state"] == "firing") for found in answer["data"]["alerts"]]
            self._fired.update((group_of(found.labels), time.time()) for found in self.alerts if found.firing)
        self.read()

    def read(self) -> None:
        """Fetch the messages since the last time."""
        answer = self._site.inbox(f"/api/notifications?since={self._since}&limit=1000")
        if answer is not None:
            known = {message.identifier for message in self.messages[-2000:]}
            fresh = [_message(found) for found in reversed(answer["notifications"]) if found["id"] not in known]
            self.messages += fresh
            # One that arrives while this one is read may have an earlier time.
            self._since = max([self._since, *(message.at - 5 for message in fresh)])

    def active(self, alert: Alert) -> list[Active]:
        """The alert itself, pending or firing."""
        wanted = {key: alert.labels[key] for key in ("alertname", "service", "team") if key in alert.labels}
        return [found for found in self.alerts if wanted.items() <= found.labels.items()]

    def fires(self, alert: Alert) -> bool:
        """Whether it fires now."""
        return any(found.firing for found in self.active(alert))

    def fired_since(self, alert: Alert, seconds: float) -> bool:
        """Whether one of the alert's group fired within the last seconds, as far as this was looked at."""
        return time.time() - self._fired.get(group_of(alert.labels), 0.0) < seconds

    def told(self, alert: Alert, since: float, firing: bool = True) -> dict[str, Message]:
        """The first message about the alert since a Unix time, by channel in the words of the test plan."""
        found: dict[str, Message] = {}
        for message in self.messages:
            if message.at >= since and message.firing == firing and message.about(alert):
                found.setdefault(message.channel, message)
        return found

    def in_alertmanager(self, alert: Alert) -> list[dict[str, Any]] | None:
        """The alert as Alertmanager has it, with what silences it and its receivers; None where nobody answers."""
        answer = self._site.alertmanager(f"/api/v2/alerts?filter=alertname%3D%22{alert.name}%22")
        if answer is None:
            return None
        service = alert.labels.get("service", "")
        return [found for found in answer if found["labels"].get("service", "") == service]

    def heart(self) -> float:
        """Seconds since the last heartbeat; infinite without one."""
        answer = self._site.inbox("/api/heartbeats")
        beats = [float(heart["age_seconds"]) for heart in (answer or {}).get("heartbeats", ())]
        return min(beats, default=float("inf"))

    def recorded(self, seconds: float) -> bool:
        """Whether Prometheus recorded anything so many seconds ago."""
        ago = f'present_over_time(up{{service="prometheus"}}[2m] offset {seconds:.0f}s)'
        return holds(self._site, ago)


def group_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """By what alerts are told together: `group_by` in configs/alertmanager/alertmanager.yml."""
    return labels["alertname"], labels.get("service", "")


def _message(found: dict[str, Any]) -> Message:
    return Message(
        int(found["id"]),
        datetime.fromisoformat(found["received_at"]).timestamp(),
        _channel(found),
        found["status"] == "firing",
        found["alerts"],
        json.dumps(found, ensure_ascii=False),
    )


def _channel(found: dict[str, Any]) -> str:
    """In the words of operate/documents/routes.py."""
    kind, raw = found["channel"], found["raw"] or {}
    if kind == "pagerduty":
        # The event that ends a page says nothing of the group.
        return f"PagerDuty for {raw.get('payload', {}).get('group', '')}"
    return {"slack": "Slack ", "email": "e-mail to "}.get(kind, "") + str(found["receiver"])


def faults(message: Message, alert: Alert) -> Iterator[str]:
    """What is wrong with a message about the alert: its labels, its links, its words."""
    entry = message.about(alert)[0]
    for label in ("severity", "team"):
        if entry.get(label) not in ("", None, alert.labels.get(label)):
            yield f"{label} is {entry[label]!r}, not {alert.labels.get(label)!r}"
    # Severities of PagerDuty have names of their own.
    if message.firing:
        if f"/{alert.name}.md" not in message.raw:
            yield "no link to the runbook"
        if "/d/" not in message.raw:
            yield "no link to a dashboard"
    yield from (f"the text has {words!r}" for words in _BROKEN if words in message.raw)
