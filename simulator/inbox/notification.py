"""A notification, and how each channel's payload becomes one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage, MIMEPart
from html import unescape
from html.parser import HTMLParser
from typing import Literal, cast

Channel = Literal["slack", "pagerduty", "webhook", "email"]
Status = Literal["firing", "resolved", "unknown"]
CHANNELS: tuple[Channel, ...] = ("slack", "pagerduty", "webhook", "email")
STATUSES: tuple[Status, ...] = ("firing", "resolved", "unknown")

_ALERT_LABELS = ("alertname", "service", "severity", "team")
_TITLE = re.compile(r"\[(FIRING|RESOLVED)(?::\s*\d+)?\]\s*(?:\[[^\]]*\]\s*)?([A-Za-z_][\w-]*)?", re.IGNORECASE)
_LABEL_LINE = re.compile(r"^[\s\-*•]*(alertname|service|severity|team)\s*[=:]\s*(\S.*?)\s*$", re.IGNORECASE)
_REDACTED = "redacted"


class PayloadError(Exception):
    """A payload is not what its channel sends; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message as it arrived; `raw` is the payload without its credentials."""

    channel: Channel
    title: str
    text: str
    status: Status = "unknown"
    receiver: str = ""
    alerts: list[dict[str, str]] = field(default_factory=list)
    raw: object = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def read_json(body: bytes) -> dict[str, object]:
    """Raises PayloadError for anything but a JSON object."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise PayloadError("The body is not valid JSON; send a JSON object.") from problem
    if not isinstance(read, dict):
        raise PayloadError("The body is JSON but no object; send a JSON object.")
    return cast("dict[str, object]", read)


def from_slack(payload: Mapping[str, object]) -> Notification:
    """An incoming webhook: `text`, `attachments` or `blocks`. Raises PayloadError."""
    attachments, blocks = _objects(payload.get("attachments")), _objects(payload.get("blocks"))
    text = _text(payload.get("text"))
    if not text and not attachments and not blocks:
        raise PayloadError("no_text: a Slack message needs text, attachments or blocks.")
    parts = [text, *(_slack_attachment(each) for each in attachments), *_slack_blocks(blocks)]
    title = next((_text(each.get("title")) for each in attachments if each.get("title")), "")
    # Senders escape what is no markup: &, < and >.
    body = unescape("\n".join(part for part in parts if part))
    title = title or body.split("\n", 1)[0]
    fields = [each for attachment in attachments for each in _objects(attachment.get("fields"))]
    labels = {_text(each.get("title")).lower(): _text(each.get("value")) for each in fields}
    labels["alertname"] = labels.get("alertname") or labels.get("alert", "")
    colors = {_text(each.get("color")).lower() for each in attachments}
    status = _status_of(title)
    if status == "unknown" and colors & {"good", "danger", "warning"}:
        status = "resolved" if "good" in colors else "firing"
    alerts = _labelled(body, status) or _named(labels, title, status)
    return Notification("slack", title, body, status, _text(payload.get("channel")), alerts, dict(payload))


def _slack_attachment(attachment: Mapping[str, object]) -> str:
    fields = [f"{_text(each.get('title'))}: {_text(each.get('value'))}" for each in _objects(attachment.get("fields"))]
    parts = [_text(attachment.get(key)) for key in ("pretext", "text")]
    parts = [part for part in [*parts, *fields, *_slack_blocks(_objects(attachment.get("blocks")))] if part]
    return "\n".join(parts) or _text(attachment.get("fallback"))


def _slack_blocks(blocks: Iterable[Mapping[str, object]]) -> list[str]:
    texts: list[str] = []
    for block in blocks:
        for holder in [block.get("text"), *_objects(block.get("fields"))]:
            texts.append(_text(holder.get("text")) if isinstance(holder, dict) else _text(holder))
    return [text for text in texts if text]


def from_pagerduty(payload: Mapping[str, object]) -> Notification:
    """An Events API v2 event. Raises PayloadError."""
    action = payload.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        raise PayloadError("'event_action' is missing or unknown; use trigger, acknowledge or resolve.")
    if not _text(payload.get("routing_key")):
        raise PayloadError("'routing_key' is missing; send the integration's key.")
    event = payload.get("payload")
    event = event if isinstance(event, dict) else {}
    summary = _text(event.get("summary"))
    if action == "trigger" and not summary:
        raise PayloadError("'payload.summary' is missing; a trigger event needs one.")
    details = event.get("custom_details")
    details = details if isinstance(details, dict) else {}
    status: Status = "resolved" if action == "resolve" else "firing"
    text = "\n".join(f"{key}: {value}" for key, value in details.items())
    alerts = _labelled("\n".join(_text(value) for value in details.values()), status)
    named = {"severity": _text(event.get("severity")), "service": _text(event.get("component"))}
    for label in _ALERT_LABELS:
        named[label] = _text(details.get(label)) or named.get(label, "")
    alerts = alerts or _named(named, summary, status)
    title = summary or _text(payload.get("dedup_key")) or str(action)
    return Notification("pagerduty", title, text, status, "", alerts, {**payload, "routing_key": _REDACTED})


def from_webhook(payload: Mapping[str, object], name: str) -> Notification:
    """Alertmanager's webhook; `name` is what follows /webhook/. Raises PayloadError."""
    if not isinstance(payload.get("alerts"), list):
        raise PayloadError("'alerts' is missing or no list; send what an Alertmanager webhook sends.")
    alerts, lines = [], []
    for each in _objects(payload.get("alerts")):
        labels, annotations = each.get("labels"), each.get("annotations")
        labels = labels if isinstance(labels, dict) else {}
        annotations = annotations if isinstance(annotations, dict) else {}
        alert = {label: _text(labels.get(label)) for label in _ALERT_LABELS}
        alerts.append({**alert, "status": _status(each.get("status"))})
        lines.append(_text(annotations.get("summary")) or _text(annotations.get("description")))
    status = _status(payload.get("status"))
    names = dict.fromkeys(alert["alertname"] for alert in alerts if alert["alertname"])
    title = f"[{status.upper()}:{len(alerts)}] {', '.join(names)}"
    receiver = name or _text(payload.get("receiver"))
    return Notification("webhook", title, "\n".join(filter(None, lines)), status, receiver, alerts, dict(payload))


def from_email(message: EmailMessage, recipients: Iterable[str]) -> Notification:
    """A mail; where it has no plain text, its HTML is read as text."""
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    text = _content(plain)
    page = _content(rich)
    readable = text.strip() or _Text.read(page)
    title = str(message.get("Subject", ""))
    status = _status_of(title)
    alerts = _labelled(readable, status) or _named({}, title, status)
    raw = {
        "from": str(message.get("From", "")),
        "to": list(recipients),
        "subject": title,
        "text": text,
        "html": page,
    }
    return Notification("email", title, readable, status, ", ".join(raw["to"]), alerts, raw)


def _content(part: MIMEPart | None) -> str:
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        # A character set that does not exist, or bytes that are not in it.
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


class _Text(HTMLParser):
    """The text of a page, one line a block."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._silent += tag in ("style", "script", "title")
        if tag in ("br", "p", "div", "tr", "li", "h1", "h2", "h3"):
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("style", "script", "title")

    def handle_data(self, data: str) -> None:
        if self._silent <= 0:
            self._parts.append(data)

    @classmethod
    def read(cls, page: str) -> str:
        parser = cls()
        parser.feed(page)
        lines = (" ".join(line.split()) for line in "".join(parser._parts).splitlines())
        return "\n".join(line for line in lines if line)


def _labelled(text: str, status: Status) -> list[dict[str, str]]:
    """The alerts whose labels a text lists as `name = value` lines; a new alertname begins a new alert."""
    alerts: list[dict[str, str]] = []
    for line in text.splitlines():
        match = _LABEL_LINE.match(line)
        if match is None:
            continue
        label, value = match[1].lower(), match[2]
        if label == "alertname":
            alerts.append(dict.fromkeys(_ALERT_LABELS, "") | {"status": status})
        if alerts:
            alerts[-1][label] = value
    return alerts


def _named(labels: Mapping[str, str], title: str, status: Status) -> list[dict[str, str]]:
    """One alert from labels, its name from the title where no label says it; none without a name."""
    match = _TITLE.search(title)
    name = labels.get("alertname") or (match[2] if match and match[2] else "")
    if not name:
        return []
    return [{**{label: labels.get(label, "") for label in _ALERT_LABELS}, "alertname": name, "status": status}]


def _status_of(title: str) -> Status:
    match = _TITLE.search(title)
    return _status(match[1].lower()) if match else "unknown"


def _status(value: object) -> Status:
    return next((known for known in STATUSES if known == value), "unknown")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _objects(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
