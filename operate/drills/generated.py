"""What a drill gives to Prometheus beside what it scrapes: series recorded by rules, and samples of the time before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

from infra import documents
from operate.drills.book import Past, StandIn


def rules(alert: str, series: Iterable[StandIn], every: int | None = None) -> str:
    """A rule file that records the series, each so many seconds."""
    interval = {"interval": f"{every}s"} if every else {}
    recorded = [{"record": one.metric, "expr": one.expr, "labels": one.labels} for one in series]
    return documents.dump({"groups": [{"name": f"drill {alert}", **interval, "rules": recorded}]})


def question(past: Past) -> str:
    """Whether Prometheus has the series of that time: nine tenths of its samples, and its end.

    What an earlier drill gave grows old; half of a day was not recorded where the platform was down.
    """
    series = f"{past.metric}{{{_pairs(past)}}}"
    span = past.since - past.until
    whole = f"count_over_time({series}[{span}s] offset {past.until}s) > {0.9 * span / past.every:.0f}"
    return f"{whole} and present_over_time({series}[10m] offset {past.until}s)"


def samples(pasts: Iterable[Past]) -> str:
    """The samples as OpenMetrics, up to now."""
    now = int(time.time())
    # A metric's lines have to stand together.
    lines = [line for past in sorted(pasts, key=lambda past: past.metric) for line in _lines(past, now)]
    return "\n".join([*lines, "# EOF\n"])


def _lines(past: Past, now: int) -> Iterator[str]:
    head = f"{past.metric}{{{_pairs(past)}}}"
    for ago in range(past.since, past.until, -past.every):
        value = past.value + past.per_day * (past.since - ago) / 86400
        yield f"{head} {value!r} {now - ago}"


def _pairs(past: Past) -> str:
    return ",".join(f"{name}={json.dumps(value)}" for name, value in past.labels.items())
