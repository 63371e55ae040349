"""Breaks the large exchange, heals it, and tells from the inbox who was woken, when and by what."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from infra import catalog
from tests.alerting import exchange
from tests.alerting.platform import Platform, stack_of
from tests.running import PATIENCE
from tests.unit.loopback import eventually

_WHY = {"mute": "The exporters of the storm answer and say next to nothing."}
_OVERRIDES = {
    "alerts": {
        "MetricMissing": {"*": _WHY},
        "CertificateProbeFailing": {"*": _WHY},
        "PlatformMemoryHigh": {"inbox": {"mute": "It runs inside the tests' own process."}},
    }
}
# From the fault: a scrape that hangs (20 s), an evaluation (5 s), what waits for a larger fault (20 s), `for`
# (15 s), group_wait (5 s).
PAGED_SECONDS = 70
# From the recovery: a scrape, keep_firing_for (2 min) of what silences the others, and a group's interval (1 min),
# in which what is no longer silenced would page; and a margin for a busy machine.
WATCHED_SECONDS = 225


@dataclass(frozen=True)
class Page:
    """One PagerDuty incident; `seconds` after the fault."""

    key: str
    alert: str
    service: str
    team: str
    summary: str
    seconds: float


@dataclass
class Storm:
    """What the inbox got from the fault on. PagerDuty counts incidents, Slack counts messages."""

    pages: list[Page] = field(default_factory=list)
    later_pages: list[Page] = field(default_factory=list)  # after the recovery began
    repeated: int = 0
    resolved: Counter[str] = field(default_factory=Counter)  # by incident
    resolved_after: float = 0.0  # seconds from the recovery to the last of them
    slack: Counter[tuple[str, str]] = field(default_factory=Counter)  # by status and alert

    @property
    def alerts(self) -> Counter[str]:
        """Incidents by alert."""
        return Counter(page.alert for page in self.pages)

    def of(self, alert: str) -> list[Page]:
        """Incidents of an alert."""
        return [page for page in self.pages if page.alert == alert]

    @property
    def over(self) -> bool:
        """Whether every page was resolved, and Slack told of each end as well."""
        in_slack = sum(count for (status, _), count in self.slack.items() if status == "resolved")
        return in_slack >= len(self.pages) and all(self.resolved[page.key] for page in self.pages)

    def describe(self, name: str) -> str:
        """Counts and seconds, for people."""
        lines = [f"{name}: {len(self.pages)} pages, {len(self.later_pages)} after the recovery began"]
        lines += [f"  {page.seconds:5.1f} s {page.team:10} {page.alert} {page.service}" for page in self.pages]
        lines += [
            f"  LATE {page.seconds:5.1f} s {page.team:10} {page.alert} {page.service}" for page in self.later_pages
        ]
        lines.append(
            f"  {sum(self.resolved.values())} resolved, the last {self.resolved_after:.0f} s after the recovery"
        )
        slack = ", ".join(f"{count} {status} {alert}" for (status, alert), count in sorted(self.slack.items()))
        return "\n".join([*lines, f"  Slack: {slack}"])


@contextmanager
def platform(folder: Path) -> Iterator[tuple[Platform, exchange.Exchange]]:
    """The platform watching the large exchange, all of which answers."""
    stack = stack_of(_OVERRIDES, exchange.large_catalog(catalog.load()))
    with (
        exchange.running(stack) as services,
        Platform(folder, overrides=_OVERRIDES, catalog=stack.catalog, targets=services.targets) as running,
    ):

        def calm() -> bool:
            rules_run, answering = running.query("count(catalog:service:expected)"), running.query("count(up == 1)")
            down = running.query("count(service:suspect == 1)")
            return bool(rules_run and answering and not down and not _alerts(running))

        # A start is no storm, though nothing has been scraped yet; only then is there a past to compare with.
        assert eventually(calm, 90 * PATIENCE), _alerts(running)
        assert eventually(lambda: bool(running.query("dependency:watched")), 60 * PATIENCE)
        # A scrape lost on a busy machine is pending for a moment.
        assert eventually(calm, 60 * PATIENCE), _alerts(running)
        assert not running.inbox.kept(channel="pagerduty"), "the start woke somebody"
        yield running, services


def _alerts(running: Platform) -> list[dict[str, Any]]:
    """What fires or is about to; evaluations that a busy machine misses are no outage, and page nobody."""
    return running.query('ALERTS{alertname!~"Watchdog|RuleEvaluationsMissed"}')


def storm(running: Platform, fault: Callable[[], None], recovery: Callable[[], None]) -> Storm:
    """Everything that was sent because of the fault, until nothing more can come: five minutes."""
    seen = max((note["id"] for note in running.inbox.kept()), default=0)
    began = time.time()
    fault()
    time.sleep(PAGED_SECONDS)
    healed = time.time()
    recovery()
    time.sleep(WATCHED_SECONDS)
    # On a busy machine the last of them may still be on their way.
    eventually(lambda: _collect(running, seen, began, healed).over, 120)
    return _collect(running, seen, began, healed)


def _collect(running: Platform, seen: int, began: float, healed: float) -> Storm:
    found = Storm()
    known: set[str] = set()
    for note in reversed(running.inbox.kept()):
        if note["id"] <= seen:
            continue
        at = datetime.fromisoformat(note["received_at"]).timestamp()
        if note["channel"] == "slack":
            found.slack[note["status"], note["alerts"][0]["alertname"] if note["alerts"] else note["title"]] += 1
        elif note["channel"] == "pagerduty":
            _add(found, known, note["raw"], at - began, at >= healed)
            if note["status"] == "resolved":
                found.resolved_after = at - healed
    return found


def _add(found: Storm, known: set[str], event: dict[str, Any], seconds: float, late: bool) -> None:
    key, payload = event["dedup_key"], event.get("payload") or {}
    if event["event_action"] == "resolve":
        found.resolved[key] += 1
    elif key in known:
        found.repeated += 1
    else:
        known.add(key)
        alert, service, team, summary = (payload.get(name, "") for name in ("class", "component", "group", "summary"))
        (found.later_pages if late else found.pages).append(Page(key, alert, service, team, summary, seconds))
