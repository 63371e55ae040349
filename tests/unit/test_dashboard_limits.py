"""Panels turn yellow and red where the alerts fire, and move with them.

Every threshold, of thresholds.yml and of the catalog, is changed to a value that stands nowhere else; the
dashboards made of that must show these values and no others.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from infra import dashboards, documents, rules
from infra.dashboards.kit.limits import CRITICAL, WARNING, Limits
from infra.errors import read_yaml
from infra.stack import load
from operate.dashboards.reading import Dashboard, Panel
from tests.labels import Reader
from tests.unit.boards import Asked, asked, overridden, report
from tests.unit.conftest import Edit

COLOURS = {"critical": CRITICAL, "warning": WARNING, "info": WARNING}
# Of values whose alert compares with nothing: one is one too many, or down; of a rate, anything at all.
PRESENCE = {step.value for limits in (Limits(critical=1), Limits(critical=0)) for step in limits.steps()} - {None}
# Units of thresholds, and the units that a panel with these numbers may have.
UNITS = {"ratio": {"percentunit", "x"}, "seconds": {"s"}, "days": {"d", "suffix: days"}}
# What every alert reads, and what says nothing of what it watches.
COMMON = re.compile(r"(ALERTS|up$|alert:threshold|alert:subject|catalog:).*")

# Alerts whose threshold no panel draws, each with the reason.
NOT_DRAWN = {
    "CertificateRenewalDue": "for the daily digest; the figure it is about turns yellow with CertificateExpiresSoon",
}
# Alerts whose threshold a dashboard does not colour by the alert's severity on the side on which it fires.
COLOURED_OTHERWISE: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Marked:
    """Dashboards made of changed thresholds; `alerts` are those that a value belongs to.

    `compared` are the numbers that stand in the rules themselves, changed as well.
    """

    boards: list[Dashboard]
    alerts: dict[float, str]
    compared: list[float]

    def explains(self, value: float, panel: Panel) -> bool:
        """Whether a step is an alert's threshold, a number of a rule (of minutes, too), or says there is one."""
        in_rules = {*self.compared, *(60 * number for number in self.compared)}
        return value in self.alerts or value in in_rules or value in PRESENCE or f"{value:g}" in _states(panel)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """Every threshold changed to a value of its own."""
    root: Path = tmp_path_factory.mktemp("marked")
    stack = load("dev")
    alerts: dict[float, str] = {}

    def mark(alert: str, threshold: float) -> float:
        # In the order of the real ones, so that warnings stay before pages.
        value = round(threshold * 1.5 + (len(alerts) + 1) * 1e-6, 9)
        assert value not in alerts
        alerts[value] = alert
        return value

    thresholds = read_yaml(stack.root / rules.THRESHOLDS, stack.root)
    for alert, entry in thresholds.items():
        entry["threshold"] = mark(alert, entry["threshold"])
    services = read_yaml(stack.root / "configs/services.yaml", stack.root)
    for tuning in _tunings(services):
        for alert, entry in tuning.items():
            if "threshold" in entry:
                entry["threshold"] = mark(alert, entry["threshold"])
    shutil.copytree(stack.root / "configs", root / "configs")
    (root / rules.THRESHOLDS).write_text(documents.dump(thresholds))
    (root / "configs/services.yaml").write_text(documents.dump(services))
    compared = [number for path in sorted((root / rules.FOLDER).glob("*.yml")) for number in _compare_otherwise(path)]
    changed = replace(load("dev", stack.settings, root), images=stack.images)
    return Marked([Dashboard(json.loads(page.text)) for page in dashboards.pages(changed)], alerts, compared)


def _compare_otherwise(path: Path) -> list[float]:
    """Change every number that an expression of a rule file compares with; the new ones."""
    document = read_yaml(path, path.parent)
    found: list[float] = []

    def other(match: re.Match[str]) -> str:
        found.append(round(float(match[2]) * 1.5 + len(found) * 1e-5 + 1e-7, 9))
        return f"{match[1]}{found[-1]:.9f}"

    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"([<>]=? *)([\d.]+)", other, str(rule["expr"]))
    path.write_text(documents.dump(document))
    return found


def _states(panel: Panel) -> set[str]:
    """The values that the panel writes as words."""
    return {value for mappings in overridden(panel, "mappings") for each in mappings for value in each["options"]}


def _tunings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("alerts"), dict):
            yield node["alerts"]
        for child in node.values():
            yield from _tunings(child)
    elif isinstance(node, list):
        for child in node:
            yield from _tunings(child)


def steps(panel: Panel) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Steps of the panel and of each of its columns, and the units their values may have."""
    defaults = panel.document["fieldConfig"]["defaults"]
    if "thresholds" in defaults:
        yield defaults["thresholds"]["steps"], [defaults["unit"]]
    for override in panel.document["fieldConfig"]["overrides"]:
        properties = {each["id"]: each["value"] for each in override["properties"]}
        if "thresholds" in properties:
            yield properties["thresholds"]["steps"], [properties.get("unit", defaults["unit"])]


def coloured(marked: Marked) -> Iterator[tuple[Dashboard, Panel, list[dict[str, Any]], int, str]]:
    """Every step of every panel that is an alert's threshold: steps, which of them, and the alert."""
    for board in marked.boards:
        for panel in board.panels:
            for found, _ in steps(panel):
                for place, step in enumerate(found):
                    if step["value"] in marked.alerts:
                        yield board, panel, found, place, marked.alerts[step["value"]]


def drawn(panel: Panel) -> bool:
    """Whether the panel shows its steps as lines."""
    style = panel.document["fieldConfig"]["defaults"].get("custom", {}).get("thresholdsStyle", {})
    return bool(style.get("mode", "off") != "off")


def rule_of(reader: Reader, alert: str) -> dict[str, Any]:
    """The rule of an alert as it is deployed."""
    return next(rule for _, rule in reader.known.rules if rule.get("alert") == alert)


def test_every_step_is_the_threshold_of_an_alert(marked: Marked) -> None:
    found = []
    for board in marked.boards:
        for panel in board.panels:
            for of_panel, _ in steps(panel):
                values = [step["value"] for step in of_panel]
                numbers = values[1:]
                wrong = [value for value in numbers if not marked.explains(value, panel)]
                if wrong or values[0] is not None or numbers != sorted(numbers):
                    found.append(f"{board.uid}: {panel.title}: {wrong or values}")
    assert not found, report(found)
    assert any(coloured(marked))


def test_colours_are_those_of_the_alerts_severity_on_the_side_on_which_it_fires(marked: Marked, reader: Reader) -> None:
    found = {}
    for board, panel, of_panel, place, alert in coloured(marked):
        rule = rule_of(reader, alert)
        # A line has the step's own colour. Of a ground, it lies above the step, and below it that of the step before.
        compared = re.search(r"([<>])=?[^<>]*alert:threshold\{alert=\"" + alert + '"', str(rule["expr"]))
        assert compared is not None, alert
        bad = of_panel[place - (compared[1] == "<" and not drawn(panel))]["color"]
        if bad != COLOURS[rule["labels"]["severity"]]:
            fires = f"{compared[1]}, {rule['labels']['severity']}"
            found[board.uid, alert] = f"{board.uid}: {panel.title}: {alert} ({fires}) is {bad}"
    unexpected = [sentence for place, sentence in found.items() if place not in COLOURED_OTHERWISE]
    assert not unexpected, report(unexpected)
    assert set(COLOURED_OTHERWISE) <= set(found), "an exception is no longer needed"


def test_a_coloured_panel_shows_what_its_alert_watches(marked: Marked, reader: Reader) -> None:
    found = []
    for board, panel, _, _, alert in coloured(marked):
        queries = [Asked(board, panel, panel.title, query) for query in panel.queries]
        read = set[str]().union(*(reader.known.names(each.filled()) for each in queries))
        watched = reader.known.names(str(rule_of(reader, alert)["expr"]))
        if not any(not COMMON.fullmatch(name) for name in read & watched):
            found.append(f"{board.uid}: {panel.title}: reads nothing that {alert} reads")
    assert not found, report(sorted(set(found)))


def test_a_coloured_panel_has_the_unit_of_its_alert(marked: Marked) -> None:
    thresholds = rules.read(load("dev")).thresholds
    found = []
    for board in marked.boards:
        for panel in board.panels:
            for of_panel, units in steps(panel):
                for alert in {marked.alerts[s["value"]] for s in of_panel if s["value"] in marked.alerts}:
                    unit = thresholds[alert].unit
                    if not set(units) <= UNITS.get(unit.split()[0], set(units)):
                        found.append(f"{board.uid}: {panel.title}: {alert} compares {unit}, the panel shows {units}")
    assert not found, report(found)


def test_every_alert_is_explained_on_its_dashboard(marked: Marked, reader: Reader) -> None:
    drawn = {(board.uid, alert) for board, _, _, _, alert in coloured(marked)}
    by_uid = {board.uid: board for board in marked.boards}
    shown = {
        uid: set[str]().union(*(reader.known.names(each.filled()) for each in asked([board]) if each.panel))
        for uid, board in by_uid.items()
    }
    found = []
    for _, rule in rules.read(load("dev")).alerts:
        alert, uid = rule["alert"], rule["annotations"]["dashboard"]
        if uid not in by_uid:
            found.append(f"{alert}: there is no dashboard {uid}")
        elif alert in marked.alerts.values() and (uid, alert) not in drawn and alert not in NOT_DRAWN:
            found.append(f"{uid}: no panel has the threshold of {alert}")
        else:
            watched = {n for n in reader.known.names(str(rule["expr"])) if not COMMON.fullmatch(n)}
            if watched and not watched & shown[uid]:
                found.append(f"{uid}: shows nothing that {alert} reads")
    found += [f"{alert}: is drawn after all" for alert in NOT_DRAWN if alert in {drawn_one for _, drawn_one in drawn}]
    assert not found, report(found)


def test_a_services_own_threshold_colours_its_own_value(project: Path, edit: Edit) -> None:
    def panels() -> dict[tuple[str, str], Panel]:
        page = next(page for page in dashboards.pages(load("dev", root=project)) if page.uid == dashboards.HOME)
        return {(panel.document["type"], panel.title): panel for panel in Dashboard(page.document).panels}

    def values(panel: Panel) -> list[list[float | None]]:
        return [[step["value"] for step in each["steps"]] for each in overridden(panel, "thresholds")]

    figure, graph = ("stat", "Slowest P99"), ("timeseries", "Latency")
    assert [values(panels()[each]) for each in (figure, graph)] == [[[None, 2]], [[None, 2]]]
    edit(
        "configs/services.yaml",
        "      BlockchainNodeNotSynced: {threshold: 7200}\n",
        "      APILatencyCritical: {threshold: 4.5}\n",
    )
    found = panels()
    assert values(found[figure]) == [[None, 2], [None, 4.5]]
    (override,) = found[figure].document["fieldConfig"]["overrides"]
    assert re.fullmatch(r"/\^[a-z-]+\( \|\$\)/", override["matcher"]["options"])
    # A graph draws one set of lines, and says in words whose is another.
    assert values(found[graph]) == [[None, 2]]
    assert "4.5" in found[graph].document["description"]
