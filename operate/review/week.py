"""What the episodes of a week come to: for each alert, each team, and the nights of whoever is on call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median

from operate.review.episodes import Episode
from operate.review.silences import Silence, acknowledged, silenced

# An alert that comes back so soon after its end, so often in a row, is flapping: whoever looks finds nothing, and is
# called again. A quarter of an hour is what somebody needs to look.
FLAP_GAP = 900.0
FLAP_RETURNS = 2
# Hours of a day (UTC) in which a page wakes somebody.
NIGHT_FROM, NIGHT_TO = 22, 7


@dataclass(frozen=True)
class Row:
    """One alert: how often it began, for how long it fired (seconds), what was done about it.

    `half` is the median duration of those that began and ended, None without one; `acknowledged` the median seconds to
    the first silence, over `answers` of them; `flapping` the subjects that came and went.
    """

    alert: str
    severity: str
    teams: tuple[str, ...]
    count: int
    before: int | None
    total: float
    half: float | None
    acknowledged: float | None
    answers: int
    silenced: int
    flapping: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A critical alert of one service that somebody was called for: instances of it at the same time are one call."""

    alert: str
    team: str
    service: str
    start: float

    @property
    def at_night(self) -> bool:
        """Whether it began out of hours."""
        hour = datetime.fromtimestamp(self.start, UTC).hour
        return hour >= NIGHT_FROM or hour < NIGHT_TO


@dataclass(frozen=True)
class Week:
    """The episodes between `start` and `end` (Unix seconds), and those of as long before where there is history."""

    start: float
    end: float
    episodes: tuple[Episode, ...]
    before: tuple[Episode, ...] | None
    silences: tuple[Silence, ...]

    def rows(self) -> list[Row]:
        """Every alert that began or fired, the noisiest first."""
        names = sorted({episode.alert for episode in self.episodes})
        rows = [self._row(name) for name in names]
        return sorted(rows, key=lambda row: (-row.count, -row.total, row.alert))

    def began(self) -> list[Episode]:
        """What began within the week."""
        return [episode for episode in self.episodes if episode.start >= self.start]

    def pages(self) -> list[Page]:
        """What called somebody: critical, and not silenced when it began."""
        return _pages(self.began(), self.silences)

    def pages_before(self) -> list[Page] | None:
        """The same of the time before; silences of then may be forgotten by Alertmanager."""
        return None if self.before is None else _pages(self.before, self.silences)

    def firing(self) -> list[Episode]:
        """What a person should know of and still fires at the end."""
        return [e for e in self.episodes if e.end is None and e.severity in ("critical", "warning")]

    def teams(self) -> list[tuple[str, int, int, int, float]]:
        """For each team: criticals and warnings that began, pages at night, seconds in which its alerts fired."""
        began = Counter((episode.team, episode.severity) for episode in self.began())
        nights = Counter(page.team for page in self.pages() if page.at_night)
        fired: Counter[str] = Counter()
        for episode in self.episodes:
            if episode.severity in ("critical", "warning"):
                fired[episode.team] += round(episode.seconds(self.start, self.end))
        names = sorted(fired, key=lambda team: (-began[team, "critical"], -began[team, "warning"], team))
        return [(t, began[t, "critical"], began[t, "warning"], nights[t], float(fired[t])) for t in names]

    def _row(self, alert: str) -> Row:
        own = [episode for episode in self.episodes if episode.alert == alert]
        began = [episode for episode in own if episode.start >= self.start]
        answers = [(found.start - e.start) for e in began if (found := acknowledged(e, self.silences))]
        ended = [episode.end - episode.start for episode in began if episode.end is not None]
        return Row(
            alert,
            own[-1].severity,
            tuple(sorted({episode.team for episode in own})),
            len(began),
            None if self.before is None else sum(episode.alert == alert for episode in self.before),
            sum(episode.seconds(self.start, self.end) for episode in own),
            median(ended) if ended else None,
            median(answers) if answers else None,
            len(answers),
            sum(silenced(episode, self.silences) for episode in began),
            tuple(flapping(began)),
        )


def flapping(episodes: Iterable[Episode]) -> list[str]:
    """The subjects that began again within FLAP_GAP of their end, FLAP_RETURNS times in a row or more."""
    by_subject: dict[str, list[Episode]] = {}
    for episode in sorted(episodes, key=lambda each: each.start):
        by_subject.setdefault(episode.subject, []).append(episode)
    return sorted(subject for subject, own in by_subject.items() if _returns(own) >= FLAP_RETURNS)


def _returns(episodes: Sequence[Episode]) -> int:
    most = run = 0
    for earlier, later in pairwise(episodes):
        run = run + 1 if earlier.end is not None and later.start - earlier.end <= FLAP_GAP else 0
        most = max(most, run)
    return most


def _pages(episodes: Iterable[Episode], silences: Sequence[Silence]) -> list[Page]:
    found: list[Page] = []
    until: dict[tuple[str, str, str], float] = {}
    for episode in sorted(episodes, key=lambda each: each.start):
        if episode.severity != "critical" or silenced(episode, silences):
            continue
        # As Alertmanager groups them.
        group = (episode.alert, episode.team, episode.labels.get("service", ""))
        if episode.start > until.get(group, 0.0):
            found.append(Page(*group, episode.start))
        until[group] = max(until.get(group, 0.0), float("inf") if episode.end is None else episode.end)
    return found
