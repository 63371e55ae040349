"""What fired and was over while nobody could say so is told to be over before drills begin."""

from collections.abc import Sequence
from typing import Any

import pytest

from infra.errors import InputError
from operate.drills import leftover
from operate.drills.sites import DockerSite

PAGED = {"alertname": "LedgerDifference", "service": "wallet-service", "severity": "critical", "team": "finance"}
WARNED = {"alertname": "HotWalletLow", "service": "wallet-service", "severity": "warning", "team": "finance"}
FIRES = {"alertname": "KYCBacklog", "service": "kyc-service", "severity": "warning", "team": "compliance"}
DIGEST = {"alertname": "ServiceRestarted", "service": "loki", "severity": "info", "team": "platform"}


class Site(DockerSite):
    """An inbox with these messages, and an Alertmanager that tells what it is sent, or does not."""

    def __init__(self, told: Sequence[tuple[str, str, dict[str, str]]], tells: bool = True) -> None:
        self.told, self.tells = list(told), tells
        self.sent: list[dict[str, Any]] = []

    def inbox(self, path: str) -> Any:
        assert "since=0.0" in path
        found = [
            {
                "id": number,
                "received_at": f"2026-01-01T00:00:{number:02}+00:00",
                "channel": channel,
                "receiver": "#alerts" if channel == "slack" else "",
                "status": status,
                "alerts": [{**labels, "status": status}],
                "raw": {"payload": {"group": labels["team"]} if status == "firing" else {}},
            }
            for number, (channel, status, labels) in enumerate(self.told, 1)
        ]
        return {"notifications": found[::-1]}

    def alertmanager(self, path: str) -> Any:
        assert path == "/api/v2/alerts"
        return [{"labels": FIRES}]

    def send(self, alerts: list[dict[str, Any]]) -> None:
        self.sent += alerts
        if self.tells:
            self.told += (("slack", "resolved", alert["labels"]) for alert in alerts)
            self.told += (("pagerduty", "resolved", alert["labels"]) for alert in alerts)


def test_what_nobody_took_back_is_taken_back() -> None:
    site = Site(
        [
            ("pagerduty", "firing", PAGED),
            ("slack", "firing", PAGED),
            ("pagerduty", "resolved", PAGED),
            ("slack", "firing", FIRES),
            ("slack", "firing", DIGEST),
            ("slack", "resolved", WARNED),
            ("slack", "firing", WARNED),
        ]
    )
    said: list[str] = []
    leftover.close(site, said.append)
    assert sorted(alert["labels"]["alertname"] for alert in site.sent) == ["HotWalletLow", "LedgerDifference"]
    assert all(alert["endsAt"] > alert["startsAt"] and "status" not in alert["labels"] for alert in site.sent)
    assert "HotWalletLow of wallet-service: nobody was told that it was over; they are told now" in said
    assert leftover.left_open(site) == []


def test_where_nothing_is_open_nothing_is_sent() -> None:
    site = Site([("slack", "firing", WARNED), ("slack", "resolved", WARNED)])
    leftover.close(site, pytest.fail)
    assert not site.sent


def test_what_is_not_taken_back_stops_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover, "_SECONDS", -1)
    with pytest.raises(InputError, match="HotWalletLow of wallet-service is not told to be over"):
        leftover.close(Site([("slack", "firing", WARNED)], tells=False), lambda _line: None)
