"""What `make drill` says of an alert that is told, told late, told wrongly or not at all; the clock is the test's own.

That it sees what a real platform does is tests/stack/test_f_drill.py's.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.stack import load
from operate.documents.alert_test_plan import Alert, Plan
from operate.drills import course, watch
from operate.drills.book import Drill
from operate.drills.course import Course, Trial
from operate.drills.ledger import Ledger
from operate.drills.sites import DockerSite, DrillError

ALERT = "LedgerDifference"
CHANNELS = {"pagerduty": "", "slack": "#alerts-finance"}


class Clock:
    """Seconds that pass as fast as they are slept."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class AtOnce(Executor):
    """Does what it is given at once: other threads know another time."""

    def __init__(self, _workers: int) -> None:
        pass

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(task(*arguments, **named))
        except DrillError as error:
            done.set_exception(error)
        return done


class Site(DockerSite):
    """A platform that fires and tells so many seconds after the fault, or never, and ends so after the healing."""

    def __init__(self, clock: Clock, fires: float | None, tells: float | None, **changes: Any) -> None:
        self.clock, self.fires, self.tells = clock, fires, tells
        self.ends = float(changes.pop("ends", 10))
        self.team = str(changes.pop("team", "finance"))
        self.refuses = tuple(changes.pop("refuses", ()))
        self.broke = self.healed = 0.0

    def provoke(self, name: str, drill: Drill) -> None:
        del name, drill
        if "provoke" in self.refuses:
            raise DrillError("exit status 1: no such container")
        self.broke = self.clock.now

    def heal(self, name: str, drill: Drill) -> None:
        del name, drill
        if "heal" in self.refuses:
            raise DrillError("exit status 1: no such container")
        self.healed = self.clock.now

    def prometheus(self, path: str) -> Any:
        assert path == "/api/v1/alerts"
        labels = {"alertname": ALERT, "service": "wallet-service", "team": "finance"}
        begun = self.broke and self.fires is not None and self.clock.now >= self.broke + self.fires
        over = self.healed and self.clock.now >= self.healed + self.ends
        return {"data": {"alerts": [{"labels": labels, "state": "firing"}] if begun and not over else []}}

    def alertmanager(self, path: str) -> Any:
        raise AssertionError(path)

    def inbox(self, path: str) -> Any:
        del path
        found = []
        if self.broke and self.tells is not None and self.clock.now >= self.broke + self.tells:
            found += self._messages(self.broke + self.tells, "firing", 1)
        if found and self.healed and self.clock.now >= self.healed + self.ends + 30:
            found += self._messages(self.healed + self.ends + 30, "resolved", 10)
        return {"notifications": found[::-1]}

    def _messages(self, at: float, status: str, first: int) -> list[dict[str, Any]]:
        alert = {"alertname": ALERT, "service": "wallet-service", "severity": "critical", "team": self.team}
        links = f"http://x/{ALERT}.md http://x/d/uid"
        return [
            {
                "id": number,
                "received_at": datetime.fromtimestamp(at, UTC).isoformat(),
                "channel": channel,
                "receiver": receiver,
                "status": status,
                "alerts": [alert],
                "text": links,
                "raw": {"payload": {"group": "finance"}},
            }
            for number, (channel, receiver) in enumerate(CHANNELS.items(), first)
        ]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load("dev"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(course, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(course, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr("operate.drills.ledger._PAUSE", 0)
    return clock


Drilled = Callable[[Site], Trial]


@pytest.fixture
def drilled(plan: Plan, tmp_path: Path) -> Drilled:
    known: Mapping[str, Alert] = {alert.name: alert for alert in plan.alerts}

    def drill(site: Site) -> Trial:
        ledger = Ledger(tmp_path / "broken.json")
        (trial,) = Course(plan, site, ledger, print).run([known[ALERT]])
        assert bool(ledger.names) == ("heal" in site.refuses)
        return trial

    return drill


def test_as_planned(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=140))
    assert (trial.verdict, trial.good) == ("as planned", True)
    assert trial.seconds == pytest.approx({"fire": 130, "notify": 140, "resolve": 40}, abs=2)
    assert set(trial.told) == {"PagerDuty for finance", "Slack #alerts-finance"}


def test_late(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=200))
    assert (trial.verdict, trial.good) == ("late: told after 200 s, planned 175", False)


def test_it_does_not_fire(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=None, tells=None))
    assert (trial.verdict, trial.good) == ("did not fire within 352 s", False)


def test_it_fires_and_nobody_is_told(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=None))
    assert not trial.good
    assert trial.verdict.startswith("not told within 352 s: PagerDuty for finance, Slack #alerts-finance")


def test_the_wrong_team_is_named_in_it(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=140, team="trading"))
    assert not trial.good
    assert "Slack #alerts-finance: team is 'trading', not 'finance'" in trial.verdict


def test_it_does_not_end(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=140, ends=100_000))
    assert not trial.good
    assert trial.verdict.startswith("not over 99")


def test_what_cannot_be_provoked_is_healed(clock: Clock, drilled: Drilled) -> None:
    site = Site(clock, fires=None, tells=None, refuses=("provoke",))
    trial = drilled(site)
    assert (trial.verdict, trial.good) == ("could not be provoked: exit status 1: no such container", False)
    assert site.healed


def test_what_cannot_be_healed_is_said_and_stays_written_down(clock: Clock, drilled: Drilled) -> None:
    trial = drilled(Site(clock, fires=130, tells=140, refuses=("heal",)))
    assert (trial.verdict, trial.good) == ("could not be healed: exit status 1: no such container", False)


def test_whatever_ends_it_heals(clock: Clock, drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(clock, fires=130, tells=140)

    def interrupted(seconds: float) -> None:
        clock.now += seconds
        if site.broke and clock.now > site.broke + 50:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupted)
    trial = drilled(site)
    assert (trial.verdict, trial.fired) == ("", 0)
    assert site.healed >= site.broke + 50
