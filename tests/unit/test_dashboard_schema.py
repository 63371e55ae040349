"""Every dashboard is one that Grafana 10.2 reads whole: it passes over what it does not know without a word."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from infra.dashboards import HOME
from operate.dashboards.reading import Dashboard
from tests.unit.boards import report

SCHEMA = json.loads(Path(__file__).with_name("grafana-10.2.schema.json").read_text())


def _validator(schema: dict[str, Any]) -> Draft7Validator:
    return Draft7Validator({**schema, "definitions": SCHEMA["definitions"]})


DOCUMENT = _validator({"$ref": "#/definitions/Document"})
# By the kind of panel and of data source, so that a fault is told of the right one of them.
_PANELS = {
    schema["properties"]["type"]["const"]: schema
    for schema in SCHEMA["definitions"]["Document"]["properties"]["panels"]["items"]["anyOf"]
}
PANELS = {kind: _validator(schema) for kind, schema in _PANELS.items()}
TARGETS = {
    schema["properties"]["datasource"]["properties"]["type"]["const"]: _validator(schema)
    for schema in _PANELS["timeseries"]["properties"]["targets"]["items"]["anyOf"]
}


def faults(document: dict[str, Any]) -> Iterator[str]:
    """What Grafana would not read, one sentence each."""
    parts = [("the page", DOCUMENT, {**document, "panels": []})]
    for panel in document["panels"]:
        if panel["type"] not in PANELS:
            yield f"{panel['title']}: there is no schema of a {panel['type']}; add it to grafana-10.2.schema.ts"
            continue
        targets = panel.get("targets", [])
        emptied = {**panel, "targets": []} if targets else panel
        parts.append((panel["title"], PANELS[panel["type"]], emptied))
        parts += [(panel["title"], TARGETS[target["datasource"]["type"]], target) for target in targets]
    for name, validator, part in parts:
        for error in validator.iter_errors(part):
            inner = best_match([error])
            yield f"{name}: {'/'.join(map(str, inner.absolute_path))}: {inner.message[:200]}"


def test_every_dashboard_is_valid(boards: list[Dashboard]) -> None:
    found = [f"{board.uid}: {fault}" for board in boards for fault in faults(board.document)]
    assert not found, report(found)


def _first(document: dict[str, Any], kind: str) -> dict[str, Any]:
    panel: dict[str, Any] = next(p for p in document["panels"] if p["type"] == kind)
    return panel


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda d: _first(d, "stat")["options"].update(colourMode="value"), "'colourMode' was unexpected"),
        (lambda d: _first(d, "stat")["options"].update(graphMode="bars"), "options/graphMode: 'bars' is not one of"),
        (lambda d: _first(d, "timeseries")["fieldConfig"]["defaults"].update(decimals="2"), "'2' is not of type"),
        (lambda d: _first(d, "timeseries")["targets"][0].pop("expr"), "'expr' is a required property"),
        (lambda d: _first(d, "table")["fieldConfig"]["overrides"][0].pop("matcher"), "'matcher' is a required"),
        (lambda d: _first(d, "timeseries")["targets"][0].update(format="graph"), "format: 'graph' is not one of"),
        (lambda d: d["templating"]["list"][0].update(hide=3), "templating/list/0/hide: 3 is not one of"),
        (lambda d: _first(d, "stat").update(type="singlestat"), "there is no schema of a singlestat"),
        (lambda d: d.pop("uid"), "'uid' is a required property"),
    ],
)
def test_what_grafana_does_not_read_is_found(
    boards: list[Dashboard], spoil: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    document = copy.deepcopy(next(board for board in boards if board.uid == HOME).document)
    spoil(document)
    found = list(faults(document))
    assert any(sentence in fault for fault in found), found
