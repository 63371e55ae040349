"""`make drill` against the live stack: real faults, real messages, and nothing left broken however it ends."""

import json
import signal
import subprocess
import sys

import pytest

from infra.settings import ROOT
from operate import pages
from tests.running import PATIENCE, SPREAD, eventually, succeeded
from tests.stack.conftest import STACK, Live, operate

# One of the exchange, one of a real store, one of generated series; `make drill` has those that take longer.
DRILLED = ("ServiceDown", "DependencyDown", "VolumeSpaceCritical")
# Its command names the stack dev.
LEFT_OUT = "Watchdog"
BROKEN = pages.folder(STACK) / "drill.broken.json"


def begun(live: Live, alert: str, fault: str) -> subprocess.Popen[str]:
    """A drill whose fault is in force."""
    command = [sys.executable, "-m", "operate", "--stack", STACK, "drill", "--alert", alert]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def is_in_force() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read()
        return fault in in_force(live)

    # It waits for the message that a warning of another test has ended, which takes up to five minutes.
    eventually(f"{fault} is in force", is_in_force, seconds=400 / PATIENCE)
    return process


def in_force(live: Live) -> str:
    return live.fetch("http://exchange-control:8090/api/faults").partition('"kyc-service"')[2].partition('"active"')[2]


def test_each_is_told_as_planned_and_ends(live: Live) -> None:
    live.every_target_is_up()
    done = operate("drill", "--alert", ",".join((*DRILLED, LEFT_OUT)))
    assert "3 as planned, 1 not on test" in done.stdout or SPREAD
    figures = json.loads((pages.folder(STACK) / "drill.json").read_text())
    by_name = {alert["alert"]: alert for alert in figures["alerts"]}
    assert by_name.pop(LEFT_OUT)["verdict"].startswith("not on test")
    assert set(by_name) == set(DRILLED)
    late = [alert for alert in by_name.values() if not alert["good"]]
    # Where other tests have the processors, a message may be late; it must be right nevertheless.
    assert not late or (SPREAD and all(alert["verdict"].startswith("late: ") for alert in late))
    assert done.returncode == bool(late)
    for name in DRILLED:
        alert = by_name[name]
        assert 0 < alert["fire_seconds"] <= alert["notify_seconds"] <= PATIENCE * alert["planned_seconds"]
        assert alert["resolve_seconds"] > 0
    page = (pages.folder(STACK) / "drill.html").read_text()
    assert all(name in page for name in DRILLED)
    assert json.loads(BROKEN.read_text()) == {}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_heals(live: Live, stop: signal.Signals) -> None:
    process = begun(live, "KYCBacklog", "kyc_backlog")
    process.send_signal(stop)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted: healing what is broken" in output
    assert "Traceback" not in output
    assert "kyc_backlog" not in in_force(live)
    assert json.loads(BROKEN.read_text()) == {}


def test_what_one_that_was_killed_left_broken_the_next_one_heals(live: Live) -> None:
    process = begun(live, "KYCBacklog", "kyc_backlog")
    refused = operate("drill", "--alert", "Watchdog")
    assert (refused.returncode, "another drill of stack test runs" in refused.stderr) == (2, True)
    process.kill()
    process.wait(10)
    assert list(json.loads(BROKEN.read_text())) == ["KYCBacklog"]
    said = succeeded(operate("drill", "--alert", "Watchdog"))
    assert "a drill that was cut off left KYCBacklog broken; it is healed now" in said
    assert "kyc_backlog" not in in_force(live)


def test_a_fault_of_somebody_else_is_not_healed_but_named(live: Live) -> None:
    live.inject("kyc-service", "kyc_backlog")
    try:
        refused = operate("drill", "--alert", "Watchdog")
        assert refused.returncode == 2
        assert "the fault kyc-service/kyc_backlog is in force already; heal it first" in refused.stderr
        assert "kyc_backlog" in in_force(live)
    finally:
        live.heal("kyc-service/kyc_backlog")


def test_a_delivery_drill_breaks_nothing_and_reaches_every_team(live: Live) -> None:
    teams = live.stack.catalog.teams
    assert "nothing was sent" in succeeded(operate("drill", "--delivery"))
    assert not live.notifications(alertname="DeliveryDrill")
    succeeded(operate("drill", "--delivery", "--yes"))
    told = live.notifications(alertname="DeliveryDrill", status="firing")
    assert len(told) == 3 * len(teams)
    assert {alert["team"] for message in told for alert in message["alerts"]} == set(teams)
    assert all("This is a drill" in message["text"] + message["title"] for message in told)
