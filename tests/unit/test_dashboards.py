"""What every dashboard is made of: a grid without holes, panels that explain themselves, the way to the others."""

import copy
import json
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest

from infra import documents
from infra.components import grafana
from infra.dashboards import HOME
from infra.stack import load
from operate.dashboards.reading import Dashboard
from tests.unit.boards import report

COLUMNS = 24
SOURCES = {"prometheus": "${environment}", "loki": "${logs}"}
WRONG = "When it looks wrong: "


def grid(board: Dashboard) -> Iterator[str]:
    """Panels on top of each other, beside the page, or with a hole at their left."""
    panels = board.document["panels"]
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > COLUMNS or place["w"] < 1 or place["h"] < 1:
            yield f"{panel['title']} does not fit: {place}"
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in _lines(place)):
            if cell in taken:
                yield f"{panel['title']} lies on {taken[cell]}"
                break
            taken[cell] = panel["title"]
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] and (place["x"] - 1, place["y"]) not in taken:
            yield f"{panel['title']} has a hole at its left"
    for one, other in combinations(panels, 2):
        if one["id"] == other["id"]:
            yield f"{one['title']} and {other['title']} have the same id"


def _lines(place: dict[str, int]) -> range:
    return range(place["y"], place["y"] + place["h"])


def dress(board: Dashboard) -> Iterator[str]:
    """Panels that do not say what they show, or ask a data source that cannot be chosen."""
    titles = [(panel.title, panel.document["type"]) for panel in board.panels]
    yield from (f"{title} stands there twice" for title, kind in set(titles) if titles.count((title, kind)) > 1)
    for panel in board.panels:
        document = panel.document
        defaults = document["fieldConfig"]["defaults"]
        what, _, wrong = document.get("description", "").partition(WRONG)
        lacking = [
            name
            for name, there in {
                "title": document.get("title", "").strip(),
                "queries": panel.queries,
                "unit": defaults.get("unit"),
                "decimals": "decimals" in defaults,
                "text for no value": defaults.get("noValue"),
                "description": what.strip(),
                "what to do when it looks wrong": wrong.strip(),
            }.items()
            if not there
        ]
        yield from (f"{panel.title} has no {name}" for name in lacking)
        for part in (document, *document.get("targets", [])):
            source = part.get("datasource", {})
            if source not in [{"type": kind, "uid": uid} for kind, uid in SOURCES.items()]:
                yield f"{panel.title} asks {source or 'the default data source'}"


def page(board: Dashboard) -> Iterator[str]:
    """What is not as on every other dashboard."""
    document = board.document
    if document["tags"] != ["mycrypto"]:
        yield f"its tags are {document['tags']}"
    if document["refresh"] != "30s":
        yield f"it refreshes every {document['refresh']}"
    if not document.get("description", "").strip():
        yield "it has no description"
    marks = {each["name"]: each for each in document["annotations"]["list"] if each["enable"]}
    for name, metric in {"Alerts": "alert:fired:count", "Deployments": "version:service_build_info:deployed"}.items():
        if metric not in marks.get(name, {}).get("expr", ""):
            yield f"its graphs do not mark {name.lower()}"
    ways = [link for link in document["links"] if link["type"] == "dashboards"]
    if not any(w["keepTime"] and w["includeVars"] and w["asDropdown"] and w["tags"] == ["mycrypto"] for w in ways):
        yield "no list of the other dashboards that keeps time and variables"
    first = [panel for panel in document["panels"] if panel["gridPos"]["y"] == 1]
    if {panel["type"] for panel in first} != {"stat"} or not 4 <= len(first) <= 6:
        yield "its first row is not four to six figures"
    if sum(panel["gridPos"]["w"] for panel in first) != COLUMNS:
        yield "its first row does not fill the line"


CHECKS = (grid, dress, page)


def test_every_dashboard_is_whole(boards: list[Dashboard]) -> None:
    assert HOME in [board.uid for board in boards]
    found = [f"{board.uid}: {fault}" for board in boards for check in CHECKS for fault in check(board)]
    assert not found, report(found)


def _panel(document: dict[str, Any]) -> dict[str, Any]:
    panel: dict[str, Any] = next(p for p in document["panels"] if p["type"] == "stat")
    return panel


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda d: _panel(d).update(id=1), "have the same id"),
        (lambda d: _panel(d)["gridPos"].update(x=3), "lies on Services down"),
        (lambda d: _panel(d)["gridPos"].update(w=3), "Dependencies down has a hole at its left"),
        (lambda d: d["panels"][-1]["gridPos"].update(w=24), "does not fit"),
        (lambda d: _panel(d).update(title="Dependencies down"), "Dependencies down stands there twice"),
        (lambda d: _panel(d).update(description="Services that do not answer."), "has no what to do when"),
        (lambda d: _panel(d)["fieldConfig"]["defaults"].pop("unit"), "has no unit"),
        (lambda d: _panel(d)["fieldConfig"]["defaults"].pop("decimals"), "has no decimals"),
        (lambda d: _panel(d)["fieldConfig"]["defaults"].update(noValue=""), "has no text for no value"),
        (lambda d: _panel(d)["targets"][0].update(datasource={"type": "prometheus", "uid": "abc"}), "asks {'type'"),
        (lambda d: _panel(d).pop("datasource"), "asks the default data source"),
        (lambda d: d.update(refresh="1m"), "refreshes every 1m"),
        (lambda d: d["annotations"]["list"][0].update(enable=False), "do not mark alerts"),
        (lambda d: d["links"][0].update(keepTime=False), "no list of the other dashboards"),
        (lambda d: _panel(d).update(type="table"), "its first row is not four to six figures"),
    ],
)
def test_what_is_not_whole_is_found(
    boards: list[Dashboard], spoil: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    document = copy.deepcopy(next(board for board in boards if board.uid == HOME).document)
    spoil(document)
    found = [fault for check in CHECKS for fault in check(Dashboard(document))]
    assert any(sentence in fault for fault in found), found


def test_grafana_finds_every_dashboard_in_its_folder(boards: list[Dashboard]) -> None:
    files = {file.path: file.content for file in grafana.build(load("dev")).config_files}
    (provider,) = documents.load(files["/etc/grafana/provisioning/dashboards/dashboards.yml"])["providers"]
    assert (provider["type"], provider["folder"], provider["folderUid"]) == ("file", "MyCrypto", "mycrypto")
    folder = provider["options"]["path"]
    placed = {path: json.loads(text) for path, text in files.items() if path.startswith(f"{folder}/")}
    assert placed == {f"{folder}/{board.uid}.json": board.document for board in boards}
    assert grafana.build(load("dev")).env["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in placed


def test_no_two_dashboards_have_one_name(boards: list[Dashboard]) -> None:
    for name in ("uid", "title"):
        names = [board.document[name] for board in boards]
        assert len(set(names)) == len(names)
    # The longest that Grafana's database takes.
    assert all(len(board.uid) <= 40 for board in boards)


def test_data_sources_are_chosen_among_those_that_are_provisioned(boards: list[Dashboard]) -> None:
    stack = load("dev")
    sources = documents.load(documents.dump(grafana.datasources(stack.settings)))["datasources"]
    assert {source["type"] for source in sources} == set(SOURCES)
    for board in boards:
        chosen = {v["name"]: v["query"] for v in board.document["templating"]["list"] if v["type"] == "datasource"}
        assert {f"${{{name}}}": kind for name, kind in chosen.items()} == {v: k for k, v in SOURCES.items()}, board.uid
