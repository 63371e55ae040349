"""How the data stores did in the week, with the worst moment of each figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from operate.api import Api

_STEP = 300.0
_SLOWEST = 5


@dataclass(frozen=True)
class Figure:
    """A figure of one store: its usual value (median) and the worst, at `at` (Unix seconds); `bad` is the limit.

    `over` says whether the worst lies beyond it.
    """

    what: str
    subject: str
    usual: float
    worst: float
    at: float
    unit: str
    limit: float | None
    over: bool


@dataclass(frozen=True)
class Statement:
    """A statement by its queryid: the worst mean of five minutes and all of its time in the week, seconds."""

    query: str
    where: str
    worst: float
    total: float


@dataclass(frozen=True)
class _Wanted:
    what: str
    # A series, read as the mean of five minutes.
    series: str
    unit: str
    subject: tuple[str, ...] = ("instance",)
    # The alert whose threshold it is held against.
    alert: str = ""
    lowest: bool = False
    # Of what rests, any value is well: the alert asks for this too.
    busy: str = ""

    def worst(self, series: str) -> str:
        """PromQL of the worst of five minutes."""
        function, by = ("min_over_time", "min") if self.lowest else ("max_over_time", "max")
        return f"{by} by ({', '.join(self.subject)}) ({function}({series}))"


_READING = "instance:pg_blocks_read:rate15m > 50"
_ASKED = "rate(redis_keyspace_hits_total[5m]) + rate(redis_keyspace_misses_total[5m]) > 5"
_WANTED = (
    _Wanted("connections in use", "job:pg_connection_pool_usage", "ratio", alert="DatabaseConnectionPoolWarning"),
    _Wanted(
        "cache hits", "instance:pg_cache_hit:ratio_rate15m", "ratio", ("instance",), "LowCacheHitRate", True, _READING
    ),
    _Wanted(
        "replication lag", "instance:pg_replication_lag:seconds", "seconds", alert="DatabaseReplicationLagCritical"
    ),
    _Wanted("mean time of a statement", "instance:pg_seconds:mean5m", "seconds", alert="DatabaseQueryLatencyWarning"),
    _Wanted("longest transaction", "database:pg_transaction_seconds:max", "seconds"),
    _Wanted("Redis memory of maxmemory", "instance:redis_memory_used:ratio", "ratio", alert="RedisMemoryWarning"),
    _Wanted(
        "look-ups that Redis answers",
        "job:redis_hit_rate",
        "ratio",
        ("instance",),
        "RedisCacheHitRateLow",
        True,
        _ASKED,
    ),
    _Wanted("messages in queue", "queue:rabbitmq_messages:max", "", ("queue",), "RabbitMQQueueBacklogWarning"),
)


def read(api: Api, start: float, end: float, thresholds: dict[str, float]) -> Iterator[Figure]:
    """The figures between two Unix times; what has no series is left out. Raises InputError."""
    for wanted in _WANTED:
        at_work = _at_work(api, wanted, start, end)
        for series in api.matrix(wanted.worst(f"{wanted.series}[5m]"), start + _STEP, end, _STEP):
            points = [(float(value), float(at)) for at, value in series["values"] if math.isfinite(float(value))]
            if not points:
                continue
            worst, at = (min if wanted.lowest else max)(points)
            usual = sorted(value for value, _ in points)[len(points) // 2]
            limit = thresholds.get(wanted.alert)
            subject = " ".join(series["metric"].get(label, "") for label in wanted.subject)
            held = at_work.get(subject) if wanted.busy else worst
            over = limit is not None and held is not None and (held < limit if wanted.lowest else held > limit)
            yield Figure(wanted.what, subject, usual, worst, at, wanted.unit, limit, over)


def _at_work(api: Api, wanted: _Wanted, start: float, end: float) -> dict[str, float]:
    """The worst value of each subject while it had work to do."""
    if not wanted.busy:
        return {}
    window = f"({wanted.series} and on (instance) ({wanted.busy}))[{round(end - start)}s:1m]"
    found = api.vector(wanted.worst(window), end)
    return {
        " ".join(series["metric"].get(label, "") for label in wanted.subject): float(series["value"][1])
        for series in found
    }


def statements(api: Api, start: float, end: float) -> list[Statement]:
    """The statements that took most time in all, by that."""
    window = f"[{round(end - start)}s:5m]"
    by = "sum by (queryid, instance, datname)"
    total = api.vector(f"topk({_SLOWEST}, 300 * {by} (sum_over_time(statement:pg_seconds:rate5m{window})))", end)
    worst = api.vector(
        f"max by (queryid, instance, datname) (max_over_time(statement:pg_seconds:mean5m[{round(end - start)}s]))", end
    )
    slow = {_statement(series): float(series["value"][1]) for series in worst}
    found = [(_statement(series), float(series["value"][1])) for series in total]
    return [Statement(key[0], f"{key[2]} on {key[1]}", slow.get(key, math.nan), seconds) for key, seconds in found]


def _statement(series: dict[str, dict[str, str]]) -> tuple[str, ...]:
    return tuple(series["metric"].get(label, "") for label in ("queryid", "instance", "datname"))
