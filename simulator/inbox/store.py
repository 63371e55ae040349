"""Keeps notifications and heartbeats in a SQLite file, so that they survive a restart."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.inbox.notification import Notification

KEPT = 5000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notification (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received REAL NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    alertnames TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS heartbeat (name TEXT PRIMARY KEY, last_beat REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Query:
    """What to list: empty fields match all; `since` is a Unix time, exclusive."""

    channel: str = ""
    status: str = ""
    alertname: str = ""
    since: float = 0.0
    limit: int = 100


class Store:
    """All methods are quick: the file holds at most `KEPT` notifications."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError when the directory cannot be written."""
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(directory / "inbox.sqlite", isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as problem:
            raise OSError(f"{directory}/inbox.sqlite cannot be used ({problem})") from problem

    def close(self) -> None:
        self._database.close()

    def add(self, notification: Notification, received: float) -> int:
        """Keep a notification, drop the oldest beyond `KEPT`; returns its id."""
        names = "\n".join(sorted({alert["alertname"] for alert in notification.alerts}))
        body = json.dumps(notification.as_dict(), default=str)
        cursor = self._database.execute(
            "INSERT INTO notification (received, channel, status, alertnames, body) VALUES (?, ?, ?, ?, ?)",
            (received, notification.channel, notification.status, names, body),
        )
        identifier = int(cursor.lastrowid or 0)
        self._database.execute("DELETE FROM notification WHERE id <= ?", (identifier - KEPT,))
        return identifier

    def find(self, query: Query) -> list[dict[str, object]]:
        """The notifications that match, newest first."""
        rows = self._database.execute(
            "SELECT id, received, body FROM notification WHERE (:channel = '' OR channel = :channel)"
            " AND (:status = '' OR status = :status) AND received > :since"
            " AND (:alertname = '' OR instr(char(10) || alertnames || char(10), char(10) || :alertname || char(10)))"
            " ORDER BY id DESC LIMIT :limit",
            _parameters(query),
        )
        return [{"id": row[0], "received_at": _utc(row[1]), **json.loads(row[2])} for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many are kept, by channel and status."""
        rows = self._database.execute("SELECT channel, status, count(*) FROM notification GROUP BY 1, 2")
        return {(row[0], row[1]): row[2] for row in rows}

    def clear(self) -> int:
        """Delete all notifications; returns how many there were."""
        return self._database.execute("DELETE FROM notification").rowcount

    def beat(self, name: str, now: float) -> None:
        self._database.execute(
            "INSERT INTO heartbeat VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last_beat = excluded.last_beat",
            (name, now),
        )

    def heartbeats(self, now: float, timeout_seconds: float) -> list[dict[str, object]]:
        """Every heartbeat ever received; it is beating when the last beat is not older than the timeout."""
        rows = self._database.execute("SELECT name, last_beat FROM heartbeat ORDER BY name")
        return [
            {
                "name": row[0],
                "last_beat": _utc(row[1]),
                "age_seconds": round(now - row[1], 1),
                "beating": now - row[1] <= timeout_seconds,
            }
            for row in rows
        ]


def _parameters(query: Query) -> Mapping[str, Any]:
    return {name: getattr(query, name) for name in Query.__slots__}


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
