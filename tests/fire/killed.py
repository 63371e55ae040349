"""The scenes in which a program is ended by kill -9."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import EXPORTER, FIRST, FULL, SECOND, THIRD, Stage, missing, stage

# Seconds for which a program is away: what a container takes to be started again, and half a minute.
_AWAY = 30 if FULL else 5
# Seconds in which what a start wrongly tells would arrive: its grace of 45 s, `for`, an evaluation, group_wait.
_LISTENS = 75 if FULL else 20
# Seconds after which what Alertmanager knows must have been written down: its interval and a margin.
WRITTEN_DOWN = 20
_FOR_STATE = 'ALERTS_FOR_STATE{alertname="ExporterDown"}'
# Seconds for which the exporter's alert is pending before the kill, and what a stopped service needs at least.
_PENDING_FOR, _LEAD = 60, 5


@dataclass(frozen=True)
class PrometheusKilled:
    """While `FIRST` was paged for, and `SECOND` and an exporter's alert about to be. Seconds, and counts."""

    usual_page: float | None  # of FIRST, before the kill
    page: float | None  # of SECOND
    pages: dict[str, int]
    false_ends: int
    others: list[str]
    samples_before: int
    samples_lost: int
    away: float
    blind: float
    pending_for: float  # the exporter's, before the kill
    began_later: float  # by how much its beginning was moved by the start
    ended: dict[str, int]  # resolved messages at the end, in the long form


def prometheus_killed(folder: Path) -> PrometheusKilled:
    """Killed as one alert fires and others are pending; what was is what is after the start."""
    with stage(folder) as found:
        platform = found.platform
        first = found.stop(FIRST, EXPORTER)
        usual = found.paged(FIRST, first)
        wait_for(lambda: bool(found.query(_FOR_STATE)), 30)
        began = _began(found)
        # So that a beginning that is kept and one that is made anew are far apart.
        time.sleep(max(0.0, began + _PENDING_FOR - _LEAD - time.time()))
        second = found.stop(SECOND)
        assert found.until("pending", SECOND)
        before = found.samples(120)
        killed = time.time()
        platform.kill("prometheus")
        time.sleep(_AWAY)
        platform.start("prometheus")
        blind = found.blind(killed)
        page = found.paged(SECOND, second)
        after = found.samples(int(time.time() - killed) + 180)
        # The second evaluation brings it back.
        wait_for(lambda: _began(found) != began, 60)
        later = _began(found) - began
        time.sleep(_LISTENS)
        false_ends = sum(len(found.told(name, "resolved")) for name in (FIRST, SECOND))
        ended = {}
        if FULL:
            found.heal(FIRST, SECOND)
            wait_for(lambda: all(found.told(name, "resolved") for name in (FIRST, SECOND)), 180)
            ended = {name: len(found.told(name, "resolved")) for name in (FIRST, SECOND)}
        told = [each["title"] for each in platform.inbox.kept(channel="pagerduty", status="firing")]
        return PrometheusKilled(
            usual_page=usual,
            page=page,
            pages={name: len(found.told(name)) for name in (FIRST, SECOND)},
            false_ends=false_ends,
            others=[title for title in told if FIRST not in title and SECOND not in title],
            samples_before=sum(map(len, before.values())),
            samples_lost=missing(before, after),
            away=_AWAY,
            blind=blind,
            pending_for=killed - began,
            began_later=later,
            ended=ended,
        )


def _began(found: Stage) -> float:
    """Since when the exporter's alert is active, in Unix seconds."""
    (state,) = found.query(_FOR_STATE)
    return float(state["value"][1])


@dataclass(frozen=True)
class AlertmanagerKilled:
    """With `FIRST` paged for, `THIRD` down and silenced, and `SECOND` on its way. Seconds, and counts by service."""

    page: float | None  # of SECOND, from its stop
    blind: float | None  # from the kill to that page
    pages: dict[str, int]
    slack: dict[str, int]
    silence_kept: bool
    away: float


def killed_before_it_sends(folder: Path) -> AlertmanagerKilled:
    """Killed in its group_wait: it had taken the alert and told nobody."""

    def received(found: Stage) -> bool:
        url = f"{found.platform.alertmanager_url}/api/v2/alerts"
        answer = requests.get(url, params={"filter": f'service="{SECOND}"'}, timeout=5)
        return bool(answer.json())

    return _alertmanager_killed(folder, received, "ok")


def killed_as_it_sends(folder: Path) -> AlertmanagerKilled:
    """Killed while PagerDuty has its request and has not answered; Slack has answered."""

    def sending(found: Stage) -> bool:
        return bool(found.told(SECOND, channel="slack"))

    return _alertmanager_killed(folder, sending, "hang")


def _alertmanager_killed(folder: Path, moment: Callable[[Stage], bool], pagerduty: str) -> AlertmanagerKilled:
    with stage(folder) as found:
        platform = found.platform
        silence = found.silence(THIRD)
        first = found.stop(FIRST, THIRD)
        assert found.paged(FIRST, first) is not None
        told = time.time()
        # The next page begins to be sent 20 s after a stop at the earliest.
        time.sleep(5)
        platform.inbox.behave("pagerduty", pagerduty)
        second = found.stop(SECOND)
        wait_for(lambda: moment(found), 75)
        assert moment(found)
        killed = time.time()
        assert killed - told > WRITTEN_DOWN
        platform.kill("alertmanager")
        platform.inbox.behave("pagerduty", "ok")
        time.sleep(_AWAY)
        platform.start("alertmanager")
        page = found.paged(SECOND, second)
        # Prometheus says everything again within a minute; what would be told twice, or in spite of the silence, is.
        time.sleep(70 if FULL else 10)
        names = (FIRST, SECOND, THIRD)
        return AlertmanagerKilled(
            page=page,
            blind=None if page is None else second + page - killed,
            pages={name: len(found.told(name)) for name in names},
            slack={name: len(found.told(name, channel="slack")) for name in names},
            silence_kept=silence in found.silences(),
            away=_AWAY,
        )


PROMETHEUS = Scene(prometheus_killed)
BEFORE_SENDING = Scene(killed_before_it_sends)
SENDING = Scene(killed_as_it_sends)
