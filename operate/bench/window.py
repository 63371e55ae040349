"""Watches a running Prometheus for a while: processor time, evaluations of rules, scrapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.errors import InputError
from infra.workload import GIB
from operate.bench.figures import Costly, Group, Scrapes, Window
from operate.bench.server import Server, busy_seconds, cpu_seconds

# The machine keeps that much memory, whatever is measured.
LEFT = 3 * GIB
# Shorter than the shortest interval of rules: no evaluation goes unseen.
_POLL = 4.0
_SAID_EVERY = 60.0
_COSTLY = 8
_APPENDED = "prometheus_tsdb_head_samples_appended_total"


class NoRoomError(InputError):
    """The machine has no memory left for this size."""


def available() -> int:
    """Bytes that programs can still have, as the kernel estimates."""
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) * 1024


def wait(seconds: float, what: str) -> Iterator[None]:
    """Give control every few seconds until the time is over, and say once a minute that it goes on.

    Raises NoRoomError before the machine has no memory left.
    """
    began = said = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        if available() < LEFT:
            raise NoRoomError(
                f"less than {LEFT // GIB} GiB of memory are available: it is stopped before the machine suffers; "
                "measure fewer series, or on a larger machine."
            )
        if now - said >= _SAID_EVERY:
            said = now
            print(f"  {what}: {now - began:.0f} of {seconds:.0f} s", flush=True)
        yield
        time.sleep(min(_POLL, max(0.0, began + seconds - time.monotonic())))


@dataclass
class Watch:
    """What is seen of the groups of rules of a `server`, poll by poll."""

    server: Server
    seen: dict[str, dict[str, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Take note of evaluations that are new since the last look."""
        for group in self.server.groups():
            key = f"{group['file']};{group['name']}"
            if not group["lastEvaluation"].startswith("0001"):
                self.seen.setdefault(key, {})[group["lastEvaluation"]] = float(group["evaluationTime"])


def watch(server: Server, own: int, seconds: float, what: str) -> Window:
    """What the rules and the scrapes cost during so many seconds; `own` is the process of the generated exchange."""
    missed = _missed(server)
    before = Watch(server)
    before.look()
    seen = Watch(server)
    cpu, other, busy, began = server.cpu(), cpu_seconds(own), busy_seconds(), time.monotonic()
    appended = server.metric(_APPENDED)
    for _ in wait(seconds, what):
        seen.look()
    passed = time.monotonic() - began
    cores, exchange = (server.cpu() - cpu) / passed, (cpu_seconds(own) - other) / passed
    others = (busy_seconds() - busy) / passed - cores - exchange
    groups = server.groups()
    missed_then = _missed(server)
    return Window(
        seconds=passed,
        cores=cores,
        exchange=exchange,
        others=max(0.0, others),
        samples=(server.metric(_APPENDED) - appended) / passed,
        rules=sum(len(group["rules"]) for group in groups),
        alerts=sum(rule["type"] == "alerting" for group in groups for rule in group["rules"]),
        groups=tuple(
            found
            for group in groups
            if (found := _group(group, before.seen, seen.seen, missed, missed_then)) is not None
        ),
        costly=_costly(groups),
    )


def _group(
    group: dict[str, Any],
    before: dict[str, dict[str, float]],
    seen: dict[str, dict[str, float]],
    missed: dict[str, float],
    missed_then: dict[str, float],
) -> Group | None:
    """None where it was not evaluated meanwhile."""
    key = f"{group['file']};{group['name']}"
    known = set(before.get(key, {}))
    times = [seconds for moment, seconds in seen.get(key, {}).items() if moment not in known]
    if not times:
        return None
    return Group(
        name=group["name"],
        interval=group["interval"],
        rules=len(group["rules"]),
        evaluations=len(times),
        mean=sum(times) / len(times),
        worst=max(times),
        missed=round(missed_then.get(key, 0.0) - missed.get(key, 0.0)),
    )


def _missed(server: Server) -> dict[str, float]:
    found = server.metrics("prometheus_rule_group_iterations_missed_total")
    return {labels["rule_group"]: value for _, labels, value in found}


def _costly(groups: list[dict[str, Any]]) -> tuple[Costly, ...]:
    rules = [
        Costly(group=group["name"], rule=rule["name"], seconds=float(rule["evaluationTime"]))
        for group in groups
        for rule in group["rules"]
    ]
    return tuple(sorted(rules, key=lambda rule: -rule.seconds)[:_COSTLY])


def scrapes(server: Server, targets: int, seconds: float, step: int) -> Scrapes:
    """The scrapes of the last `seconds`; one that is not there counts as lost, as one that failed does.

    At the edges of that time one scrape more or less of each target is a matter of milliseconds.
    """
    due = int(seconds // step) - 1
    inside = f"[{seconds:.0f}s]"
    failed = server.number(f"sum(count_over_time(up{inside}) - sum_over_time(up{inside}))")
    absent = server.number(f"sum(clamp_min({due} - count_over_time(up{inside}), 0))")
    there = server.number(f"count(count_over_time(up{inside}))")
    summaries = server.metrics("prometheus_target_interval_length_seconds")
    longest = max((value for _, labels, value in summaries if labels.get("quantile") == "0.99"), default=0.0)
    return Scrapes(
        median=server.number(f"quantile(0.5, avg_over_time(scrape_duration_seconds{inside}))"),
        worst=server.number(f"max(max_over_time(scrape_duration_seconds{inside}))"),
        interval=longest,
        lost=round(failed + absent + (targets - there) * due),
    )
