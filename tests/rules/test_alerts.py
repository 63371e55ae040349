"""Both sides of every alert, with promtool: fires at the right moment, and stays quiet when it should.

`python -m tests.rules.test_alerts ALERT` prints promtool's words on one alert's case.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra import documents
from tests.conftest import Figure
from tests.rules import harness, promtool


def run(alert: str) -> str:
    """promtool's complaints about the case of one alert."""
    case = replace(harness.cases()[alert], others=promtool.background())
    return promtool.complaints(*harness.promtool_file(case, promtool.rules()))


@pytest.mark.parametrize("alert", list(harness.cases()))
def test_alert(alert: str) -> None:
    assert run(alert) == ""


def test_every_alert_has_a_case(figure: Figure) -> None:
    alerts = {rule["alert"] for rule in promtool.rules() if "alert" in rule}
    covered = set(harness.cases())
    figure(f"{len(covered & alerts)} of {len(alerts)} alerts have a case")
    assert alerts - covered == set()
    assert covered - alerts == set()


@pytest.mark.parametrize("case", harness.cases().values(), ids=lambda case: case.alert)
def test_a_case_has_every_side(case: harness.Case) -> None:
    """A side that is left out needs a reason in words; one that is there must differ from the good values."""
    phases = case.phases()
    assert phases <= {*harness.PHASES, *(phase for other in case.more for phase, _ in other["timeline"])}
    assert "bad" in phases
    assert bool(case.edge) != ("edge" in phases), "either an edge value or the reason why there is none"
    assert bool(case.idle) != ("idle" in phases), "either an idle value or the reason why traffic does not matter"
    assert ("says" in case.vanish) != ("silent" in case.vanish)


# Of a team or of everything, so no service stands behind them.
WITHOUT_SERVICE = {"MultipleServicesDown", "SharedOutage"}


@pytest.mark.parametrize("case", harness.cases().values(), ids=lambda case: case.alert)
def test_what_every_alert_carries(case: harness.Case) -> None:
    """Labels as they really come out: promtool compared them with the case's."""
    assert case.labels["team"] in promtool.stack().catalog.teams
    assert case.labels["severity"] in ("critical", "warning", "info", "none")
    assert ("service" in case.labels) != (case.alert in WITHOUT_SERVICE)
    for rule in promtool.rules():
        if rule.get("alert") == case.alert:
            assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
            assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{case.alert}.md")
            assert "/d/" in rule["annotations"]["dashboard_url"]


def test_recording_rules() -> None:
    """The specification's recording rules, in promtool's own format."""
    rules = {"groups": [{"name": "all", "rules": [rule for rule in promtool.rules() if "record" in rule]}]}
    assert promtool.complaints(rules, documents.load((Path(__file__).parent / "recording.yml").read_text())) == ""


def test_a_prometheus_that_evaluates_too_slowly_tells_of_a_service_that_vanished() -> None:
    """It evaluates as seldom as one that starts anew each time, but misses no scrape."""
    case = replace(harness.cases()["ServiceDown"], others=promtool.background(), step="30s", fires_after="30s", more=[])
    assert promtool.complaints(*harness.promtool_file(case, promtool.rules())) == ""


if __name__ == "__main__":
    print(run(sys.argv[1]) or "SUCCESS")
