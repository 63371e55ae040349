"""What the replay of the week came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from operate.quiet_week.week import HOUR, MONDAY
from operate.replay import Episode

# A handful in a week is what a team still reads.
WARNINGS_BOUND = 5


@dataclass(frozen=True)
class Report:
    """The alerts that fired in `hours` hours, out of `rules` rules read over `series` series with `samples` samples."""

    hours: int
    series: int
    samples: int
    rules: int
    episodes: tuple[Episode, ...]

    def of(self, severity: str) -> list[Episode]:
        """Episodes of one severity, in the order of their start."""
        return [episode for episode in self.episodes if episode.labels.get("severity") == severity]

    def until(self, hours: int) -> Report:
        """The part of the report about the first hours: the alerts that fired by then."""
        end = MONDAY + hours * HOUR
        return replace(self, hours=hours, episodes=tuple(e for e in self.episodes if (e.start or 0.0) < end))

    @property
    def quiet(self) -> bool:
        """Whether nobody was paged and the warnings stayed a handful."""
        return not self.of("critical") and len(self.of("warning")) <= WARNINGS_BOUND

    def print(self) -> None:
        """Counts, every episode but the expected ones, and the verdict."""
        print(f"\n{self.series} series, {self.samples} samples, {self.rules} rules")
        for severity in ("critical", "warning", "info"):
            for episode in self.of(severity):
                print(f"  {severity:8} {line(episode)}")
        calm = Counter(episode.alert for episode in self.of("none"))
        if calm:
            print(f"  always on: {', '.join(sorted(calm))}")
        print(self.verdict())

    def verdict(self) -> str:
        """The counts in one line."""
        return (
            f"{len(self.of('critical'))} pages, {len(self.of('warning'))} warnings (bound: {WARNINGS_BOUND}), "
            f"{len(self.of('info'))} infos in {self.hours} hours"
        )


def line(episode: Episode) -> str:
    """One episode as text: when, for how long, which alert and labels."""
    start = datetime.fromtimestamp(episode.start or 0, UTC)
    lasted = "to the end" if episode.end is None else f"for {(episode.end - (episode.start or 0)) / 60:.1f} min"
    told = {key: value for key, value in episode.labels.items() if key not in ("alertname", "severity")}
    labels = " ".join(f"{key}={value}" for key, value in sorted(told.items()))
    return f"{start:%a %H:%M:%S} {lasted:>14}  {episode.alert}  {labels}"
