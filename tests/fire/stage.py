"""A platform on loopback with an exchange that answers, to break in the middle of its work."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from infra import catalog
from tests.alerting import exchange
from tests.alerting.platform import Platform, stack_of
from tests.alerting.scene import wait_for

# `make fire` plays the long form of each fault; a run of all tests a short one.
FULL = os.environ.get("FIRE") == "full"
# Seconds until a scene must be over; those of the long form also wait for each other.
PATIENCE = 7200 if FULL else 420
# Services of teams of their own.
FIRST, SECOND, THIRD = "kyc-service", "wallet-service", "api-gateway"
# An exporter whose alert waits for 5 minutes.
EXPORTER = "node-exporter:9100"
# Where rules say when Prometheus began to evaluate; the fastest of its groups.
_GROUP = "rules/critical.yml;availability"
_WHY = {"mute": "The exporters of the exchange on loopback answer and say next to nothing."}
OVERRIDES: Mapping[str, Any] = {
    "alerts": {
        "MetricMissing": {"*": _WHY},
        "CertificateProbeFailing": {"*": _WHY},
        "PlatformMemoryHigh": {"inbox": {"mute": "It runs inside the tests' own process."}},
    }
}

Samples = dict[str, set[float]]


@dataclass(frozen=True)
class Stage:
    """What a scene does to a platform and its exchange, and what came of it. All times are Unix seconds."""

    platform: Platform
    services: exchange.Exchange

    def stop(self, *names: str) -> float:
        """Stop services, and when that was."""
        self.services.set(names, "refused")
        return time.time()

    def heal(self, *names: str) -> float:
        """Have services answer again, and when that was."""
        self.services.set(names, "up")
        return time.time()

    def until(self, state: str, service: str, seconds: float = 75) -> bool:
        """Whether ServiceDown of a service became `pending` or `firing` within the seconds."""
        seen = f'ALERTS{{alertname="ServiceDown",service="{service}",alertstate="{state}"}}'
        wait_for(lambda: bool(self.query(seen)), seconds)
        return bool(self.query(seen))

    def told(self, service: str, status: str = "firing", alert: str = "ServiceDown", channel: str = "pagerduty") -> Any:
        """When the messages about an alert of a service arrived."""
        kept = self.platform.inbox.kept(channel=channel, alertname=alert, status=status)
        return sorted(
            datetime.fromisoformat(each["received_at"]).timestamp()
            for each in kept
            if any(found["service"] == service for found in each["alerts"])
        )

    def paged(self, service: str, since: float, seconds: float = 180, alert: str = "ServiceDown") -> float | None:
        """Seconds from a moment to the page about a service; None where none came in time."""
        wait_for(lambda: any(at >= since for at in self.told(service, alert=alert)), seconds)
        return next((at - since for at in self.told(service, alert=alert) if at >= since), None)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Prometheus' answer; nothing while it does not answer."""
        try:
            return self.platform.query(promql)
        except (requests.RequestException, AssertionError):
            return []

    def metric(self, name: str, program: str = "prometheus") -> float:
        """The sum of a metric's series on a program's own page; NaN while there is no such page or series."""
        urls = {"prometheus": self.platform.prometheus_url, "alertmanager": self.platform.alertmanager_url}
        try:
            found = self.platform.metric(urls[program], name)
        except requests.RequestException:
            return float("nan")
        return sum(found.values()) if found else float("nan")

    def evaluated(self) -> float:
        """When the fastest group of rules was evaluated last; 0 while Prometheus does not answer."""
        name = "prometheus_rule_group_last_evaluation_timestamp_seconds"
        try:
            found = self.platform.metric(self.platform.prometheus_url, name)
        except requests.RequestException:
            return 0.0
        return max((value for labels, value in found.items() if _GROUP in labels), default=0.0)

    def blind(self, since: float, seconds: float = 120) -> float:
        """Seconds from a moment until rules are evaluated again; NaN where they are not in time."""
        wait_for(lambda: self.evaluated() > since, seconds)
        at = self.evaluated()
        return at - since if at > since else float("nan")

    def samples(self, seconds: int) -> Samples:
        """The moments at which each target was scraped in the last seconds, by job and instance."""
        found = self.query(f"up[{seconds}s]")
        return {f"{s['metric']['job']} {s['metric']['instance']}": {t for t, _ in s["values"]} for s in found}

    def silence(self, service: str) -> str:
        """Silence a service for an hour; the silence's id."""
        now = datetime.now(UTC)
        body = {
            "matchers": [{"name": "service", "value": service, "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "on-call",
            "comment": "known",
        }
        answer = requests.post(f"{self.platform.alertmanager_url}/api/v2/silences", json=body, timeout=5)
        assert answer.ok, answer.text
        return str(answer.json()["silenceID"])

    def silences(self) -> set[str]:
        """The ids of the silences that hold."""
        answer = requests.get(f"{self.platform.alertmanager_url}/api/v2/silences", timeout=5).json()
        return {each["id"] for each in answer if each["status"]["state"] == "active"}


def missing(before: Samples, after: Samples) -> int:
    """How many of the samples that were there are there no more."""
    return sum(len(moments - after.get(target, set())) for target, moments in before.items())


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def stage(
    folder: Path,
    *,
    hosts: Mapping[str, str] | None = None,
    before: Mapping[str, Sequence[str]] | None = None,
    name: Callable[[str, str], str] | None = None,
    instead: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """The platform watching the catalog's services, all of which answer and have been seen to.

    `hosts` and `before` are the platform's. `name` gives the name by which a target at an address is looked for, and
    `instead` other targets than the exchange's, by the address of the scrape configuration.
    """
    real = catalog.load()
    # What moves money or matches orders would have to be simulated, or its alerts fire.
    plain = {"capabilities": ("http",), "dependencies": (), "rename": {}}
    services_of = tuple(service.model_copy(update=plain) for service in real.services)
    stack = stack_of(OVERRIDES, real.model_copy(update={"services": services_of}))
    with (
        exchange.running(stack) as services,
        Platform(
            folder,
            overrides=OVERRIDES,
            catalog=stack.catalog,
            targets=_named(services.targets, name) | dict(instead or {}),
            hosts=hosts,
            before=before,
        ) as platform,
    ):
        found = Stage(platform, services)
        assert calm(found), found.query("ALERTS")
        yield found


def calm(found: Stage, seconds: float = 120) -> bool:
    """Whether every service was seen to answer within the seconds, and nothing of the exchange is told of."""
    quiet = 'ALERTS{alertname!~"Watchdog|RuleEvaluationsMissed|PlatformComponentDown"}'

    def now() -> bool:
        known = found.query("count(catalog:service:expected) - count(service:suspect == 0)")
        return bool(known and float(known[0]["value"][1]) == 0 and not found.query(quiet))

    wait_for(now, seconds)
    return now()


def _named(targets: Mapping[str, str], name: Callable[[str, str], str] | None) -> dict[str, str]:
    if name is None:
        return dict(targets)
    found = {}
    for number, (address, place) in enumerate(targets.items()):
        host, _, port = place.rpartition(":")
        found[address] = f"{name(f'target-{number}', host)}:{port}"
    return found
