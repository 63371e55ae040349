"""The drills: one for each alert, of what there is to break, and whatever is wrong in the file is one sentence."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import assembly, catalog, rules
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack, load
from operate.drills import book
from operate.drills.book import Drill
from tests.alerting.alerts import Inhibitions
from tests.rules import harness

Check = Callable[[dict[str, Drill]], None]
DRILLS = book.load()
# Alerts about whatever is scraped, whatever is a dependency, and whatever fires.
OF_ANYTHING = {
    "ConfigReloadFailed",
    "DependencyDown",
    "ExporterDown",
    "MetricMissing",
    "NoisyAlerts",
    "PlatformStorageFailing",
}


@pytest.fixture(scope="module")
def dev() -> Stack:
    return load("dev")


@pytest.fixture(scope="module")
def deployed(dev: Stack) -> dict[str, rules.Rule]:
    """The rules of stack dev by their alert."""
    files = rules.deployed(dev, assembly.workloads(dev)).values()
    every = (rule for document in files for group in document["groups"] for rule in group["rules"])
    return {rule["alert"]: rule for rule in every if "alert" in rule}


@pytest.fixture(scope="module")
def check(dev: Stack, deployed: dict[str, rules.Rule]) -> Check:
    """Holds drills against what stack dev has."""
    components = {workload.name for workload in assembly.workloads(dev)}
    return lambda found: book.check(found, deployed, components, dev)


def read(folder: Path, text: str) -> dict[str, Drill]:
    (folder / "operate/drills").mkdir(parents=True)
    (folder / book.FILE).write_text(text)
    return book.load(folder)


def test_every_alert_has_a_drill_of_what_there_is(check: Check) -> None:
    check(DRILLS)


def test_no_other_drill_restarts_what_service_restarted_restarts() -> None:
    """It fires for a day after a restart, so it could not be drilled after that one."""
    service = str(DRILLS["ServiceRestarted"].fault).partition("/")[0]
    for name, drill in DRILLS.items():
        if name != "ServiceRestarted":
            words = " ".join([*drill.stop, *drill.pause, str(drill.fault), str(drill.run), str(drill.heal)])
            restarts = rf"\b{service}/crash|docker (restart|stop|start) \S*{service}\b|(^| ){service}( |$)"
            assert not re.search(restarts, words), name


def test_no_alert_has_two() -> None:
    """YAML takes the last one without a word."""
    names = re.findall(r"^(\w+):", (ROOT / book.FILE).read_text(), flags=re.MULTILINE)
    assert len(names) == len(set(names)) == len(DRILLS)


@pytest.mark.parametrize(
    ("drill", "sentence"),
    [
        ("{}", "has no means; give exactly one of fault, stop, pause, run, series."),
        ("{stop: [redis], run: 'true'}", "has stop and run; give exactly one of"),
        ("{stop: [redis], with: {ratio: 1}}", "`with` belongs to `fault`; remove it."),
        ("{fault: wallet-service/stop, heal: 'true'}", "`heal` belongs to `run`; remove it."),
        ("{series: [{metric: up}], heal: 'true'}", "`heal` belongs to `run`; remove it."),
        (
            "{stop: [redis], past: [{metric: up, labels: {}, value: 1, since: 60, until: 60}]}",
            "give an earlier `since`",
        ),
        ("{stop: [redis], wait: 3}", "wait: unknown key; remove it or correct its spelling."),
        ("{fault: wallet-service}", "fault: is 'wallet-service'; string should match pattern"),
        ("{stop: [redis], takes: 0}", "takes: is 0; input should be greater than or equal to 1."),
        ("{stop: [redis], expect: {severity: info}}", "expect.severity: unknown key"),
    ],
)
def test_a_drill_of_another_form_is_refused(tmp_path: Path, drill: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"ServiceDown: {drill}\n")
    assert str(caught.value).startswith("operate/drills/drills.yml: ServiceDown")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("drill", "sentence"),
    [
        ("{fault: wallet/stop}", "there is no service 'wallet' to break; use one of api-gateway, auth-service,"),
        ("{fault: wallet-service/ddos}", "There is no fault 'ddos' here; use one of stop, crash,"),
        ("{fault: bitcoin-node/cache_misses}", "There is no fault 'cache_misses' here"),
        ("{fault: infrastructure/stop}", "There is no fault 'stop' here; use one of replication_lag,"),
        ("{fault: wallet-service/errors, with: {rate: 1}}", "errors: there is no parameter 'rate'; valid ones: ratio."),
        ("{fault: wallet-service/errors, with: {ratio: 2}}", "errors: `ratio` is 2; use a number from 0 to 1."),
        ("{stop: [postgres]}", "stack dev has no component 'postgres'; `make status` lists them."),
        ("{pause: [redis, nothing]}", "stack dev has no component 'nothing'"),
        ("{stop: [loki]}", "whose alert it is does not follow; add `expect: {service: ...}`."),
        ("{run: 'true'}", "whose alert it is does not follow"),
        ("{stop: [loki], expect: {team: nobody}}", "team: unknown team 'nobody'; known: blockchain,"),
        ("{stop: [redis], expect: {silences: [Nothing]}}", "silences: there is no alert 'Nothing'; correct its name."),
    ],
)
def test_a_drill_of_what_is_not_there_is_refused(tmp_path: Path, check: Check, drill: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        check({**DRILLS, **read(tmp_path, f"ServiceDown: {drill}\n")})
    assert f"operate/drills/drills.yml: ServiceDown: {sentence}" in str(caught.value)


def test_an_alert_without_a_drill_and_a_drill_without_an_alert_are_refused(check: Check) -> None:
    with pytest.raises(InputError, match="Watchdog has no drill; say how it is provoked"):
        check({name: drill for name, drill in DRILLS.items() if name != "Watchdog"})
    with pytest.raises(InputError, match="Watchdogs: there is no such alert; remove the entry or correct its name"):
        check({**DRILLS, "Watchdogs": DRILLS["Watchdog"]})


def kind(service: str, dev: Stack) -> str:
    """What an alert is about: one of the services, a kind of dependency, or a part of the platform by its name."""
    if service in dev.catalog.by_name:
        return "service"
    return dev.catalog.dependencies[service].kind if service in dev.catalog.dependencies else service


@pytest.mark.parametrize("alert", list(DRILLS))
def test_it_expects_what_promtool_has_seen(dev: Stack, deployed: dict[str, rules.Rule], alert: str) -> None:
    """The cases of the rules may be of another service, and of another team then."""
    labels = book.labels(DRILLS[alert], alert, deployed[alert], dev.catalog)
    seen = harness.cases()[alert].labels
    assert labels["severity"] == seen["severity"]
    assert ("service" in labels) == ("service" in seen)
    # Generated series may be of a service that there is not.
    if "service" in seen and alert not in OF_ANYTHING and not DRILLS[alert].series:
        assert kind(labels["service"], dev) == kind(seen["service"], dev)
        assert labels["service"] != seen["service"] or labels["team"] == seen["team"]


@pytest.mark.parametrize("alert", [name for name, drill in DRILLS.items() if drill.expect.silences])
def test_what_it_silences_is_silenced(dev: Stack, deployed: dict[str, rules.Rule], alert: str) -> None:
    labels = book.labels(DRILLS[alert], alert, deployed[alert], dev.catalog)
    for other in DRILLS[alert].expect.silences:
        own = {"alertname": other, **deployed[other]["labels"], "team": labels["team"]}
        own |= {"service": labels["service"]} if "service" in labels else {}
        assert Inhibitions(dev).silences(labels, own), other


@pytest.mark.parametrize("alert", [name for name, drill in DRILLS.items() if drill.run])
def test_its_commands_are_of_this_stack(dev: Stack, alert: str) -> None:
    workloads = {workload.name for workload in assembly.workloads(dev)}
    ports = {dev.settings.faults_port, dev.settings.inbox_port, dev.settings.prometheus_port}
    ports |= {dev.settings.alertmanager_port, dev.settings.loki_port}
    for command in filter(None, (DRILLS[alert].run, DRILLS[alert].heal)):
        subprocess.run(["bash", "-n", "-c", command], check=True)
        assert set(re.findall(r"monitoring-dev-([a-z-]+)", command)) <= workloads
        assert {int(port) for port in re.findall(r"http://localhost:(\d+)", command)} <= ports
        for service, fault in re.findall(r"/api/faults/([a-z-]+)/([a-z_]+)", command):
            book.check_fault(alert, Drill(fault=f"{service}/{fault}"), dev.catalog)


@pytest.mark.parametrize(("alert", "key"), [("ServiceUnderMaintenance", "maintenance"), ("AlertMuted", "alerts")])
def test_an_edit_of_the_catalog_does_what_it_is_for_and_is_taken_back(project: Path, alert: str, key: str) -> None:
    file = project / "configs/services.yaml"
    before = file.read_text()
    drill = DRILLS[alert]
    assert drill.run
    assert drill.heal

    def edit(command: str) -> None:
        subprocess.run(["bash", "-c", command.removesuffix(" && make up")], cwd=project, check=True)

    edit(drill.run)
    changed = catalog.load(project)
    assert [s.name for s in changed.services if getattr(s, key)] != [
        s.name for s in catalog.load().services if getattr(s, key)
    ]
    assert getattr(changed.by_name["kyc-service"], key)
    edit(drill.heal)
    assert file.read_text() == before


def test_a_fault_becomes_a_command_and_its_healing(dev: Stack) -> None:
    address = "http://localhost:8090/api/faults/trading-engine/errors"
    assert DRILLS["HighErrorRate"].command(dev) == f"curl -X PUT -d '{{\"ratio\": 0.3}}' {address}"
    assert DRILLS["HighErrorRate"].healing(dev) == f"curl -X DELETE {address}"
    assert DRILLS["PlatformComponentDown"].command(dev) == "docker stop monitoring-dev-loki"
    assert DRILLS["PlatformComponentDown"].healing(dev) == "docker start monitoring-dev-loki"
    paused = Drill(pause=("redis", "rabbitmq"))
    assert paused.command(dev) == "docker pause monitoring-dev-redis monitoring-dev-rabbitmq"
    assert paused.healing(dev) == "docker unpause monitoring-dev-redis monitoring-dev-rabbitmq"
