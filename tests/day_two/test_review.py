"""`make review` against alerts whose episodes are known, through a real Prometheus and a real Alertmanager."""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import InputError
from infra.stack import load
from operate import api, pages, review, tools
from operate.growth.bins import DAY, HOUR, Array
from operate.quiet_week.shapes import Labels
from operate.quiet_week.tsdb import Tsdb
from operate.review import slack
from operate.review.episodes import Episode
from operate.review.report import Review
from operate.review.silences import Silence, acknowledged, silenced
from operate.review.week import FLAP_GAP, Week, flapping
from tests.conftest import Figure
from tests.unit.loopback import LOOPBACK, closed_port

MINUTE = 60.0
STEP = 15.0
# Each alert is evaluated at its group's own interval, as the deployed rules say.
EVERY = {"ServiceDown": 5.0, "DiskWillFill": 300.0}


@dataclass(frozen=True)
class Known:
    """An alert that fired for `lasted` seconds from `start` (Unix seconds), its condition holding `hold` before."""

    labels: Labels
    start: float
    lasted: float
    hold: float = 300.0

    @property
    def interval(self) -> float:
        return EVERY.get(self.labels["alertname"], STEP)


def alert(name: str, severity: str, team: str, **more: str) -> Labels:
    return {"alertname": name, "severity": severity, "team": team, **more}


ERRORS = alert("HighErrorRate", "critical", "security", service="auth-service")
DOWN = alert("ServiceDown", "critical", "finance", service="wallet-service")
BUSY = alert("HighCPUUsage", "warning", "platform", instance="docker-host")
SLOW = alert("APILatencyWarning", "warning", "trading", service="trading-engine")
DISK = alert("DiskWillFill", "info", "platform", instance="docker-host", device="sda")


@dataclass(frozen=True)
class Scene:
    """A fortnight that ends at `now`, and the servers that know it."""

    prometheus: str
    alertmanager: str
    now: float
    night: float
    gap: tuple[float, float]
    review: Review

    def row(self, name: str) -> Any:
        (found,) = [row for row in self.review.week.rows() if row.alert == name]
        return found


def _known(now: float, night: float, gap: tuple[float, float]) -> list[Known]:
    gone, back = gap
    return [
        # Three times in a row with five minutes between: flapping, at night.
        *(Known(ERRORS, night + number * 15 * MINUTE, 10 * MINUTE) for number in range(3)),
        # Two hours, in the middle of which Prometheus was away: one alert.
        Known(BUSY, gone - 50 * MINUTE, 120 * MINUTE),
        # Down before and after, but begun anew: two.
        Known(DOWN, gone - 10 * MINUTE, 10 * MINUTE),
        Known(DOWN, back + 1 * MINUTE, 20 * MINUTE),
        # From before the week into it.
        Known(SLOW, now - 7 * DAY - HOUR, 3 * HOUR),
        # The week before: two of one alert, one of the other.
        Known(SLOW, now - 9 * DAY, 30 * MINUTE),
        Known(ERRORS, now - 10 * DAY, 5 * MINUTE),
        # Every five minutes.
        Known(DISK, night + 6 * HOUR, 50 * MINUTE, hold=0.0),
        # Still firing.
        Known(SLOW, now - 30 * MINUTE, 40 * MINUTE),
    ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("review")
    # What is asked of Alertmanager is dated by its own clock, which must not have passed it by then.
    now = float(time.time() // 300 * 300) + 600
    # Three days ago, 02:00 UTC; two days ago, 12:00 to 12:20 UTC.
    night = now // DAY * DAY - 3 * DAY + 2 * HOUR
    gap = (now // DAY * DAY - 2 * DAY + 12 * HOUR, now // DAY * DAY - 2 * DAY + 12 * HOUR + 20 * MINUTE)
    tsdb = Tsdb(folder, tools.ensure("prometheus"), tools.ensure("promtool"), lookback=300.0, interval=15)
    known = _known(now, night, gap)
    for interval in {each.interval for each in known}:
        _write(tsdb, now, interval, [each for each in known if each.interval == interval], gap)
    _write_stores(tsdb, now)
    with tsdb.serve() as prometheus, _alertmanager(folder) as alertmanager:
        # Somebody answers the alert that still fires.
        body = {
            "matchers": [{"name": "service", "value": "trading-.*", "isRegex": True, "isEqual": True}],
            "startsAt": datetime.fromtimestamp(time.time(), UTC).isoformat(),
            "endsAt": datetime.fromtimestamp(now + 2 * HOUR, UTC).isoformat(),
            "createdBy": "ada",
            "comment": "the venue is slow <b>",
        }
        requests.post(f"{alertmanager}/api/v2/silences", json=body, timeout=10).raise_for_status()
        stack = load("dev")
        ask = api.prometheus(stack, prometheus), api.alertmanager_of(stack, alertmanager)
        yield Scene(prometheus, alertmanager, now, night, gap, review.review(stack, *ask, 7, now))


def _write(tsdb: Tsdb, now: float, interval: float, known: list[Known], gap: tuple[float, float]) -> None:
    """ALERTS and ALERTS_FOR_STATE at the evaluations of one interval; none while Prometheus was away."""
    times = np.arange(now - 14 * DAY, now + 1, interval)
    there = ~((times >= gap[0]) & (times < gap[1]))
    series: list[tuple[Labels, Array]] = []
    for labels in {tuple(sorted(each.labels.items())): each.labels for each in known}.values():
        pending, firing, since = (np.full(times.size, np.nan) for _ in range(3))
        for each in (one for one in known if one.labels == labels):
            began = each.start - each.hold
            pending[(times >= began) & (times < each.start)] = 1.0
            held = (times >= each.start) & (times < each.start + each.lasted)
            firing[held] = 1.0
            since[(times >= began) & (times < each.start + each.lasted)] = began
        for name, values in (("pending", pending), ("firing", firing)):
            where = {"__name__": "ALERTS", **labels, "alertstate": name}
            series.append((where, np.where(there, values, np.nan)))
        series.append(({"__name__": "ALERTS_FOR_STATE", **labels}, np.where(there, since, np.nan)))
    if interval == STEP:
        beat = {"__name__": "ALERTS", "alertname": "Watchdog", "severity": "none", "alertstate": "firing"}
        series.append((beat, np.where(there, 1.0, np.nan)))
    tsdb.write(times, series)


def _write_stores(tsdb: Tsdb, now: float) -> None:
    """A lag of ten minutes on one afternoon, and a cache that is read half in vain for a moment."""
    times = np.arange(now - 7 * DAY, now, MINUTE)
    lag = np.where(np.abs(times - (now - 2 * DAY)) < 5 * MINUTE, 90.0, 0.5)
    hits = np.where(np.abs(times - (now - 3 * DAY)) < 5 * MINUTE, 0.5, 0.99)
    where = {"job": "postgres", "service": "database", "instance": "postgres-replica"}
    mean = {"__name__": "statement:pg_seconds:mean5m", **where, "datname": "exchange", "queryid": "42"}
    tsdb.write(
        times,
        [
            ({"__name__": "instance:pg_replication_lag:seconds", **where}, lag),
            ({"__name__": "instance:pg_cache_hit:ratio_rate15m", **where}, hits),
            ({"__name__": "instance:pg_blocks_read:rate15m", **where}, np.full(times.size, 100.0)),
            # Of what rests any ratio is well.
            (
                {"__name__": "instance:pg_cache_hit:ratio_rate15m", **where, "instance": "idle"},
                np.full(times.size, 0.3),
            ),
            ({"__name__": "instance:pg_blocks_read:rate15m", **where, "instance": "idle"}, np.full(times.size, 1.0)),
            (mean, np.full(times.size, 0.02)),
            (mean | {"__name__": "statement:pg_seconds:rate5m"}, np.full(times.size, 0.1)),
        ],
    )


@contextmanager
def _alertmanager(folder: Path) -> Iterator[str]:
    address = f"{LOOPBACK}:{closed_port()}"
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = [str(tools.ensure("alertmanager")), f"--config.file={config}", f"--storage.path={folder / 'silences'}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with (folder / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until(lambda: requests.get(f"http://{address}/-/ready", timeout=2).ok)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def _until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if ready():
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    pytest.fail("Alertmanager did not start")


def test_counts_and_durations_are_the_known_ones(scene: Scene, figure: Figure) -> None:
    """To the second, by the rules' own intervals; and of the week before, only how often."""
    expected: dict[str, tuple[int, int, float, float | None]] = {
        "HighErrorRate": (3, 1, 30 * MINUTE, 10 * MINUTE),
        "ServiceDown": (2, 0, 30 * MINUTE, 15 * MINUTE),
        "HighCPUUsage": (1, 0, 120 * MINUTE, 120 * MINUTE),
        "DiskWillFill": (1, 0, 50 * MINUTE, 50 * MINUTE),
        # Two of its three hours lie in the week, and half an hour of what still fires.
        "APILatencyWarning": (1, 2, 150 * MINUTE, None),
    }
    found = {row.alert: (row.count, row.before, row.total, row.half) for row in scene.review.week.rows()}
    assert found == expected
    figure(f"review: {len(expected)} alerts, each with the known count, firing time and median to the second")


def test_an_absence_of_prometheus_does_not_split_an_alert(scene: Scene) -> None:
    (busy,) = [episode for episode in scene.review.week.episodes if episode.alert == "HighCPUUsage"]
    assert busy.since == busy.start - 300
    assert busy.start < scene.gap[0] < scene.gap[1] < (busy.end or 0)
    assert scene.review.evaluated == pytest.approx(1 - 20 * MINUTE / (7 * DAY), abs=1e-4)


def test_what_only_waited_never_fired(scene: Scene) -> None:
    assert "ServiceDown" not in scene.review.never
    assert "MatchingEngineDown" in scene.review.never
    assert "Watchdog" not in scene.review.never
    assert len(scene.review.never) == scene.review.deployed - 5


def test_only_what_returns_soon_and_often_flaps(scene: Scene) -> None:
    assert scene.row("HighErrorRate").flapping == ("auth-service",)
    assert {row.alert for row in scene.review.week.rows() if row.flapping} == {"HighErrorRate"}


def test_who_was_called_and_when(scene: Scene) -> None:
    pages_at = [(page.alert, page.at_night) for page in scene.review.week.pages()]
    assert pages_at == [("HighErrorRate", True)] * 3 + [("ServiceDown", False)] * 2
    teams = {team: (critical, warning, night) for team, critical, warning, night, _ in scene.review.week.teams()}
    assert teams == {"security": (3, 0, 3), "finance": (2, 0, 0), "platform": (0, 1, 0), "trading": (0, 1, 0)}
    assert scene.review.verdict() == ("5 pages (3 at night) and 2 warnings; 1 page and 2 warnings in the time before.")


def test_the_first_silence_is_the_answer(scene: Scene) -> None:
    row = scene.row("APILatencyWarning")
    assert row.answers == 1
    assert row.silenced == 0
    # Alertmanager dates a silence itself: five to ten minutes before the moment of the review.
    assert 20 * MINUTE <= row.acknowledged <= 30 * MINUTE
    (silence,) = scene.review.in_force()
    assert (silence.author, silence.subject) == ("ada", 'service=~"trading-.*"')
    assert [episode.alert for episode in scene.review.week.firing()] == ["APILatencyWarning"]


def test_the_worst_moments_of_the_stores(scene: Scene) -> None:
    figures = {(figure.what, figure.subject): figure for figure in scene.review.figures}
    lag, hits = (figures[what, "postgres-replica"] for what in ("replication lag", "cache hits"))
    assert (lag.usual, lag.worst, lag.over) == (0.5, 90.0, True)
    assert abs(lag.at - (scene.now - 2 * DAY)) <= 10 * MINUTE
    assert (hits.usual, hits.worst, hits.over) == (0.99, 0.5, True)
    assert not figures["cache hits", "idle"].over
    (statement,) = scene.review.statements
    assert (statement.query, statement.where, statement.worst) == ("42", "exchange on postgres-replica", 0.02)
    assert statement.total == pytest.approx(0.1 * 7 * DAY, rel=0.01)


def test_the_command(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(time, "time", lambda: scene.now)
    options = argparse.Namespace(stack="dev", days="7", prometheus=scene.prometheus, alertmanager=scene.alertmanager)
    assert review.run(options) == 0
    folder = tmp_path / ".reports/dev"
    message, told = (folder / "review.slack.txt").read_text(), capsys.readouterr().out
    assert message in told
    assert "• HighErrorRate: 3 times (1 before), 30 min in all, critical, security" in message
    assert "the venue is slow &lt;b&gt;" in message
    assert "replication lag of postgres-replica: 90 s" in message
    data = json.loads((folder / "review.json").read_text())
    assert data["alerts"][0]["alert"] == "HighErrorRate"
    html = (folder / "review.html").read_text()
    assert "the venue is slow &lt;b&gt;" in html
    assert "MatchingEngineDown" in html


def test_a_quiet_week_is_two_lines(tmp_path: Path) -> None:
    now = float(time.time() // 60 * 60)
    tsdb = Tsdb(tmp_path, tools.ensure("prometheus"), tools.ensure("promtool"), lookback=300.0, interval=15)
    beat = {"__name__": "ALERTS", "alertname": "Watchdog", "severity": "none", "alertstate": "firing"}
    times = np.arange(now - 7 * DAY, now + 1, MINUTE)
    tsdb.write(times, [(beat, np.ones(times.size))])
    stack = load("dev")
    with tsdb.serve() as prometheus, _alertmanager(tmp_path) as alertmanager:
        ask = api.prometheus(stack, prometheus), api.alertmanager_of(stack, alertmanager)
        found = review.review(stack, *ask, 7, now)
    message = slack.text(found)
    assert len(message.splitlines()) == 2
    assert message.splitlines()[1] == (
        "A quiet week: no page and no warning began; there is no history of the time before."
    )


def test_no_alertmanager_is_said(scene: Scene) -> None:
    options = argparse.Namespace(stack="dev", days="7", prometheus=scene.prometheus, alertmanager="http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"the Alertmanager at \S+ does not answer; start it"):
        review.run(options)


AT = 1_764_504_000.0
FIRED = Episode("HighErrorRate", ERRORS, AT - 300, AT, AT + 600)


def _silence(start: float, *matchers: tuple[str, str, bool, bool], end: float = AT + DAY) -> Silence:
    keys = ("name", "value", "isRegex", "isEqual")
    return Silence(start, end, "ada", "", tuple(dict(zip(keys, each, strict=True)) for each in matchers), "dev")


@pytest.mark.parametrize(
    ("matcher", "covers"),
    [
        (("service", "auth-service", False, True), True),
        (("service", "auth", False, True), False),
        (("service", "auth", True, True), False),
        (("service", "auth.*", True, True), True),
        (("service", "wallet.*", True, False), True),
        (("service", "auth-service", False, False), False),
        (("chain", "", False, True), True),
        (("environment", "dev", False, True), True),
        (("environment", "prod", False, True), False),
    ],
)
def test_a_silence_covers_as_alertmanager_says(matcher: tuple[str, str, bool, bool], covers: bool) -> None:
    assert _silence(AT, matcher).covers(ERRORS) is covers


def test_a_silence_of_before_is_no_answer() -> None:
    all_of = ("severity", "critical", False, True)
    early, late, after = (_silence(AT + seconds, all_of) for seconds in (-60, 120, 700))
    assert acknowledged(FIRED, [early, late, after]) is late
    assert acknowledged(FIRED, [early, after]) is None
    assert silenced(FIRED, [early])
    assert not silenced(FIRED, [late])
    assert not silenced(FIRED, [_silence(AT - 60, all_of, end=AT - 1)])
    assert not Week(AT - DAY, AT + DAY, (FIRED,), None, (early,)).pages()


@pytest.mark.parametrize(("gap", "times", "flaps"), [(FLAP_GAP, 3, True), (FLAP_GAP + 1, 9, False), (60.0, 2, False)])
def test_flapping_is_by_count_and_gap(gap: float, times: int, flaps: bool) -> None:
    episodes = [
        replace(FIRED, start=AT + number * (300 + gap), end=AT + number * (300 + gap) + 300) for number in range(times)
    ]
    assert bool(flapping(episodes)) is flaps


def test_instances_of_one_service_are_one_page() -> None:
    twin = replace(FIRED, labels=ERRORS | {"instance": "two"}, start=AT + 60, end=AT + 900)
    later = replace(FIRED, start=AT + 7200, end=None)
    assert len(Week(AT - DAY, AT + DAY, (FIRED, twin, later), None, ()).pages()) == 2


@given(
    words=st.lists(st.text(max_size=400), min_size=1, max_size=40),
    count=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_the_message_fits_slack(words: list[str], count: int) -> None:
    episodes = tuple(
        replace(FIRED, alert=f"A{n}{words[n % len(words)]}", labels=ERRORS | {"x": words[n % len(words)]}, end=None)
        for n in range(count)
    )
    silences = tuple(replace(_silence(AT, ("x", w, False, True)), comment=w) for w in words)
    week = Week(AT - DAY, AT + DAY, episodes, (), silences)
    message = slack.text(Review("dev", week, 93, (), (), (), (), {}, 1.0))
    assert len(message) < slack.MOST
    assert message == message.strip("\n")
    assert "<" not in message
