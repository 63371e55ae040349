"""The inbox as HTML. Whatever came from outside is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources

_TEXT_SHOWN = 2000
# Slack's markup after escaping: <https://...|Label> and *bold*.
_SLACK_LINK = re.compile(r"&lt;(https?://[^|\s]+)\|([^&|]+)&gt;")
_SLACK_BOLD = re.compile(r"^\*(.+)\*$", re.MULTILINE)


def render_page(notifications: Iterable[Mapping[str, object]], heartbeats: Iterable[Mapping[str, object]]) -> str:
    """The whole page, newest notification first."""
    page = resources.files("simulator").joinpath("pages/inbox.html").read_text(encoding="utf-8")
    return page.replace("{{content}}", render_content(notifications, heartbeats))


def render_content(notifications: Iterable[Mapping[str, object]], heartbeats: Iterable[Mapping[str, object]]) -> str:
    """The part that changes."""
    hearts = "".join(_heart(each) for each in heartbeats)
    rows = "".join(_row(each) for each in notifications)
    empty = '<p class="empty">Nothing has been received.</p>'
    return f'<div class="hearts">{hearts}</div>{rows or empty}'


def _heart(heartbeat: Mapping[str, object]) -> str:
    state = "beating" if heartbeat["beating"] else "stopped"
    name, age = escape(str(heartbeat["name"])), escape(str(heartbeat["age_seconds"]))
    return f'<span class="heart {state}" title="{age} s since the last beat">♥ {name}: {state}</span>'


def _row(notification: Mapping[str, object]) -> str:
    shown = {key: escape(str(notification.get(key) or "")) for key in ("channel", "status", "received_at", "receiver")}
    title = escape(str(notification["title"]) or "(no title)")
    text = escape(str(notification["text"])[:_TEXT_SHOWN])
    if notification["channel"] == "slack":
        text = _SLACK_BOLD.sub(r"<b>\1</b>", _SLACK_LINK.sub(r'<a href="\1">\2</a>', text))
    alerts = notification["alerts"]
    tags = "".join(_tags(alert) for alert in alerts) if isinstance(alerts, list) else ""
    return (
        f'<article class="{shown["status"]}"><header><span class="badge {shown["channel"]}">{shown["channel"]}</span>'
        f'<b>{title}</b><span class="to">{shown["receiver"]}</span><time>{shown["received_at"]}</time></header>'
        f"<pre>{text}</pre><p>{tags}</p></article>"
    )


def _tags(alert: Mapping[str, str]) -> str:
    values = [alert.get(key, "") for key in ("alertname", "service", "severity", "team", "status")]
    return f'<span class="alert">{escape(" · ".join(value for value in values if value))}</span>'
