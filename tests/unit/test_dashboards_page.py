"""The dashboards as one HTML page: drawn from saved answers, and what it says where there are none."""

import json
import re
from argparse import Namespace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from infra.dashboards import pages
from infra.dashboards.kit import frame, panels, tables
from infra.dashboards.kit.frame import UP, Query
from infra.dashboards.kit.limits import CRITICAL, GOOD, NEUTRAL, SOME_EXPECTED, WARNING, Limits
from infra.dashboards.kit.page import Draft
from infra.dashboards.kit.tables import Column
from infra.dashboards.kit.units import COUNT, FINE_RATIO, RATIO
from infra.errors import InputError
from infra.stack import load
from operate.dashboards import picture
from operate.dashboards.drawing import Field
from operate.dashboards.reading import Dashboard
from tests.unit.loopback import LOOPBACK, closed_port

END, STEP = 1_700_000_100, 60
SAID: Any = {"what": "What it shows.", "wrong": "What to do."}
TUNED = Limits(0.01, 0.05, special={"patient": Limits(0.1, 0.5)})


def options(tmp_path: Path, **given: Any) -> Namespace:
    defaults = {"prometheus": None, "loki": None, "snapshot": None, "save_snapshot": None, "range": "3h"}
    return Namespace(stack="dev", output=tmp_path / "page.html", **{**defaults, **given})


def drawn(panel: frame.Panel, **answers: Any) -> str:
    """The panel's part of the page, drawn from answers by the query's expression."""
    kinds = {"line": "prometheus query_range", "lines": "loki query_range"}
    keyed = {f"{kinds.get(expr, 'prometheus query')} {expr}": answer for expr, answer in answers.items()}
    dashboard = Dashboard(Draft("some", "Some page", "", []).row("Some row", panel).page().document)
    page = picture.html([dashboard], {"end": END, "range": 300, "step": STEP, "answers": keyed}, "dev")
    return str(re.findall(r'<section class="panel.*?</section>', page, re.DOTALL)[0])


def now(**values: str) -> list[dict[str, Any]]:
    return [{"metric": {"service": service}, "value": [END, value]} for service, value in values.items()]


def over_time(*samples: tuple[int, str]) -> list[dict[str, Any]]:
    """One series with samples so many steps before the end."""
    return [{"metric": {"service": "some"}, "values": [[END - back * STEP, value] for back, value in samples]}]


def chart(section: str) -> dict[str, Any]:
    return dict(json.loads(unescape(re.findall(r'data-chart="(.*?)"', section)[0])))


def test_every_panel_and_row_is_on_the_page_which_needs_nothing_else(tmp_path: Path) -> None:
    nothing = tmp_path / "snapshot.json"
    nothing.write_text(json.dumps({"end": END, "range": 300, "step": STEP, "answers": {}}))
    assert picture.run(options(tmp_path, snapshot=nothing)) == 0
    text = (tmp_path / "page.html").read_text().replace(get_plotlyjs(), "")
    assert not re.search(r"<(link|img|script)[^>]* (href|src)=|@import|url\(", text)
    titles = [each["title"] for page in pages(load("dev")) for each in [page.document, *page.document["panels"]]]
    assert not [title for title in titles if not re.search(f">{re.escape(title)}[ \xa0<]", unescape(text))]


def test_a_number_has_the_colour_of_its_threshold() -> None:
    number = panels.number("Errors", Query("ratio", "{{service}}"), unit=FINE_RATIO, limits=TUNED, **SAID)
    section = drawn(number, ratio=now(some="0.002", other="0.02", worst="0.05", patient="0.05", patience="0.2"))
    assert re.findall(r"background:(#\w+)", section) == [GOOD, WARNING, CRITICAL, GOOD, CRITICAL]
    assert re.findall(r"<span>(\w+)</span><b>(.*?)</b>", section)[:2] == [("some", "0.20%"), ("other", "2.00%")]


def test_what_is_not_there_or_failed_is_said() -> None:
    number = panels.number("Errors", Query("ratio"), unit=RATIO, limits=TUNED, absent="no traffic", **SAID)
    for nothing in ([], now(some="NaN")):
        assert f'background:{NEUTRAL}"><b>no traffic</b>' in drawn(number, ratio=nothing)
    assert "Query failed: parse &lt;error&gt;" in drawn(number, ratio={"error": "parse <error>"})
    graph = panels.graph("Errors", [Query("line", "good"), Query("other")], unit=RATIO, **SAID)
    section = drawn(graph, line=over_time((1, "1")))
    assert "Query failed: the snapshot has no answer" in section
    assert chart(section)["lines"][0][:2] == ["good", "100.0%"]
    assert ">no data<" in drawn(panels.graph("Errors", [Query("line")], unit=RATIO, **SAID), line=[])


def test_a_graph_keeps_its_gaps_and_draws_its_limits() -> None:
    graph = panels.graph("Errors", [Query("line", "{{service}}")], unit=RATIO, limits=TUNED, maximum=1, **SAID)
    data = chart(drawn(graph, line=over_time((5, "0.5"), (4, "NaN"), (1, "0.25"))))
    assert data["lines"] == [["some", "25.0%", [50, None, None, None, 25, None]]]
    assert data["axis"] == [0, 100, "", "%", 1]
    assert data["limits"] == [[1, WARNING], [5, CRITICAL]]


def test_a_table_merges_its_queries_and_sorts() -> None:
    columns = [Column("State", "up", COUNT, SOME_EXPECTED, UP), Column("Errors", "errors", RATIO)]
    table = tables.rows("Services", ["service"], columns, sort="Errors", absent="-", **SAID)
    section = drawn(table, up=now(first="1", second="0", third="1"), errors=now(first="0.1", second="0.2"))
    cells = re.findall(r"<t[hd]\b[^>]*>([^<]*)", section)
    assert " ".join(cells) == "Service State Errors second down 20.0% first up 10.0% third up -"
    assert re.findall("background:(#[0-9A-F]{6})", section) == [CRITICAL]


def test_bars_states_and_log_lines() -> None:
    bars = panels.bars("Disks", Query("used", "{{service}}"), unit=RATIO, maximum=1, limits=Limits(0.8), **SAID)
    section = drawn(bars, used=now(some="0.5", other="0.9"))
    assert re.findall(r"width:([\d.]+%);background:(#\w+)", section) == [("50.0%", GOOD), ("90.0%", WARNING)]
    states = panels.states("Up", Query("line", "{{service}}"), texts=UP, limits=SOME_EXPECTED, **SAID)
    strips = chart(drawn(states, line=over_time((4, "1"), (3, "1"), (2, "0"), (0, "1"))))["strips"]
    assert strips == [["some", 1, 2, "up", GOOD], ["some", 3, 1, "down", CRITICAL], ["some", 5, 1, "up", GOOD]]
    said = [[f"{END - 9}000000000", "<b>older</b>"], [f"{END}000000000", "newer"]]
    stream = {"stream": {"detected_level": "error"}, "values": said}
    section = drawn(panels.lines("Lines", "lines", **SAID), lines=[stream])
    assert re.findall(r'<li class="error">.*?</time> (.*?)</li>', section) == ["newer", "&lt;b&gt;older&lt;/b&gt;"]


def test_values_read_well() -> None:
    written = """1234 short 2 1.23 K, 0.1234 percentunit 1 12.3%, 0.245 s 1 245.0 ms, 5400 s 1 1.5 hours, 0 s 1 0.0 s,
        1536 bytes 1 1.5 KiB, 2500 Bps 1 2.5 kB/s, 39.84 reqps 1 39.8 req/s, 12345 currencyUSD 0 $12K,
        21.0 locale 1 21, -0.0001 none 0 0, 20 suffix:bp 2 20.00 bp, inf suffix:days 0 ∞ days"""
    for case in written.split(","):
        value, unit, decimals, text = case.split(maxsplit=3)
        field = Field({"fieldConfig": {"defaults": {"unit": unit, "decimals": int(decimals)}}}, "")
        assert field.text(float(value)) == text


def answered(address: str, **_: Any) -> requests.Response:
    """One series for the instant queries of Prometheus, which refuses the others; there is no Loki."""
    if "/loki/" in address:
        raise requests.ConnectionError
    reply, series = requests.Response(), {"metric": {}, "value": [END, "7"]}
    reply.status_code = 200 if address.endswith("/query") else 400
    reply._content = json.dumps({"data": {"result": [series]}}).encode() if reply.ok else b"refused"
    return reply


def test_what_is_asked_can_be_saved_and_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "get", answered)
    saved = tmp_path / "new" / "snapshot.json"
    picture.run(options(tmp_path, save_snapshot=saved))
    first = (tmp_path / "page.html").read_text()
    picture.run(options(tmp_path, snapshot=saved))
    assert (tmp_path / "page.html").read_text() == first
    taken = picture.read(saved)
    assert (taken["step"], taken["end"] % taken["step"], taken["range"]) == (36, 0, 10800)
    errors = {key[:4]: answer["error"][-34:] for key, answer in taken["answers"].items() if isinstance(answer, dict)}
    assert errors == {"loki": "does not answer (ConnectionError).", "prom": "status 400: refused"}


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    nobody = f"http://{LOOPBACK}:{closed_port()}"
    with pytest.raises(InputError, match=rf"{nobody}: no Prometheus answers; start the stack with `make up`"):
        picture.run(options(tmp_path, prometheus=nobody))
    with pytest.raises(InputError, match="--range is '3 hours'; give a duration"):
        picture.run(options(tmp_path, range="3 hours"))
    with pytest.raises(InputError, match=r"absent\.json: cannot be read"):
        picture.read(tmp_path / "absent.json")
    for text in ("{}", "[]", "<html>", '{"end": 1, "range": 1, "step": 1, "answers": [1]}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(InputError, match=r"other\.json: no snapshot"):
            picture.read(tmp_path / "other.json")
