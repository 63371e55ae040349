"""What `make drill` decides: which drills run beside each other, what it remembers, which messages are wrong."""

import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.stack import load
from operate import tools
from operate.documents.alert_test_plan import Alert, Plan
from operate.drills import generated, schedule, sites, watch
from operate.drills.book import Drill, Past, StandIn
from operate.drills.course import Course, chosen
from operate.drills.ledger import Ledger
from operate.drills.schedule import Schedule
from operate.drills.sites import DockerSite, DrillError
from operate.drills.watch import Active, Message
from tests.unit.loopback import eventually


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load("dev"))


@pytest.fixture(scope="module")
def alerts(plan: Plan) -> Mapping[str, Alert]:
    return {alert.name: alert for alert in plan.alerts}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("ServiceDown", "LedgerDifference", True),  # the one takes down the service of the other
        ("MatchingEngineDown", "MatchingSequenceGap", True),  # and what the other's service depends on
        ("HotWalletBelowFloor", "HotWalletLow", True),  # the same fault
        ("BlockchainHeightBehindReference", "BlockchainNodeNotSynced", True),
        ("HighErrorRate", "LowOrderMatchSuccessRate", True),  # by `apart`
        ("RuleEvaluationFailing", "ConfigReloadFailed", True),  # two commands on the same component
        ("ExporterDown", "RedisMemoryWarning", True),  # which is seen by that exporter only
        ("DatabaseReplicaLost", "DatabaseReplicationLagCritical", True),
        ("CertificateProbeFailing", "LowCacheHitRate", True),  # the one stops what keeps up the fault of the other
        ("AlertMuted", "HostCertificateExpiring", True),  # the one takes away what was given to Prometheus
        ("CertificateProbeFailing", "HostCertificateExpiring", False),
        ("AlertMuted", "LowCacheHitRate", False),
        ("ConfigNotTaken", "RuleGroupSlow", False),  # a series of its own hides nothing
        ("LedgerDifference", "HotWalletLow", False),
        ("LedgerDifference", "KYCBacklog", False),
        ("ServiceDown", "KYCBacklog", False),
    ],
)
def test_only_what_does_not_disturb_each_other_runs_at_once(
    plan: Plan, alerts: Mapping[str, Alert], one: str, other: str, apart: bool
) -> None:
    known = Schedule(plan)
    assert known.apart(alerts[one], alerts[other]) is known.apart(alerts[other], alerts[one]) is apart


def test_a_leftover_alert_that_would_silence_it_is_named(plan: Plan, alerts: Mapping[str, Alert]) -> None:
    known = Schedule(plan)
    labels = {"alertname": "ServiceDown", "severity": "critical", "service": "kyc-service", "team": "compliance"}
    assert known.silenced_now(alerts["APILatencyWarning"], [Active(labels, True)]) == "ServiceDown"
    assert known.silenced_now(alerts["APILatencyWarning"], [Active({**labels, "service": "api-gateway"}, True)]) == ""


def test_what_takes_an_hour_begins_first_and_what_wants_to_be_alone_next(plan: Plan) -> None:
    ordered = [alert.name for alert in schedule.order(plan.alerts, Schedule(plan))]
    assert sorted(ordered) == sorted(alert.name for alert in plan.alerts)
    at = {name: number for number, name in enumerate(ordered)}
    assert at["HostCertificateExpiring"] < at["SharedOutage"] < at["ErrorBudgetBurnFast"] < at["LedgerDifference"]
    # What would keep it waiting for most of an hour.
    assert at["CertificateProbeFailing"] < at["LowCacheHitRate"] < at["AlertMuted"] < at["HostCertificateExpiring"]
    assert at["HostCertificateExpiring"] < at["AuthDependencyUnreachable"] < at["RegistrationsStopped"]
    assert at["RegistrationsStopped"] < at["SharedOutage"]


def test_alerts_are_chosen_by_name(plan: Plan) -> None:
    assert [alert.name for alert in chosen(plan, " LedgerDifference,KYCBacklog,LedgerDifference ")] == [
        "LedgerDifference",
        "KYCBacklog",
    ]
    assert len(chosen(plan, "")) == len(plan.alerts)


class Site(DockerSite):
    """Remembers what was healed; refuses what is in `stuck`."""

    def __init__(self, stuck: str = "") -> None:
        self.healed: list[str] = []
        self.stuck = stuck

    def heal(self, name: str, drill: Drill) -> None:
        assert drill.fault
        if name == self.stuck:
            raise DrillError("exit status 1: no such container")
        self.healed.append(name)


class Beating(Site):
    """The heart beats, and the Watchdog fires as always."""

    def provoke(self, name: str, drill: Drill) -> None: ...

    def heal(self, name: str, drill: Drill) -> None: ...

    def prometheus(self, path: str) -> Any:  # noqa: ARG002 - asked for alerts alone
        labels = {"alertname": "Watchdog", "service": "prometheus", "team": "platform", "severity": "none"}
        return {"data": {"alerts": [{"labels": labels, "state": "firing"}]}}

    def inbox(self, path: str) -> Any:  # noqa: ARG002 - messages and beats have names of their own
        return {"notifications": [], "heartbeats": [{"name": "watchdog", "age_seconds": 0.0}]}


def test_what_always_fires_is_drilled_nevertheless(
    plan: Plan, alerts: Mapping[str, Alert], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operate.drills.course.LOOK", 0)
    course = Course(plan, Beating(), Ledger(tmp_path / "drill.broken.json"), lambda _line: None)
    (trial,) = course.run([alerts["Watchdog"]])
    assert (trial.verdict, trial.good) == ("beats", True)


FAULT = Drill(fault="wallet-service/stop")


def test_what_is_broken_is_written_down_until_it_is_healed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operate.drills.ledger._PAUSE", 0)
    path, known = tmp_path / "drill.broken.json", {"First": FAULT, "Second": FAULT, "Third": FAULT}
    ledger = Ledger(path)
    for name in known:
        ledger.broken(name, FAULT)
    ledger.broken("Once", Drill(run="true"))
    assert list(json.loads(path.read_text())) == ["First", "Second", "Third"]
    # As after a loss of power.
    found = Ledger(path)
    assert found.names == ["First", "Second", "Third"]
    site = Site(stuck="Second")
    assert list(found.heal_all(site)) == [("Second", "exit status 1: no such container")]
    assert site.healed == ["Third", "First"]
    assert json.loads(path.read_text()) == {"Second": {"fault": "wallet-service/stop"}}
    assert list(Ledger(path).heal_all(Site())) == []
    assert json.loads(path.read_text()) == {}


def message(alert: Alert, **changes: str) -> Message:
    labels = {key: alert.labels.get(key, "") for key in ("alertname", "severity", "service", "team")}
    text = changes.pop("text", f"http://runbooks/{alert.name}.md http://grafana/d/uid")
    return Message(1, 0.0, "Slack #x", True, [{**labels, **changes, "status": "firing"}], text)


def test_who_interrupts_does_not_wait_for_what_provokes() -> None:
    """Nor for what that has started."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sites.shell, "echo begun; sleep 300; true")
        assert eventually(lambda: bool(sites._RUNNING))
        began = time.monotonic()
        sites.end_commands()
        with pytest.raises(DrillError, match="exit status -15"):
            running.result(30)
    assert time.monotonic() - began < 30


def test_a_message_with_another_severity_team_or_without_its_links_is_wrong(alerts: Mapping[str, Alert]) -> None:
    alert = alerts["LedgerDifference"]
    assert list(watch.faults(message(alert), alert)) == []
    assert list(watch.faults(message(alert, severity="warning", team="trading"), alert)) == [
        "severity is 'warning', not 'critical'",
        "team is 'trading', not 'finance'",
    ]
    assert list(watch.faults(message(alert, text="<no value> is missing"), alert)) == [
        "no link to the runbook",
        "no link to a dashboard",
        "the text has '<no value>'",
    ]


def promtool(*arguments: str) -> str:
    return subprocess.run([tools.ensure("promtool"), *arguments], capture_output=True, text=True, check=True).stdout


def test_the_rules_of_every_drill_with_series_are_accepted(tmp_path: Path, alerts: Mapping[str, Alert]) -> None:
    drilled = [alert for alert in alerts.values() if alert.drill.series]
    assert len(drilled) > 10
    for alert in drilled:
        file = tmp_path / f"{alert.name}.yml"
        file.write_text(generated.rules(alert.name, alert.drill.series, alert.drill.every))
    promtool("check", "rules", *map(str, tmp_path.glob("*.yml")))


def test_generated_samples_become_a_block_with_the_slope_asked_for(tmp_path: Path) -> None:
    past = Past(metric="level", labels={"a": 'x"y'}, value=100, per_day=-50, since=86400, until=3600, every=3600)
    file = tmp_path / "past.om"
    file.write_text(generated.samples([past]))
    (tmp_path / "data/wal").mkdir(parents=True)  # which `dump` looks for
    promtool("tsdb", "create-blocks-from", "--quiet", "openmetrics", str(file), str(tmp_path / "data"))
    values = [float(line.split()[-2]) for line in promtool("tsdb", "dump", str(tmp_path / "data")).splitlines()]
    assert len(values) == 23
    assert values[0] == 100
    assert values[-1] == pytest.approx(100 - 50 * 22 / 24)
    # 23 samples; its end, an hour ago.
    assert generated.question(past) == (
        'count_over_time(level{a="x\\"y"}[82800s] offset 3600s) > 21 and '
        'present_over_time(level{a="x\\"y"}[10m] offset 3600s)'
    )


def test_series_are_recorded_with_their_labels() -> None:
    text = generated.rules("Some", [StandIn(metric="up", expr="vector(0)", labels={"job": "x"})], 1)
    assert "record: up" in text
    assert "job: x" in text
    assert "interval: 1s" in text
