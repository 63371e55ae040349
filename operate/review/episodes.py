"""When each alert fired, out of ALERTS and ALERTS_FOR_STATE as Prometheus recorded them.

Raw samples are read, not a graph of them: in a graph an alert goes on for five minutes after its last sample. An alert
is the same one as long as ALERTS_FOR_STATE, the Unix time at which its condition began, is the same: a Prometheus that
was away keeps that time (rules/group.go, RestoreForState, for a `for` of the grace period and more), so that its
absence does not make two alerts of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from operate.api import Api, Series

Labels = dict[str, str]
Key = tuple[tuple[str, str], ...]

# Of raw samples one answer holds a quarter of a day: a few megabytes at a hundred alerts that fire all the time.
_PART = 6 * 3600.0
# Where ALERTS_FOR_STATE is missing: evaluations that may be.
_MISSED = 3
_HEARTBEATS = 'severity!="none"'


@dataclass(frozen=True)
class Episode:
    """An alert that fired from `start` until before `end`, Unix seconds; `end` is None while it still fires.

    `since` is when its condition began.
    """

    alert: str
    labels: Labels
    since: float
    start: float
    end: float | None

    @property
    def severity(self) -> str:
        """critical, warning or info."""
        return self.labels.get("severity", "")

    @property
    def team(self) -> str:
        """Whose alert it is; what has none goes to the platform team."""
        return self.labels.get("team") or "platform"

    @property
    def subject(self) -> str:
        """What it is about: its labels but those that say what kind of alert it is."""
        kind = ("alertname", "severity", "team", "symptom", "signal", "category", "tier", "job")
        return " ".join(value for key, value in sorted(self.labels.items()) if key not in kind)

    def seconds(self, start: float, end: float) -> float:
        """For how long it fired between two moments."""
        return max(0.0, min(end, math.inf if self.end is None else self.end) - max(start, self.start))


def read(api: Api, start: float, end: float, intervals: Mapping[str, float], usual: float) -> list[Episode]:
    """Every episode that fired between two Unix times, by its start. Raises InputError.

    `intervals` are the seconds between two evaluations of each alert, `usual` those of an alert that is not among them.
    """
    firing: dict[Key, set[float]] = {}
    began: dict[Key, dict[float, float]] = {}
    at = start
    while at < end:
        at, seconds = min(at + _PART, end), min(_PART, end - at)
        window = f"[{math.ceil(seconds)}s]"
        for series in api.vector(f'ALERTS{{alertstate="firing",{_HEARTBEATS}}}{window}', at):
            firing.setdefault(_key(series), set()).update(float(moment) for moment, _ in series["values"])
        for series in api.vector(f"ALERTS_FOR_STATE{{{_HEARTBEATS}}}{window}", at):
            began.setdefault(_key(series), {}).update((float(each), float(value)) for each, value in series["values"])
    found = [
        episode
        for key, moments in firing.items()
        for episode in _episodes(key, sorted(moments), began.get(key, {}), intervals.get(_name(key), usual), end)
    ]
    return sorted(found, key=lambda episode: (episode.start, episode.alert, sorted(episode.labels.items())))


def _key(series: Series) -> Key:
    left_out = ("__name__", "alertstate")
    return tuple(sorted((key, value) for key, value in series["metric"].items() if key not in left_out))


def _name(key: Key) -> str:
    return dict(key)["alertname"]


def _episodes(
    key: Key, moments: list[float], began: Mapping[float, float], interval: float, end: float
) -> Iterator[Episode]:
    parts: list[list[float]] = []
    for moment in moments:
        if parts and _same(parts[-1][-1], moment, began, interval):
            parts[-1].append(moment)
        else:
            parts.append([moment])
    for part in parts:
        over = part[-1] + interval
        since = began.get(part[0], part[0])
        yield Episode(_name(key), dict(key), since, part[0], None if over + interval > end else over)


def _same(before: float, after: float, began: Mapping[float, float], interval: float) -> bool:
    if before in began and after in began:
        return began[before] == began[after]
    return after - before <= _MISSED * interval
