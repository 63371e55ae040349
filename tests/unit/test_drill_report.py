"""The report of drills, and how a run goes on where the last one was stopped."""

import argparse
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.stack import load
from operate import pages
from operate.documents.alert_test_plan import Plan
from operate.drills import command, report
from operate.drills.course import Trial

PASSED, FAILED, CUT_OFF, REFUSED = "LedgerDifference", "KYCBacklog", "HotWalletLow", "NotificationsFailing"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load("dev"))


@pytest.fixture(scope="module")
def stopped(plan: Plan) -> report.Report:
    """A run that was stopped: one alert as planned, one that failed, one in the midst, one that cannot be run."""
    known = {alert.name: alert for alert in plan.alerts}
    trials = [Trial(known[name], broke=1000) for name in (PASSED, FAILED, CUT_OFF)]
    trials[0].fired, trials[0].healed, trials[0].ended = 1130, 1140, 1150
    trials[0].told, trials[0].over = {"Slack #alerts-finance": 1140}, {"Slack #alerts-finance": 1180}
    trials[0].verdict, trials[0].good = "as planned", True
    trials[1].verdict, trials[1].good = "did not fire within 352 s", False
    alerts = [known[name] for name in (PASSED, FAILED, CUT_OFF, REFUSED)]
    return report.Report(plan, alerts, trials, {REFUSED: "its command is for stack dev"}, 600)


def test_a_run_that_was_stopped(stopped: report.Report) -> None:
    assert stopped.summary == "4 alerts in 10 minutes: 1 as planned, 1 failed, 1 not done, 1 not on dev"
    assert not stopped.good
    assert [(row.alert.name, row.verdict) for row in stopped.rows] == [
        (FAILED, "did not fire within 352 s"),
        (PASSED, "as planned"),
        (CUT_OFF, "interrupted"),
        (REFUSED, "not on dev: its command is for stack dev"),
    ]


def test_what_was_as_planned_stays_in_the_report_of_the_run_that_goes_on(plan: Plan, stopped: report.Report) -> None:
    earlier = {alert["alert"]: alert for alert in stopped.figures()["alerts"] if alert["good"]}
    trials = [Trial(alert, verdict="as planned", good=True) for alert in stopped.alerts[1:3]]
    found = report.Report(plan, stopped.alerts, trials, stopped.refused, 900, earlier)
    assert found.summary == "4 alerts in 15 minutes: 3 as planned, 1 not on dev"
    assert found.good
    (before,) = (alert for alert in stopped.figures()["alerts"] if alert["alert"] == PASSED)
    (after,) = (alert for alert in found.figures()["alerts"] if alert["alert"] == PASSED)
    assert after == before
    assert (after["fire_seconds"], after["notify_seconds"], after["resolve_seconds"]) == (130, 140, 40)
    assert (after["told"], after["over"]) == ({"Slack #alerts-finance": 140}, {"Slack #alerts-finance": 40})


def test_the_next_run_finds_what_it_needs(stopped: report.Report) -> None:
    assert all(set(report.KEPT) <= alert.keys() for alert in stopped.figures()["alerts"])


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"stack": "dev", "alert": "", "repeat": None, "left": True, "delivery": False, **given})


@pytest.mark.parametrize("more", [{"alert": PASSED}, {"repeat": "3"}])
def test_what_goes_on_is_the_last_run_and_nothing_else(more: dict[str, str]) -> None:
    with pytest.raises(InputError, match="leave out ALERT and REPEAT"):
        command.run(options(**more))


@pytest.mark.parametrize("text", [None, "", "{}", '{"seconds": 1, "alerts": [{"alert": "A"}]}', "[]"])
def test_where_there_is_no_last_run_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(pages, "folder", lambda _stack: tmp_path)
    if text is not None:
        (tmp_path / "drill.json").write_text(text)
    with pytest.raises(InputError, match=r"there is no run in .*drill\.json to go on with; leave out LEFT"):
        command.run(options())
