"""Writes the week and lets the rules run over it: recordings first, each after what it reads, then alerts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

from operate import replay
from operate.progress import step
from operate.quiet_week import targets
from operate.quiet_week.shapes import Facts, Labels
from operate.quiet_week.targets import Family
from operate.quiet_week.tsdb import Tsdb
from operate.quiet_week.week import Array, Week
from operate.replay import Episode, History, Rule

_WORKERS = 2


def write(tsdb: Tsdb, week: Week, facts: Facts, families: Sequence[Family]) -> tuple[int, int]:
    """Write all families' series; counts of series and samples.

    A file holds about a day's worth: promtool keeps what it reads in memory until the block is whole.
    """
    count = max(_WORKERS, week.hours // 24)
    parts = [families[number::count] for number in range(count)]
    with ProcessPoolExecutor(_WORKERS) as pool:
        counts = list(pool.map(_write_part, *zip(*((tsdb, week, facts, part) for part in parts), strict=True)))
    return sum(series for series, _ in counts), sum(samples for _, samples in counts)


def _write_part(tsdb: Tsdb, week: Week, facts: Facts, part: Sequence[Family]) -> tuple[int, int]:
    return tsdb.write(week.times, (found for family in part for found in targets.series(week, facts, family)))


def replay_rules(tsdb: Tsdb, times: Array, rules: Iterable[Rule]) -> list[Episode]:
    """Record what rules record and replay the alerts over samples taken at `times` (Unix seconds, evenly spaced).

    Every episode that fired, by start.
    """
    prepared = replay.prepare(rules, tsdb.lookback)
    ordered = replay.passes(prepared)
    alerts_read, held = replay.alerts_read(prepared), replay.read_between(prepared)
    spells: list[Episode] = []
    for number, together in enumerate(ordered, 1):
        recording = [rule for rule in together if not rule.alerting]
        alerting = [rule for rule in together if rule.alerting]
        what = f"pass {number} of {len(ordered)}: {len(recording)} recordings, {len(alerting)} alerts"
        # Prometheus looks for new blocks once a minute; starting it anew is faster.
        with step(what), tsdb.serve() as url, ThreadPoolExecutor(_WORKERS) as pool:
            history = History(url)
            start, end = float(times[0]), float(times[-1])
            found = list(
                pool.map(lambda rule: (rule, replay.spells(history, rule, start, end)), alerting)  # noqa: B023
            )
            spells += (spell for _, part in found for spell in part)
            recorded = pool.map(lambda rule: _recorded(history, rule, times), recording)  # noqa: B023
            _record(tsdb, times, held, zip(recording, recorded, strict=True))
            _write_alerts(tsdb, times, [spell for rule, part in found if rule.name in alerts_read for spell in part])
    fired = [spell for spell in spells if spell.start is not None]
    return sorted(fired, key=lambda spell: (spell.start or 0.0, spell.alert, sorted(spell.labels.items())))


Recorded = list[tuple[Labels, Array]]


def _grid(times: Array, interval: float) -> Array:
    return np.arange(times[0], times[-1] + 0.001, interval, dtype=np.float64)


def _recorded(history: History, rule: Rule, times: Array) -> Recorded:
    """The rule's series on its own grid, as arrays: a week of Python pairs would not fit in memory."""
    size = _grid(times, rule.interval).size
    found = []
    for labels, samples in history.series(rule, float(times[0]), float(times[-1])):
        values = np.full(size, np.nan)
        pairs = np.array(samples)
        values[np.rint((pairs[:, 0] - times[0]) / rule.interval).astype(np.int64)] = pairs[:, 1]
        found.append(({"__name__": rule.name, **labels}, values))
    return found


def _record(tsdb: Tsdb, times: Array, held: set[str], recorded: Iterable[tuple[Rule, Recorded]]) -> None:
    parts: dict[tuple[float, int], Recorded] = {}
    for rule, part in recorded:
        # A recorded value holds until its rule is evaluated again, which may be longer than the lookback.
        copies = math.ceil(rule.interval / tsdb.lookback) if rule.name in held else 1
        parts.setdefault((rule.interval, copies), []).extend(part)
    for (interval, copies), part in parts.items():
        grid = _grid(times, interval)
        moments = np.repeat(grid, copies) + np.tile(np.arange(copies) * interval / copies, grid.size)
        tsdb.write(moments, ((labels, np.repeat(values, copies)) for labels, values in part))


def _write_alerts(tsdb: Tsdb, times: Array, spells: Sequence[Episode]) -> None:
    """ALERTS and ALERTS_FOR_STATE, for rules that read them."""
    tsdb.write(times, (series for spell in spells for series in _alert_series(times, spell)))


def _alert_series(times: Array, spell: Episode) -> Iterator[tuple[Labels, Array]]:
    end = math.inf if spell.end is None else spell.end
    fired = end if spell.start is None else spell.start
    for state, first, last in (("pending", spell.since, fired), ("firing", fired, end)):
        held = (times >= first) & (times < last)
        yield {"__name__": "ALERTS", **spell.labels, "alertstate": state}, np.where(held, 1.0, np.nan)
    held = (times >= spell.since) & (times < end)
    yield {"__name__": "ALERTS_FOR_STATE", **spell.labels}, np.where(held, spell.since, np.nan)
