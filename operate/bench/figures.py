"""What is measured at one size of the exchange, and the bounds it has to keep. Seconds, bytes and cores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# A group that takes longer than its interval misses evaluations; half of it leaves room for a busy hour.
SHARE = 0.5


class _Measured(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Measured):
    """A group of rules: seconds of its evaluations on average and of the slowest, how many were seen and missed."""

    name: str
    interval: float
    rules: int
    evaluations: int
    mean: float
    worst: float
    missed: int

    @property
    def share(self) -> float:
        """The share of its interval that the slowest evaluation took."""
        return self.worst / self.interval


class Costly(_Measured):
    """A rule among the slowest, with the seconds of its last evaluation."""

    group: str
    rule: str
    seconds: float


class Window(_Measured):
    """A stretch of `seconds` under one set of rules: cores of Prometheus, of the generated exchange and of all others.

    `samples` are those taken in each second.
    """

    seconds: float
    samples: float
    cores: float
    exchange: float
    others: float
    rules: int
    alerts: int
    groups: tuple[Group, ...] = ()
    costly: tuple[Costly, ...] = ()

    @property
    def missed(self) -> int:
        """Evaluations that did not take place."""
        return sum(group.missed for group in self.groups)

    @property
    def busy(self) -> float:
        """Seconds of evaluation in each second, all groups together."""
        return sum(group.mean / group.interval for group in self.groups)

    @property
    def slowest(self) -> Group:
        """The group that takes most of its interval."""
        return max(self.groups, key=lambda group: group.share)


class Scrapes(_Measured):
    """The scrapes of a window: the seconds that they took, the interval most kept, how many failed or are missing."""

    median: float
    worst: float
    interval: float
    lost: int


class Restart(_Measured):
    """After a kill -9: seconds until its API answers and until alerts are evaluated, and those of replaying its log."""

    ready: float
    replayed: float
    evaluated: float
    log: int


class Page(_Measured):
    """A dashboard: how many queries, seconds of all one after the other, and of the slowest of each kind."""

    dashboard: str
    queries: int
    seconds: float
    instant: float
    range: float


class Step(_Measured):
    """Everything about one size. `wanted` is the size that was asked for, `head` the series there were."""

    wanted: int
    services: int
    instances: int
    targets: int
    scraped: int
    head: int
    resident: int
    peak: int
    firing: int
    ruled: Window
    scrapes: Scrapes
    unruled: Window | None = None
    beside: Window | None = None
    restart: Restart | None = None
    pages: tuple[Page, ...] = ()

    def beyond(self) -> list[str]:
        """Each bound that does not hold, as a sentence."""
        found = []
        worst = self.ruled.slowest
        if worst.share >= SHARE:
            found.append(
                f"group {worst.name} took {worst.worst:.2f} s of its {worst.interval:.0f} s, which is not under "
                f"{SHARE:.0%}"
            )
        if self.ruled.missed:
            found.append(f"{self.ruled.missed} evaluations of rules were missed")
        if self.scrapes.lost:
            found.append(f"{self.scrapes.lost} scrapes failed or are missing")
        return [f"{self.wanted:,} series: {one}" for one in found]


class Machine(_Measured):
    """Where it was measured, without its name."""

    cores: int
    processor: str
    memory: int
    day: str


class Curve(_Measured):
    """All sizes measured on one machine, by size; `stopped` says why no larger one was."""

    machine: Machine
    collection: str = ""
    steps: tuple[Step, ...] = ()
    stopped: str = ""

    def with_step(self, step: Step) -> Curve:
        """The curve with this step in place of an earlier one of its size."""
        steps = sorted([*(one for one in self.steps if one.wanted != step.wanted), step], key=lambda one: one.wanted)
        stopped = "" if step is steps[-1] else self.stopped
        return self.model_copy(update={"steps": tuple(steps), "stopped": stopped})
