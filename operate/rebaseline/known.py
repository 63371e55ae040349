"""A month of history in which everything is known: usual loads, noise, incidents, and thresholds that do not fit.

The recorded series that the rules compare are written as such, which is what a Prometheus that has run for a month
holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from operate.quiet_week.shapes import Labels
from operate.quiet_week.tsdb import Tsdb
from operate.quiet_week.week import Array

DAY = 86400.0
# 2024-01-08, a Monday.
START = 1704672000.0
_MINUTE = 60.0
_SEED = 20240108


@dataclass(frozen=True)
class Spell:
    """From `day` (days after the start) on, `minutes` long, a series stands at `level`."""

    day: float
    minutes: float
    level: float


# Deposits of one asset wait in a batch: 110 to 118 of them for 16 to 24 minutes, four times a week at most.
BATCHES = tuple(Spell(0.7 + 2.1 * number, 16 + 2 * (number % 5), 110 + 2 * (number % 5)) for number in range(14))
DEPOSITS_INCIDENT = Spell(12.3, 180, 260)
# Matches of one market: the ratio falls below 0.5 for a quarter of an hour, and once for two hours.
FALLS = tuple(Spell(0.4 + 1.9 * number, 14 + (number % 3), 0.47 - 0.01 * (number % 3)) for number in range(15))
FALL_INCIDENT = Spell(20.5, 120, 0.2)
# Slow minutes of one service only.
SLOW = tuple(Spell(0.55 + 1.7 * number, 15, 1.1 + 0.05 * (number % 4)) for number in range(17))
# As short and as near as noise, but each time the gateway was down a few minutes later.
FOLLOWED = tuple(Spell(0.3 + 2.0 * number, 14, 0.14) for number in range(14))
# A wallet below its notice on most days: refills come late, and the notice is right.
LOW_WALLET = tuple(Spell(0.5 + 2.0 * number, 15, 1.4) for number in range(14))
# Five and a half times the usual addresses and requests, for ten minutes; and once twenty times, for an hour.
RUSHES = tuple(Spell(0.6 + 2.7 * number, 10, 5.5) for number in range(11))
ATTACK = Spell(16.9, 60, 20)
# Daily extremes of queue `mails` follow Gumbel's distribution with these parameters, in messages.
GUMBEL_MODE, GUMBEL_SCALE = 30.0, 6.0
# Mean of an exponential distribution, in seconds.
EXPONENTIAL = 0.004
# Sines of a day and of a week.
LOAD, DAILY, WEEKLY = 0.40, 0.15, 0.05


def gumbel_year() -> float:
    """The level that a day reaches once in 365."""
    return GUMBEL_MODE - GUMBEL_SCALE * float(np.log(-np.log(1 - 1 / 365)))


def exponential_quantile(level: float) -> float:
    """In closed form."""
    return -EXPONENTIAL * float(np.log(1 - level))


def load_quantile(level: float, days: int) -> float:
    """Of the two sines together, by their definition each 7 s."""
    return float(np.quantile(_load(np.arange(0, days * DAY, 7.0)), level))


def arcsine_quantile(level: float) -> float:
    """Of a sine of a day around LOAD alone, in closed form: the arcsine distribution."""
    return LOAD - DAILY * float(np.cos(np.pi * level))


def write(tsdb: Tsdb, days: int, scrape: float, start: float = START) -> tuple[int, int]:
    """Write `days` days from `start` (Unix seconds) on, a sample each `scrape` seconds; how many series and samples."""
    at = np.arange(0, days * DAY + 1, scrape)
    return tsdb.write(start + at, _series(at))


def _series(at: Array) -> Iterator[tuple[Labels, Array]]:
    random = np.random.default_rng(_SEED)
    ones = np.ones_like(at)
    http = {"job": "kyc-service", "service": "kyc-service", "team": "compliance", "tier": "standard"}
    api = {"job": "api-gateway", "service": "api-gateway", "team": "platform", "tier": "critical"}
    wallet = {"job": "wallet-service", "service": "wallet-service", "team": "finance", "tier": "critical"}
    engine = {"job": "trading-engine", "service": "trading-engine", "team": "trading", "tier": "critical"}
    gate = {"job": "auth-service", "service": "auth-service", "team": "security", "tier": "critical"}
    store = {"job": "postgres", "service": "database", "team": "platform", "instance": "postgres-primary"}
    cache = {"job": "redis", "service": "redis", "team": "platform", "instance": "redis"}
    queue = {"job": "rabbitmq-queues", "service": "rabbitmq", "team": "platform", "instance": "rabbitmq"}
    for labels in (http, api, wallet, engine, gate, store, cache, queue):
        yield {"__name__": "up", **labels}, ones
        yield {"__name__": "alert:subject", "service": labels["service"]}, ones
    yield {"__name__": "instance:redis_memory_used:ratio", **cache}, LOAD + DAILY * np.sin(2 * np.pi * at / DAY)
    yield {"__name__": "instance:node_memory_used:ratio", **store, "job": "node"}, _load(at)
    latency = random.exponential(EXPONENTIAL, at.size)
    yield {"__name__": "market:matching_engine_latency_seconds:p99", **engine, "market": "BTC-USDT"}, latency
    deposits = random.integers(3, 11, at.size).astype(float)
    for spell in (*BATCHES, DEPOSITS_INCIDENT):
        deposits[_within(at, spell)] = spell.level
    yield {"__name__": "deposits_pending", **wallet, "asset": "ETH"}, deposits
    matched = random.uniform(0.65, 0.75, at.size)
    for spell in (*FALLS, FALL_INCIDENT):
        matched[_within(at, spell)] = spell.level
    yield {"__name__": "market:orders_matched:ratio10m", **engine, "market": "BTC-USDT"}, matched
    slow = random.uniform(0.2, 0.5, at.size)
    for spell in SLOW:
        slow[_within(at, spell)] = spell.level
    for labels, values in ((http, slow), (api, random.uniform(0.1, 0.3, at.size))):
        yield {"__name__": "job:http_request_duration_p95", **labels}, values
        yield {"__name__": "job:http_requests:rate5m", **labels}, 5 * ones
    limited, down = random.uniform(0.0, 0.004, at.size), np.full_like(at, np.nan)
    for spell in FOLLOWED:
        limited[_within(at, spell)] = spell.level
        down[_within(at, Spell(spell.day + (spell.minutes + 5) / 1440, 6, 1))] = 1
    yield {"__name__": "service:rate_limit_hits:ratio_rate5m", **api}, limited
    firing = {"alertstate": "firing", "severity": "critical"}
    yield {"__name__": "ALERTS", "alertname": "ServiceDown", **firing, "service": "api-gateway"}, down
    rushes = random.uniform(0.8, 1.2, at.size)
    for spell in (*RUSHES, ATTACK):
        rushes[_within(at, spell)] = spell.level
    for name in ("service:gateway_client_sources:p90_1d_ratio", "service:gateway_requests_per_second:p90_1d_ratio"):
        yield {"__name__": name, **gate}, rushes
    funds = np.full_like(at, 3.0)
    for spell in LOW_WALLET:
        funds[_within(at, spell)] = spell.level
    yield {"__name__": "asset:hot_wallet_balance:floor_ratio", **wallet, "asset": "BTC"}, funds
    yield {"__name__": "rabbitmq_detailed_queue_messages", **queue, "queue": "mails", "vhost": "/"}, _queue(at, random)


def _load(at: Array) -> Array:
    return np.asarray(LOAD + DAILY * np.sin(2 * np.pi * at / DAY) + WEEKLY * np.sin(2 * np.pi * at / (7 * DAY)))


def _within(at: Array, spell: Spell) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    start = spell.day * DAY // _MINUTE * _MINUTE
    return (at >= start) & (at < start + spell.minutes * _MINUTE)


def _queue(at: Array, random: np.random.Generator) -> Array:
    """Few messages, and once a day for ten minutes as many as that day's extreme."""
    values = random.integers(0, 6, at.size).astype(float)
    for day in range(int(at[-1] // DAY) + 1):
        level = random.gumbel(GUMBEL_MODE, GUMBEL_SCALE)
        values[_within(at, Spell(day + 0.5, 10, level))] = level
    return values


def firing_minutes(spell: Spell, hold: float, keep: float = 0.0) -> float:
    """How long an alert with `for` and `keep_firing_for` (minutes) fires for a spell."""
    return max(spell.minutes - hold, 0.0) + (keep if spell.minutes > hold else 0.0)
