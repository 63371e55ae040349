"""Messages that nobody took back: an alert fired, and was over while nothing of the platform ran to say so.

Alertmanager remembers what it has told. Where the same alert fires once more it says nothing until its repeat interval
is over: for whoever reads the messages it never ended. A drill of it would wait in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from operate.drills.sites import Site
from operate.drills.watch import Labels, Watch, group_of
from operate.progress import until_nothing_is_left

# A group of warnings tells what is new each five minutes; a busy machine takes longer.
_SECONDS = 330


def close(site: Site, say: Callable[[str], None]) -> None:
    """Have it told that they are over, and wait until it is. Raises InputError where it never is."""
    found = left_open(site)
    if not found:
        return
    for labels in found:
        say(f"{_of(labels)}: nobody was told that it was over; they are told now")
    now = datetime.now(UTC)
    times = {"startsAt": (now - timedelta(minutes=1)).isoformat(), "endsAt": now.isoformat()}
    site.send([{"labels": labels, **times} for labels in found])
    until_nothing_is_left(
        lambda: [f"{_of(labels)} is not told to be over" for labels in left_open(site)],
        _SECONDS,
        lambda _left: "; Alertmanager's log says why.",
    )


def left_open(site: Site) -> list[Labels]:
    """What the last message about it says to fire, and Alertmanager does not have. Digests wait for their time."""
    seen = Watch(site, since=0.0)
    seen.read()
    last: dict[tuple[str, str, str], tuple[bool, Labels]] = {}
    for message in seen.messages:
        for alert in message.alerts:
            labels = {name: value for name, value in alert.items() if name != "status" and value}
            if labels.get("severity") in ("critical", "warning"):
                # What ends a page says nothing of its team.
                last[message.channel.split()[0], *group_of(labels)] = message.firing, labels
    known = {group_of(alert["labels"]) for alert in site.alertmanager("/api/v2/alerts") or ()}
    fires = {group_of(labels): labels for firing, labels in last.values() if firing}
    return [labels for key, labels in fires.items() if key not in known]


def _of(labels: Labels) -> str:
    return " of ".join(part for part in group_of(labels) if part)
