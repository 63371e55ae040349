"""How a metric behaves: the few kinds of series that the tables of this package are written in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from infra.catalog import Catalog
from operate.quiet_week.week import Array, Week

Labels = dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What exporters say about the stack: its containers with their memory limits in bytes, jobs, rule groups."""

    catalog: Catalog
    containers: Mapping[str, int] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One metric of one target in one week."""

    week: Week
    facts: Facts
    target: Labels
    metric: str = ""

    @property
    def service(self) -> str:
        """The service the target's series are labelled with."""
        return self.target["service"]

    def restarts(self) -> list[int]:
        """Samples at which the target is being restarted."""
        return self.week.restarts(self.service) if self.target["job"] == self.service else []

    def random(self, labels: Labels) -> np.random.Generator:
        """The generator of one series."""
        return self.week.random(self.target["job"], self.target["instance"], self.metric, repr(sorted(labels.items())))

    def named(self, metric: str) -> Scene:
        """The same target's scene of another metric."""
        return replace(self, metric=metric)

    def constant(self, value: float) -> Array:
        """The value at every sample."""
        return np.full(self.week.times.size, value)


Level = float | Callable[[Scene], Array]
Shape = Callable[[Scene], Iterator[tuple[Labels, Array]]]
Table = dict[str, Shape]


def busy(value: float, at_rest: float = 0.0) -> Level:
    """`value` at the busiest hour, `at_rest` without any customer."""
    return lambda scene: at_rest + (value - at_rest) * scene.week.activity


def backup(usual: Level, during: float) -> Level:
    """A level that the nightly backup lifts to at least `during`."""
    return lambda scene: np.maximum(of(usual, scene), during * scene.week.backup)


def of(level: Level, scene: Scene) -> Array:
    """A level at every sample."""
    return level(scene) if callable(level) else scene.constant(level)


def gauge(level: Level, noise: float = 0.0, whole: bool = False, **labels: str) -> Shape:
    """A gauge around a level; `noise` is the standard deviation as a ratio of it."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        values = of(level, scene)
        if noise:
            values = values * np.maximum(0.0, scene.random(labels).normal(1.0, noise, values.size))
        yield labels, np.round(values, 0 if whole else 6)

    return series


def some(mean: Level, **labels: str) -> Shape:
    """A gauge that counts things present now: Poisson around a mean."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        yield labels, scene.random(labels).poisson(of(mean, scene)).astype(np.float64)

    return series


def counter(rate: Level, **labels: str) -> Shape:
    """A counter of events that come by chance, `rate` a second."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        increments = scene.random(labels).poisson(of(rate, scene) * scene.week.step).astype(np.float64)
        yield labels, scene.week.since_restart(increments, scene.restarts())

    return series


def flow(rate: Level, **labels: str) -> Shape:
    """A counter of something that flows (seconds, bytes), `rate` a second with a tenth of noise."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        increments = of(rate, scene) * scene.week.step
        increments = increments * np.maximum(0.0, scene.random(labels).normal(1.0, 0.1, increments.size))
        yield labels, np.round(scene.week.since_restart(increments, scene.restarts()), 3)

    return series


def several(*shapes: Shape) -> Shape:
    """The series of all of them."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for shape in shapes:
            yield from shape(scene)

    return series


def labelled(labels: Labels, shape: Shape) -> Shape:
    """The series of a shape with more labels."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for own, values in shape(replace(scene, metric=f"{scene.metric}{labels}")):
            yield {**own, **labels}, values

    return series


def repeated(places: Callable[[Facts], Iterable[Labels]], shape: Shape) -> Shape:
    """The series of a shape once for every set of labels that the stack's facts give."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for labels in places(scene.facts):
            yield from labelled(labels, shape)(scene)

    return series


def each(kind: Callable[..., Shape], label: str, levels: Mapping[str, Level], **labels: str) -> Shape:
    """One series of a kind for every value of a label."""
    return several(*(kind(level, **labels, **{label: value}) for value, level in levels.items()))


def zeros(*names: str, **labels: str) -> Table:
    """Counters that stand at 0 as long as all is well."""
    return {name: labelled(labels, gauge(0.0)) for name in names}


def ones(*names: str, **labels: str) -> Table:
    """Gauges that say that all is well."""
    return {name: labelled(labels, gauge(1.0)) for name in names}


def started(scene: Scene) -> Iterator[tuple[Labels, Array]]:
    """process_start_time_seconds: a day before the week, and at each restart."""
    values = scene.constant(scene.week.times[0] - 86400)
    for index in scene.restarts():
        values[index:] = scene.week.times[index] + 3
    yield {}, values


_Z = np.linspace(-8, 8, 1601)
_NORMAL = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in _Z])


@dataclass(frozen=True)
class Durations:
    """Log-normal durations: `rate` of them a second, around a median in seconds."""

    rate: Level
    median: Level
    sigma: float


def histogram(name: str, bounds: tuple[float, ...], durations: Durations, labels: tuple[Labels, ...] = ({},)) -> Table:
    """The three families of a histogram whose durations are shared by the label sets."""
    sigma = durations.sigma

    def bands(scene: Scene, place: Labels) -> tuple[list[Array], Array]:
        middle = np.log(of(durations.median, scene))
        events = of(durations.rate, scene) * scene.week.step / len(labels)
        edges = [np.interp((math.log(bound) - middle) / sigma, _Z, _NORMAL) for bound in bounds]
        shares = np.diff(np.array([np.zeros_like(middle), *edges, np.ones_like(middle)]), axis=0)
        # Poisson events dealt into bands are Poisson in each band.
        random = scene.named(name).random(place)
        counts = [random.poisson(np.maximum(0.0, share) * events).astype(np.float64) for share in shares]
        return counts, np.exp(middle + sigma**2 / 2)

    def buckets(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for place in labels:
            counts, _ = bands(scene, place)
            below = np.cumsum(counts, axis=0)
            for bound, increments in zip([*map(repr, bounds), "+Inf"], below, strict=True):
                yield {**place, "le": bound}, scene.week.since_restart(increments, scene.restarts())

    def count(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for place in labels:
            counts, _ = bands(scene, place)
            yield place, scene.week.since_restart(np.sum(counts, axis=0), scene.restarts())

    def total(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for place in labels:
            counts, mean = bands(scene, place)
            increments = np.sum(counts, axis=0) * mean
            yield place, np.round(scene.week.since_restart(increments, scene.restarts()), 6)

    return {f"{name}_bucket": buckets, f"{name}_count": count, f"{name}_sum": total}
