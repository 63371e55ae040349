"""`make drill` on a cluster: the exchange's faults and messages through the API server."""

import json

from operate import pages
from tests.kubernetes.live import STACK, Live, operate
from tests.running import PATIENCE, SPREAD, eventually, succeeded

DRILLED = ("ServiceDown", "DependencyDown")


def test_each_is_told_to_the_right_people_and_ends(live: Live) -> None:
    # The tests before this one took things away; where it is not well, no drill begins.
    eventually("every target is up", lambda: not _down(live), seconds=90)
    done = operate("drill", "--alert", ",".join((*DRILLED, "VolumeSpaceCritical")))
    # 1: a verdict that is not as planned. What is more than that wrote no report.
    assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 of 3 alerts can be drilled here" in done.stdout
    figures = json.loads((pages.folder(STACK) / "drill.json").read_text())
    by_name = {alert["alert"]: alert for alert in figures["alerts"]}
    assert "its series are given to the Prometheus of stack dev" in by_name["VolumeSpaceCritical"]["verdict"]
    for name in DRILLED:
        alert = by_name[name]
        # Where other tests have the processors, a message may be late; it must be right nevertheless.
        assert alert["good"] or (SPREAD and alert["verdict"].startswith("late: ")), alert["verdict"]
        assert 0 < alert["notify_seconds"] <= PATIENCE * alert["planned_seconds"]


def _down(live: Live) -> list[str]:
    """The targets that do not answer, said in the output of a test that fails."""
    down = [str(series["metric"]) for series in live.query("up == 0")]
    print(*down, sep="\n")
    return down


def test_a_delivery_drill_reaches_every_receiver(live: Live) -> None:
    del live
    assert "messages were taken by pagerduty, slack within" in succeeded(operate("drill", "--delivery", "--yes"))
