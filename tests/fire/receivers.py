"""The scenes in which a receiver is down for long, and in which ten thousand alerts fire at once."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import requests

from infra import assembly
from tests.alerting.alerts import made_up
from tests.alerting.platform import Platform
from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import FIRST, FULL, SECOND, THIRD, resident_bytes, stage

# Seconds for which Slack answers with errors.
_DOWN_FOR = 3600 if FULL else 45


@dataclass(frozen=True)
class ReceiverDown:
    """`FIRST` stopped as Slack went down, `SECOND` in the midst of it, and `THIRD` for a while only.

    Seconds, and counts of messages by service.
    """

    down_for: float
    pages: dict[str, float | None]
    slack_meanwhile: int
    slack: dict[str, int]
    ended: int  # of THIRD, by PagerDuty
    slack_after: float  # from Slack's return until both were there
    failing_told: float | None  # NotificationsFailing by PagerDuty, from the fault


def slack_down(folder: Path) -> ReceiverDown:
    """Slack refuses everything; PagerDuty does not."""
    with stage(folder) as found:
        inbox = found.platform.inbox
        inbox.behave("slack", "error")
        down, first = time.time(), found.stop(FIRST)
        pages = {FIRST: found.paged(FIRST, first, 75)}
        time.sleep(max(0.0, _DOWN_FOR / 2 - (time.time() - down)))
        second = found.stop(SECOND, THIRD)
        pages |= {name: found.paged(name, second, 75) for name in (SECOND, THIRD)}
        found.heal(THIRD)
        wait_for(lambda: bool(found.told(THIRD, "resolved")), 90)
        time.sleep(max(0.0, _DOWN_FOR - (time.time() - down)))
        meanwhile = len(inbox.kept(channel="slack"))
        inbox.behave("slack", "ok")
        back = time.time()
        wait_for(lambda: all(found.told(name, channel="slack") for name in (FIRST, SECOND)), 90)
        after = time.time() - back
        # Whatever would come twice comes with the next turn of its group, a minute later.
        time.sleep(70 if FULL else 10)
        failing = found.told("alertmanager", alert="NotificationsFailing")
        return ReceiverDown(
            down_for=back - down,
            pages=pages,
            slack_meanwhile=meanwhile,
            slack={name: len(found.told(name, channel="slack")) for name in (FIRST, SECOND, THIRD)},
            ended=len(found.told(THIRD, "resolved")),
            slack_after=after,
            failing_told=next((at - down for at in failing), None),
        )


@dataclass(frozen=True)
class Flood:
    """What ten thousand alerts became. Seconds from the first alert; bytes; counts of messages."""

    alerts: int
    groups: int
    messages: Counter[str]  # by channel
    repeated: int
    first: float
    last: float
    urgent: float | None  # the page of another team, from its own alert
    memory_before: int
    memory_peak: int
    memory_limit: int


def ten_thousand_alerts(folder: Path) -> Flood:
    """Of 100 services, 10 alerts each on 10 instances: half of them page."""
    return _flood(folder, names=10, instances=10)


def _flood(folder: Path, names: int, instances: int) -> Flood:
    with Platform(folder) as platform:
        teams = [name for name in platform.stack.catalog.teams if name != "database"]
        alerts = [
            made_up(
                f"Breaks{name}",
                "critical" if name % 2 == 0 else "warning",
                team=teams[service % len(teams)],
                service=f"service-{service}",
                instance=f"service-{service}-{instance}",
            )
            for service in range(100)
            for name in range(names)
            for instance in range(instances)
        ]
        process = platform.processes["alertmanager"].pid
        before = resident_bytes(process)
        peak = [before]
        begun = time.time()
        for start in range(0, len(alerts), 500):
            platform.fire(alerts[start : start + 500])
            peak.append(resident_bytes(process))
        asked = time.time()
        platform.fire(made_up("Urgent", "critical", team="database", service="urgent"))
        groups = 100 * names
        wanted = groups + groups // 2 + 2

        def arrived() -> bool:
            peak.append(resident_bytes(process))
            return _count(platform) >= wanted

        wait_for(arrived, 120)
        wait_for(lambda: _count(platform) > wanted, 70 if FULL else 5)
        kept = platform.inbox.kept(status="firing")
        moments = {note["id"]: datetime.fromisoformat(note["received_at"]).timestamp() for note in kept}
        seen = Counter((note["channel"], note["title"], note["alerts"][0]["service"]) for note in kept)
        urgent = [moments[n["id"]] - asked for n in kept if n["channel"] == "pagerduty" and "Urgent" in n["title"]]
        workloads = {workload.name: workload for workload in assembly.workloads(platform.stack, environ={})}
        return Flood(
            alerts=len(alerts),
            groups=groups,
            messages=Counter(note["channel"] for note in kept),
            repeated=sum(count - 1 for count in seen.values()),
            first=min(moments.values()) - begun,
            last=max(moments.values()) - begun,
            urgent=min(urgent, default=None),
            memory_before=before,
            memory_peak=max(peak),
            memory_limit=workloads["alertmanager"].resources.memory,
        )


def _count(platform: Platform) -> int:
    return int(requests.get(f"{platform.inbox.url}/api/notifications/count", timeout=60).json()["total"])


RECEIVER = Scene(slack_down)
FLOOD = Scene(ten_thousand_alerts)
