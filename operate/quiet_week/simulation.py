"""Writes the week and lets the rules run over it: recordings first, each after what it reads, then alerts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

from operate import promql, replay
from operate.progress import step
from operate.quiet_week import targets
from operate.quiet_week.shapes import Facts, Labels
from operate.quiet_week.targets import Family
from operate.quiet_week.tsdb import Tsdb
from operate.quiet_week.week import Array, Week
from operate.replay import ALERTS, Episode, History, Rule

_WORKERS = 2


def write(tsdb: Tsdb, week: Week, facts: Facts, families: Sequence[Family]) -> tuple[int, int]:
    """Write all families' series; counts of series and samples.

    A file holds about a day's worth: promtool keeps what it reads in memory until the block is whole.
    """
    parts = [families[number :: max(_WORKERS, week.days)] for number in range(max(_WORKERS, week.days))]
    with ProcessPoolExecutor(_WORKERS) as pool:
        counts = list(pool.map(_write_part, *zip(*((tsdb, week, facts, part) for part in parts), strict=True)))
    return sum(series for series, _ in counts), sum(samples for _, samples in counts)


def _write_part(tsdb: Tsdb, week: Week, facts: Facts, part: Sequence[Family]) -> tuple[int, int]:
    return tsdb.write(week.times, (found for family in part for found in targets.series(week, facts, family)))


def replay_rules(tsdb: Tsdb, week: Week, rules: Iterable[Rule]) -> list[Episode]:
    """Record what rules record and replay the alerts; every episode that fired, by start."""
    prepared = replay.prepare(rules, tsdb.lookback)
    ordered = replay.passes(prepared)
    alerts_are_read = any(set(ALERTS) & promql.names(rule.expr) for rule in prepared)
    spells: list[Episode] = []
    for number, together in enumerate(ordered, 1):
        recording = [rule for rule in together if not rule.alerting]
        alerting = [rule for rule in together if rule.alerting]
        what = f"pass {number} of {len(ordered)}: {len(recording)} recordings, {len(alerting)} alerts"
        # Prometheus looks for new blocks once a minute; starting it anew is faster.
        with step(what), tsdb.serve() as url, ThreadPoolExecutor(_WORKERS) as pool:
            history = History(url)
            start, end = float(week.times[0]), week.end
            found = list(
                pool.map(lambda rule: (rule, replay.spells(history, rule, start, end)), alerting)  # noqa: B023
            )
            spells += (spell for _, part in found for spell in part)
            _record(tsdb, week, recording, pool.map(lambda rule: _recorded(history, rule, week), recording))  # noqa: B023
            if alerts_are_read:
                _write_alerts(tsdb, week, found)
    fired = [spell for spell in spells if spell.start is not None]
    return sorted(fired, key=lambda spell: (spell.start or 0.0, spell.alert, sorted(spell.labels.items())))


Recorded = list[tuple[Labels, Array]]


def _grid(week: Week, interval: float) -> Array:
    return np.arange(week.times[0], week.end + 0.001, interval, dtype=np.float64)


def _recorded(history: History, rule: Rule, week: Week) -> Recorded:
    """The rule's series on its own grid, as arrays: a week of Python pairs would not fit in memory."""
    size = _grid(week, rule.interval).size
    found = []
    for labels, samples in history.series(rule, float(week.times[0]), week.end):
        values = np.full(size, np.nan)
        pairs = np.array(samples)
        values[np.rint((pairs[:, 0] - week.times[0]) / rule.interval).astype(np.int64)] = pairs[:, 1]
        found.append(({"__name__": rule.name, **labels}, values))
    return found


def _record(tsdb: Tsdb, week: Week, rules: Sequence[Rule], recorded: Iterable[Recorded]) -> None:
    by_interval: dict[float, Recorded] = {}
    for rule, part in zip(rules, recorded, strict=True):
        by_interval.setdefault(rule.interval, []).extend(part)
    for interval, part in by_interval.items():
        # A recorded value holds until its rule is evaluated again, which may be longer than the lookback.
        copies = max(1, math.ceil(interval / tsdb.lookback))
        times = np.repeat(_grid(week, interval), copies) + np.tile(
            np.arange(copies) * interval / copies, _grid(week, interval).size
        )
        tsdb.write(times, ((labels, np.repeat(values, copies)) for labels, values in part))


def _write_alerts(tsdb: Tsdb, week: Week, found: Iterable[tuple[Rule, list[Episode]]]) -> None:
    """ALERTS and ALERTS_FOR_STATE, for rules that read them."""
    grid = week.times
    tsdb.write(grid, (series for rule, spells in found for spell in spells for series in _alert_series(week, spell)))


def _alert_series(week: Week, spell: Episode) -> Iterator[tuple[Labels, Array]]:
    end = math.inf if spell.end is None else spell.end
    fired = end if spell.start is None else spell.start
    for state, first, last in (("pending", spell.since, fired), ("firing", fired, end)):
        held = (week.times >= first) & (week.times < last)
        yield {"__name__": "ALERTS", **spell.labels, "alertstate": state}, np.where(held, 1.0, np.nan)
    held = (week.times >= spell.since) & (week.times < end)
    yield {"__name__": "ALERTS_FOR_STATE", **spell.labels}, np.where(held, spell.since, np.nan)
