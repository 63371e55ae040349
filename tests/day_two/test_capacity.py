"""`make capacity` against histories whose answer is known, and through a real Prometheus."""

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from infra.errors import InputError
from operate import growth, pages, tools
from operate.__main__ import main
from operate.growth import trend
from operate.growth.bins import DAY, HOUR, Array
from operate.growth.trend import LEAST_DAYS, RANGE, Estimate, TooShort, Trend, fit
from operate.quiet_week.shapes import Labels
from operate.quiet_week.tsdb import Tsdb
from tests.conftest import Figure
from tests.day_two.histories import KNOWN, NOW, History, drawn

# `CAPACITY=full` draws ten times as many histories.
DRAWN = 2000 if os.environ.get("CAPACITY") == "full" else 200
NO_GROWTH = [history for history in KNOWN if not history.growth]
GROWTH = [history for history in KNOWN if history.growth and history.days >= 30]


def said(days: float) -> str:
    return f"{days:.0f}" if math.isfinite(days) else "never"


def test_the_range_holds_the_truth_as_often_as_it_says(figure: Figure) -> None:
    """Where it never comes the range has one open end, and only its other can be wrong."""
    chance = np.random.default_rng(20)
    inside, expected = 0, 0.0
    for _ in range(DRAWN):
        history = drawn(chance)
        days = history.trend(chance).days
        assert days is not None
        inside += days.low <= history.truth() <= days.high
        expected += RANGE if history.growth else (1 + RANGE) / 2
    figure(
        f"capacity: the {RANGE:.0%} range holds the truth in {inside / DRAWN:.1%} of {DRAWN} histories "
        f"({expected / DRAWN:.1%} expected)"
    )
    # Three deviations of a binomial, and two points for what the method is worse or better than it says.
    assert abs(inside - expected) / DRAWN < 3 * math.sqrt(RANGE * (1 - RANGE) / DRAWN) + 0.02


def test_days_that_are_related_do_not_make_the_range_narrow(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hardest kind, against the same without the correlation that trend.py allows for."""
    history = History("related", growth=0.004, noise=0.01, persistent=0.03, correlation=0.7)

    def inside() -> float:
        found = [history.trend(np.random.default_rng(seed)).days for seed in range(60)]
        return float(np.mean([days is not None and days.low <= history.truth() <= days.high for days in found]))

    allowed = inside()
    monkeypatch.setattr(trend, "_CORRELATIONS", np.array([0.0]))
    ignored = inside()
    figure(f"capacity: days related by 0.7, the range holds the truth in {allowed:.0%} (unrelated: {ignored:.0%})")
    assert allowed > 0.75
    assert ignored < 0.65


def test_known_histories(figure: Figure, capsys: pytest.CaptureFixture[str]) -> None:
    """One of each kind, with the true days to the limit beside what is found."""
    grid = Table("history", "true days", "found", "error", "90 % range", "holds", box=box.SIMPLE_HEAD)
    errors = []
    for number, history in enumerate(KNOWN):
        line, truth = history.trend(np.random.default_rng(number)), history.truth()
        days = line.days
        assert days is not None
        found = days.middle if line.grows else math.inf
        error = abs(found / truth - 1) if math.isfinite(truth + found) else math.nan
        errors += [error] if math.isfinite(error) else []
        holds = days.low <= truth <= days.high
        shown = "" if math.isnan(error) else f"{error:.1%}"
        grid.add_row(
            history.name, said(truth), said(found), shown, f"{said(days.low)} to {said(days.high)}", str(holds)
        )
    with capsys.disabled():
        Console(width=110).print(grid)
    figure(f"capacity: days to the limit are off by {np.median(errors):.1%} (median of {len(errors)} kinds that grow)")


@pytest.mark.parametrize("history", NO_GROWTH, ids=lambda each: each.name)
def test_what_does_not_grow_is_said_not_to(history: History) -> None:
    """A weekend at the end, a step and a chance rise are no growth."""
    grows = sum(history.trend(np.random.default_rng(seed)).grows for seed in range(12))
    assert grows <= 3, f"{grows} of 12 histories without growth are said to grow; 1 is expected"


@pytest.mark.parametrize("history", GROWTH, ids=lambda each: each.name)
def test_what_grows_is_found(history: History) -> None:
    grows = sum(history.trend(np.random.default_rng(seed)).grows for seed in range(8))
    assert grows >= 7, f"growth is found in {grows} of 8 histories that have it"


def test_a_lasting_step_is_found_and_dated() -> None:
    history = next(each for each in KNOWN if each.name == "a step, no growth")
    (found,) = history.trend(np.random.default_rng(1)).steps
    assert abs(found - (NOW - history.step[0] * DAY)) <= 1.5 * DAY


def test_a_leak_without_its_restarts_is_missed() -> None:
    """The negative control: they are what tells the leak."""
    history = next(each for each in KNOWN if each.restarts)
    found = fit(history.times, history.values(np.random.default_rng(1)), NOW, 1.0, ())
    assert isinstance(found, Trend)
    assert found.days is not None
    assert not found.days.low <= history.truth() <= found.days.high


def test_an_outlier_changes_nothing_much() -> None:
    history = History("a night of backups", growth=0.004, noise=0.01)
    values = history.values(np.random.default_rng(2))
    spoilt = values.copy()
    spoilt[-60:-36] = 0.99
    plain, other = (fit(history.times, each, NOW, 1.0) for each in (values, spoilt))
    assert isinstance(plain, Trend)
    assert isinstance(other, Trend)
    assert other.growth.middle == pytest.approx(plain.growth.middle, rel=0.1)


@pytest.mark.parametrize("days", [0, 1, LEAST_DAYS - 1])
def test_too_short_a_history_gives_no_number(days: int) -> None:
    history = History("young", days=days)
    found = fit(history.times, history.clean(), NOW, 1.0)
    assert isinstance(found, TooShort)
    assert found.days == pytest.approx(days, abs=1)


@pytest.mark.parametrize("level", [0.0, 0.5, 2.0])
def test_what_never_moves_never_arrives(level: float) -> None:
    times = History("still").times
    found = fit(times, np.full(times.size, level), NOW, 1.0)
    assert isinstance(found, Trend)
    assert not found.grows
    assert found.days == Estimate(*[0.0 if level >= 1 else math.inf] * 3)


@dataclass(frozen=True)
class Served:
    """A Prometheus with a month of history that ends at `now`."""

    url: str
    now: float
    series: dict[str, History]


LEAK = replace(next(each for each in KNOWN if each.restarts), noise=0.003)
SERIES = 20_000.0
# A day; by it the limit is four months away, whatever the hour, and a change is proposed for what six will bring.
SERIES_GROW = 0.006
# This history ends at another hour each time: in steps of five hours through two weeks the estimate is 6 % off at most.
NEAR = 0.1


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    now = time.time()
    chance = np.random.default_rng(5)
    series = {
        "prometheus_tsdb_head_series": History("series", growth=SERIES_GROW, noise=0.006, now=now),
        "job:pg_connection_pool_usage": History("connections", base=0.25, now=now),
        "instance:component_memory_used:ratio": replace(LEAK, now=now),
        "instance:redis_memory_used:ratio": History("young", days=5, now=now),
    }
    labels: dict[str, Labels] = {
        "prometheus_tsdb_head_series": {"instance": "prometheus:9090"},
        "job:pg_connection_pool_usage": {"instance": "postgres-primary", "service": "database"},
        "instance:component_memory_used:ratio": {"service": "loki", "instance": "loki:3100"},
        "instance:redis_memory_used:ratio": {"instance": "redis", "service": "redis"},
    }
    tools_at = (tools.ensure("prometheus"), tools.ensure("promtool"))
    tsdb = Tsdb(tmp_path_factory.mktemp("capacity"), *tools_at, lookback=1200.0, interval=60)
    for name, history in series.items():
        scale = SERIES if name == "prometheus_tsdb_head_series" else 1.0
        tsdb.write(*_sampled(history.times, {"__name__": name, **labels[name]}, history.values(chance) * scale))
    leak = series["instance:component_memory_used:ratio"]
    starts = np.array([leak.times[0] - DAY, *sorted(leak.resets)])
    began = starts[np.searchsorted(starts, leak.times, side="right") - 1]
    start_labels = {"__name__": "process_start_time_seconds", "service": "loki", "instance": "loki:3100"}
    tsdb.write(*_sampled(leak.times, start_labels, began))
    with tsdb.serve() as url:
        yield Served(url, now, series)


def _sampled(times: Array, labels: Labels, values: Array) -> tuple[Array, list[tuple[Labels, Array]]]:
    """Four samples an hour, so that the hour's mean is the hour's own."""
    fine = (times[:, None] + np.arange(4) * HOUR / 4 + HOUR / 8).ravel()
    return fine, [(labels, np.repeat(values, 4))]


def test_through_a_real_prometheus(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    """The command on a month of known series: growth, a leak between restarts, a season, too short a history."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert growth.run(argparse.Namespace(stack="dev", days="30", prometheus=served.url)) == 0
    told = capsys.readouterr().out
    print(told)
    figures = json.loads((tmp_path / ".reports/dev/capacity.json").read_text())
    rows = {row["what"]: row for row in figures["rows"]}

    grown = rows["active series"]
    busy = 1 - served.series["prometheus_tsdb_head_series"].truth() * SERIES_GROW
    truth = (grown["limit"] / SERIES - busy) / SERIES_GROW
    assert grown["grows"]
    assert grown["days"]["middle"] == pytest.approx(truth, rel=NEAR)
    assert "monitoring:expectedSeries to" in grown["change"]

    leak = rows["memory of limit"]
    true_leak = served.series["instance:component_memory_used:ratio"].truth()
    assert leak["labels"] == {"service": "loki"}
    assert leak["restarts"] == len(LEAK.restarts)
    assert leak["days"]["middle"] == pytest.approx(true_leak, rel=NEAR)
    assert leak["change"].startswith("find the leak, or set monitoring:sizes {loki: {memory: ")
    figure(f"capacity: a leak of loki, true {true_leak:.1f} days, found {leak['days']['middle']:.1f}, by Prometheus")

    assert not rows["connections of max_connections"]["grows"]
    assert rows["connections of max_connections"]["change"] == ""
    assert "days" not in rows["Redis memory of maxmemory"]
    assert rows["Redis memory of maxmemory"]["days_of_history"] == pytest.approx(5, abs=0.1)
    assert "Less than half full and without growth: 1." in told
    assert "Less than the 14 days of history that a trend needs: 1." in told
    assert "Not measured here: " in told
    html = (tmp_path / ".reports/dev/capacity.html").read_text()
    assert "memory of limit loki" in html
    assert "plotly" in html


@pytest.mark.parametrize("text", ["abc", "0", "-3", "1.5", "", "99999", "\N{FULLWIDTH DIGIT SEVEN}"])
@pytest.mark.parametrize("verb", ["capacity", "review"])
def test_days_that_are_none(verb: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, f"--days={text}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: DAYS is ")


def test_a_week_is_too_short_to_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--days=7"]) == 2
    assert "DAYS is 7; a trend needs 14 days at least" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["capacity", "review"])
def test_nobody_answers(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--prometheus", "http://127.0.0.1:9"]) == 2
    assert "the Prometheus at http://127.0.0.1:9 does not answer; start it" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["capacity", "review"])
def test_no_history(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    tsdb = Tsdb(tmp_path, tools.ensure("prometheus"), tools.ensure("promtool"), lookback=60.0, interval=60)
    with tsdb.serve() as url:
        assert main([verb, "--prometheus", url]) == 2
    assert "has no history of" in capsys.readouterr().err
    assert not (tmp_path / ".reports").exists()


def test_a_stack_that_is_none() -> None:
    with pytest.raises(InputError, match="no such stack"):
        growth.run(argparse.Namespace(stack="nowhere", days="30", prometheus=None))
