"""The documents that are generated: as written in the repository, and following what they are written from."""

import argparse
import shutil
from pathlib import Path

import pytest

from infra.settings import ROOT
from infra.stack import Stack, load
from operate import documents
from operate.documents import alert_test_plan, metrics_contract, routes
from operate.documents.alert_test_plan import Plan
from operate.quiet_week import targets
from tests.alerting import alerts as alerting
from tests.alerting.platform import Alert
from tests.alerting.routing import WATCHDOG, wanted
from tests.labels import Reader
from tests.markdown import CHANGES, broken, commands
from tests.rules import harness
from tests.unit.conftest import Edit

RULES = "configs/prometheus/rules"
CONTRACT = "configs/contract.yaml"


@pytest.fixture(scope="module")
def dev() -> Stack:
    return load("dev")


@pytest.fixture(scope="module")
def plan_text(dev: Stack) -> str:
    return alert_test_plan.text(dev)


@pytest.fixture
def copy(project: Path) -> Path:
    """The project with all that the test plan is written from."""
    for name in (alert_test_plan.CASES, "tests/kubernetes"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "operate/drills").mkdir(parents=True)
    shutil.copy(ROOT / "operate/drills/drills.yml", project / "operate/drills")
    return project


def section(text: str, title: str) -> str:
    """What stands below a heading of the third level."""
    return text.partition(f"### {title}\n")[2].partition("\n#")[0]


def planned(root: Path, alert: str) -> str:
    """What the test plan of a copy says about an alert, in one line."""
    return entry(alert_test_plan.text(load("dev", root=root)), alert)


def entry(text: str, alert: str) -> str:
    """What a test plan says about an alert, in one line."""
    return " ".join(section(text, alert).split())


def contract(root: Path) -> str:
    return metrics_contract.text(load("dev", root=root))


def test_each_document_is_what_it_is_written_from(dev: Stack) -> None:
    for name, text in documents.texts(dev).items():
        assert (ROOT / name).read_text() == text, f"{name} is out of date: run `make documents`"
        assert not list(broken(ROOT / name)), f"{name}: links lead nowhere"
        long = [line for line in text.splitlines() if len(line) > 120 and not line.startswith(("|", "Buckets of"))]
        runs = {command.text for command in commands(ROOT / name)}
        assert set(long) <= runs, f"{name}: wrap at 120 characters"


def test_what_provokes_and_heals_is_marked() -> None:
    found = commands(ROOT / alert_test_plan.FILE)
    assert len(found) > 100
    assert {command.mark for command in found} == {CHANGES}


def test_a_metric_of_the_contract_shows_with_its_services_and_readers(copy: Path, edit: Edit) -> None:
    before = contract(copy)
    assert "gateway_tls_handshakes_total" not in before
    edit(
        CONTRACT,
        "      rate_limit_hits_total:\n",
        "      gateway_tls_handshakes_total:\n"
        '        {type: counter, unit: handshakes, labels: [version], help: "Handshakes made."}\n'
        "      rate_limit_hits_total:\n",
    )
    edit(
        f"{RULES}/warning.yml",
        "sum by (job, service, team, tier) (rate(rate_limit_hits_total[5m]))",
        "sum by (job, service, team, tier) (rate(gateway_tls_handshakes_total[5m]))",
    )
    rows = [line for line in section(contract(copy), "gateway").splitlines() if "gateway_tls_handshakes_total" in line]
    assert rows[0] == "| `gateway_tls_handshakes_total` | counter, handshakes | version | Handshakes made. |"
    # Through the series that is recorded from it.
    assert "[HighRateLimitViolations](runbooks/HighRateLimitViolations.md)" in rows[1]


def test_what_services_do_and_call_shows(copy: Path, edit: Edit) -> None:
    edit(
        "configs/services.yaml",
        "capabilities: [http, kyc]\n    dependencies: [database, rabbitmq]",
        "capabilities: [http]",
    )
    edit(CONTRACT, "buckets: [0.0005, 0.001,", "buckets: [0.00025, 0.001,")
    text = contract(copy)
    assert "Identity checks of customers. Of: no service yet." in text
    assert "| kyc-service | `:3001/health` | none |" in text
    assert "in seconds: 0.00025, 0.001," in text


def test_every_reader_is_found_that_a_parser_finds(dev: Stack, reader: Reader) -> None:
    """Dashboards apart, whose variables are no PromQL."""
    metrics = {name for capability in dev.catalog.contract.values() for name in capability.metrics}
    histograms = {f"{name}_bucket": name for name in metrics} | {f"{name}_count": name for name in metrics}
    expected: dict[str, set[str]] = {}
    for _, rule in reader.known.rules:
        if "alert" in rule and "metric" not in rule["labels"]:
            for name in reader.known.names(str(rule["expr"])):
                expected.setdefault(histograms.get(name, name), set()).add(rule["alert"])
    found = metrics_contract.Readers(dev).alerts
    assert {name: set(alerts) for name, alerts in found.items() if name in metrics} == {
        name: alerts for name, alerts in expected.items() if name in metrics
    }


def test_every_alert_goes_where_the_specification_sends_it(dev: Stack) -> None:
    plan = Plan(dev)
    for case in harness.cases().values():
        alert = Alert({"alertname": case.alert, **case.labels}, {}, "")
        channels = {c for way in routes.ways(plan.config, alert.labels) if not way.digest for c in way.channels}
        told = wanted(dev, alert)
        expected = {f"{'Slack' if channel == 'slack' else 'PagerDuty for'} {to}" for channel, to in told}
        assert channels == (expected or ({"the receiver of the heartbeat"} if case.alert == WATCHDOG else set()))


def test_rounds_come_no_more_often_than_the_rule_is_evaluated(dev: Stack) -> None:
    """Of two Prometheus one says meanwhile that it fires, the other that it is over: decision 7."""
    plan = Plan(dev)
    rules = [rule for rule in targets.deployment(dev).rules if rule.alerting]
    assert any(rule.interval > 15 and rule.labels["severity"] == "critical" for rule in rules)
    for rule in rules:
        for way in routes.ways(plan.config, {"alertname": rule.name, "team": "trading", **rule.labels}):
            assert way.round_seconds >= rule.interval, rule.name


def test_every_alert_is_silenced_by_what_silences_it(dev: Stack) -> None:
    plan, inhibitions = Plan(dev), alerting.Inhibitions(dev)
    every = [{"alertname": case.alert, **case.labels} for case in harness.cases().values()]
    for other in every:
        able = routes.silencing(plan.config, other)
        for cause in every:
            expected = inhibitions.silences(cause, other)
            assert routes.silences(able, cause, other) == expected, (cause, other)


def test_alerts_of_one_kind_do_not_silence_each_other() -> None:
    rule = {"source_matchers": ['severity="critical"'], "target_matchers": ['severity=~"critical|warning"']}
    page, other = {"alertname": "A", "severity": "critical"}, {"alertname": "B", "severity": "critical"}
    assert not routes.silences([rule], page, other)
    assert routes.silences([rule], page, {**other, "severity": "warning"})


def test_a_slower_rule_is_told_later_and_a_milder_one_elsewhere(copy: Path, edit: Edit) -> None:
    before = planned(copy, "LedgerDifference")
    assert before.startswith("Critical of wallet-service, team finance. Told within 3 minutes: PagerDuty for finance")
    edit(
        f"{RULES}/exchange-integrity.yml",
        "for: 2m\n        keep_firing_for: 5m",
        "for: 20m\n        keep_firing_for: 5m",
    )
    edit(f"{RULES}/exchange-integrity.yml", "labels: {severity: critical", "labels: {severity: warning")
    after = planned(copy, "LedgerDifference")
    assert after.startswith("Warning of wallet-service, team finance. Told within 22 minutes: Slack #alerts-finance.")


def test_the_team_and_its_channel_come_from_the_catalog(copy: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "#alerts-compliance", "#know-your-customer")
    assert "Told within 12 minutes: Slack #know-your-customer." in planned(copy, "KYCBacklog")


def test_what_needs_generated_samples_is_left_to_make_drill(plan_text: str) -> None:
    words = entry(plan_text, "VolumeSpaceCritical")
    assert "Its series are generated beside those that are scraped." in words
    assert "```bash changes make drill ALERT=VolumeSpaceCritical ```" in words
    assert "curl" not in words
    assert "What it compares with is generated where Prometheus has recorded less." in entry(plan_text, "LoginsStopped")


def test_an_info_alert_waits_for_the_digest(plan_text: str) -> None:
    words = entry(plan_text, "ServiceRestarted")
    assert "in the digest: Slack #alerts-platform, e-mail to platform-oncall@exchange.com." in words
    assert "History: 10 minutes." in words
    # What the digest's group waits for is no part of it.
    assert "Fires within 11 minutes;" in entry(plan_text, "CertificateRenewalDue")


def test_a_fault_that_hides_behind_another_is_not_promised(plan_text: str) -> None:
    words = entry(plan_text, "BlockchainNodeNotSynced")
    assert "and is not told: BlockchainHeightBehindReference of the node silences it." in words


def test_what_is_out_of_date_is_written_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / RULES, tmp_path / RULES)
    for module in (documents, documents.runbooks):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    old = [metrics_contract.FILE, "docs/runbooks/ServiceDown.md"]
    for name in old:
        path = tmp_path / name
        path.write_text(path.read_text().replace("service", "servant"))
    assert documents.run(argparse.Namespace()) == 0
    # Below its opening a runbook is somebody's.
    assert capsys.readouterr().out.split() == old[:1]
    path = tmp_path / old[1]
    path.write_text(path.read_text().replace("| critical |", "| warning |"))
    (tmp_path / alert_test_plan.FILE).unlink()
    documents.run(argparse.Namespace())
    assert capsys.readouterr().out.split() == [alert_test_plan.FILE, old[1]]
    documents.run(argparse.Namespace())
    assert capsys.readouterr().out == "every document is up to date\n"
