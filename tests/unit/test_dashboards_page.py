"""The dashboards as one HTML page: drawn from saved answers, and what it says where there are none."""

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from infra.dashboards import pages
from infra.dashboards.kit import frame, panels, tables
from infra.dashboards.kit.frame import UP, Query
from infra.dashboards.kit.limits import CRITICAL, GOOD, SOME_EXPECTED, WARNING, Limits
from infra.dashboards.kit.page import Draft
from infra.dashboards.kit.tables import Column
from infra.dashboards.kit.units import COUNT, FINE_RATIO, RATIO
from infra.errors import InputError
from infra.stack import load
from operate.dashboards import picture, snapshot
from operate.dashboards.reading import Dashboard
from operate.dashboards.values import written
from tests.unit.loopback import LOOPBACK, closed_port

END, RANGE, STEP = 1_700_000_100, 300, 60
SAID: Any = {"what": "What it shows.", "wrong": "What to do."}
TUNED = Limits(0.01, 0.05, special={"patient": Limits(0.1, 0.5)})


def options(tmp_path: Path, **given: Any) -> Namespace:
    defaults = {"prometheus": None, "loki": None, "snapshot": None, "save_snapshot": None, "range": "3h"}
    return Namespace(stack="dev", output=tmp_path / "page.html", **{**defaults, **given})


def saved(tmp_path: Path, **answers: Any) -> Path:
    """A snapshot as --save-snapshot writes it, with answers by the query's expression."""
    kinds = {"line": "prometheus range", "state": "prometheus range", "lines": "loki lines"}
    document = {
        f"{kinds.get(expr, 'prometheus instant')} {expr}": {"error": "", "series": [], **answer}
        for expr, answer in answers.items()
    }
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps({"end": END, "range": RANGE, "step": STEP, "answers": document}))
    return path


def now(*values: tuple[dict[str, str], str]) -> dict[str, Any]:
    return {"series": [{"labels": labels, "samples": [[END, value]]} for labels, value in values]}


def over_time(samples: list[tuple[int, str]], **labels: str) -> dict[str, Any]:
    """One series with samples so many steps before the end."""
    return {"series": [{"labels": labels, "samples": [[END - back * STEP, value] for back, value in samples]}]}


def drawn(tmp_path: Path, panel: frame.Panel, **answers: Any) -> str:
    """The panel's part of the page."""
    dashboard = Dashboard(Draft("some", "Some page", "", []).row("Some row", panel).page().document)
    page = picture.html([dashboard], snapshot.read(saved(tmp_path, **answers)), "dev")
    found = re.findall(r'<section class="panel.*?</section>', page, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_every_panel_and_row_of_every_dashboard_is_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert picture.run(options(tmp_path, snapshot=saved(tmp_path))) == 0
    text = (tmp_path / "page.html").read_text().replace(get_plotlyjs(), "")
    assert not re.search(r"<(link|img|script)[^>]* (href|src)=|@import|url\(", text), "the page needs more than itself"
    page = unescape(text)
    documents = [each.document for each in pages(load("dev"))]
    for document in documents:
        assert f"<h1>{document['title']}</h1>" in page
        assert not [each["title"] for each in document["panels"] if f">{each['title']}<" not in page]
    assert f"page.html: {len(documents)} dashboards" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("service", "value", "text", "colour"),
    [
        ("some", "0.002", "0.20%", GOOD),
        ("some", "0.02", "2.00%", WARNING),
        ("some", "0.05", "5.00%", CRITICAL),
        ("patient", "0.05", "5.00%", GOOD),
        ("patient two", "0.2", "20.00%", WARNING),
        ("patience", "0.2", "20.00%", CRITICAL),
    ],
)
def test_a_number_has_the_colour_of_its_threshold(
    tmp_path: Path, service: str, value: str, text: str, colour: str
) -> None:
    number = panels.number("Errors", Query("ratio", "{{service}}"), unit=FINE_RATIO, limits=TUNED, **SAID)
    section = drawn(tmp_path, number, ratio=now(({"service": service}, value)))
    assert f"background:{colour}" in section
    assert f">{service}</span>" in section
    assert f"<b>{text}</b>" in section


def test_what_is_not_there_is_said_in_the_panels_words(tmp_path: Path) -> None:
    number = panels.number("Errors", Query("ratio"), unit=RATIO, absent="no traffic", **SAID)
    assert "<b>no traffic</b>" in drawn(tmp_path, number, ratio=now())
    graph = panels.graph("Errors", [Query("line")], unit=RATIO, **SAID)
    assert ">no data<" in drawn(tmp_path, graph, line={"series": []})


def test_a_query_that_failed_says_so_in_its_panel(tmp_path: Path) -> None:
    graph = panels.graph("Errors", [Query("line", "good"), Query("other")], unit=RATIO, **SAID)
    section = drawn(tmp_path, graph, line=over_time([(1, "1")]))
    assert "Query failed: the snapshot has no answer" in section
    assert ">good</th>" in section
    number = panels.number("Errors", Query("ratio"), unit=RATIO, **SAID)
    assert "Query failed: parse &lt;error&gt;" in drawn(tmp_path, number, ratio={"error": "parse <error>"})


def test_a_graph_keeps_its_gaps_and_draws_its_limits(tmp_path: Path) -> None:
    graph = panels.graph("Errors", [Query("line", "{{service}}")], unit=RATIO, limits=TUNED, maximum=1, **SAID)
    section = drawn(tmp_path, graph, line=over_time([(5, "0.5"), (4, "NaN"), (1, "0.25")], service="some"))
    data = json.loads(re.findall(r'json">(.*?)</script>', section)[0])
    assert [trace["y"] for trace in data["traces"]] == [[0.5, None, None, None, 0.25, None]]
    assert data["limits"] == [[0.01, WARNING], [0.05, CRITICAL]]
    assert data["ticks"] == [
        [0, "0%"],
        [0.2, "20%"],
        [0.4, "40%"],
        [pytest.approx(0.6), "60%"],
        [0.8, "80%"],
        [1, "100%"],
    ]
    assert "<td>25.0%</td><td>50.0%</td>" in section


def test_a_table_merges_its_queries_and_sorts(tmp_path: Path) -> None:
    columns = [
        Column("State", "up", COUNT, SOME_EXPECTED, UP),
        Column("Errors", "errors", RATIO),
    ]
    table = tables.rows("Services", ["service"], columns, sort="Errors", absent="-", **SAID)
    first, second, third = ({"service": name} for name in ("first", "second", "third"))
    section = drawn(
        tmp_path, table, up=now((first, "1"), (second, "0"), (third, "1")), errors=now((first, "0.1"), (second, "0.2"))
    )
    cells = re.findall(r"<t[hd]\b[^>]*>([^<]*)", section[section.index("<table") :])
    assert cells == [
        "Service",
        "State",
        "Errors",
        "second",
        "down",
        "20.0%",
        "first",
        "up",
        "10.0%",
        "third",
        "up",
        "-",
    ]
    assert re.findall("background:(#[0-9A-F]{6})", section) == [CRITICAL]


def test_bars_states_and_log_lines(tmp_path: Path) -> None:
    bars = panels.bars("Disks", Query("used", "{{disk}}"), unit=RATIO, maximum=1, limits=Limits(0.8), **SAID)
    section = drawn(tmp_path, bars, used=now(({"disk": "/"}, "0.5"), ({"disk": "/data"}, "0.9")))
    assert re.findall(r"width:([\d.]+%);background:(#\w+)", section) == [("50.0%", GOOD), ("90.0%", WARNING)]

    states = panels.states("Up", Query("state", "{{service}}"), texts=UP, limits=SOME_EXPECTED, **SAID)
    strips = over_time([(4, "1"), (3, "1"), (2, "0"), (1, "1"), (0, "1")], service="some")
    assert re.findall(r'title="(\w+), 22:(\d\d) to 22:(\d\d)', drawn(tmp_path, states, state=strips)) == [
        ("up", "11", "13"),
        ("down", "13", "14"),
        ("up", "14", "15"),
    ]

    logs = panels.lines("Errors", "lines", **SAID)
    said = over_time([(2, "<b>older</b>"), (1, "newer")], detected_level="error")
    section = drawn(tmp_path, logs, lines=said)
    assert section.index("newer") < section.index("&lt;b&gt;older&lt;/b&gt;")
    assert section.count('<li class="bad">') == 2


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (1234.0, "short", 2, "1.23 K"),
        (0.05, "short", 2, "0.05"),
        (5e6, "short", 0, "5 Mil"),
        (0.1234, "percentunit", 1, "12.3%"),
        (0.245, "s", 1, "245.0 ms"),
        (0, "s", 1, "0 s"),
        (5400, "s", 1, "1.5 hour"),
        (1536, "bytes", 1, "1.5 KiB"),
        (2500, "Bps", 1, "2.5 kB/s"),
        (39.84, "reqps", 1, "39.8 req/s"),
        (12345, "currencyUSD", 0, "$12K"),
        (90.4, "suffix: days", 0, "90 days"),
        (1.25, "x", 1, "1.2 x"),
        (-0.0001, "none", 0, "0"),
        (float("nan"), "short", 0, "NaN"),
    ],
)
def test_values_are_written_as_grafana_writes_them(value: float, unit: str, decimals: int, text: str) -> None:
    assert written(value, unit, decimals) == text


class Prometheus(BaseHTTPRequestHandler):
    """Answers every query with one series, except one that it refuses."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(address.query).items()}
        result: dict[str, Any] = {"metric": {"service": "some"}}
        if address.path.endswith("query_range"):
            result["values"] = [[int(asked["start"]), "1"], [int(asked["end"]), asked["step"]]]
        else:
            result["value"] = [0, "7"]
        good = {"status": "success", "data": {"resultType": "any", "result": [result]}}
        refused = asked["query"] == "refused"
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "error", "error": "no such thing"} if refused else good).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the answers are what counts."""


@pytest.fixture
def prometheus() -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), Prometheus)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_asked_can_be_saved_and_drawn_again(tmp_path: Path, prometheus: str) -> None:
    draft = Draft("some", "Some page", "", []).row(
        "Some row",
        panels.number("Now", Query("instant"), unit=COUNT, **SAID),
        panels.number("Not", Query("refused"), unit=COUNT, **SAID),
        panels.graph("Over time", [Query("range")], unit=COUNT, **SAID),
        panels.lines("Lines", "lines", **SAID),
    )
    dashboard = Dashboard(draft.page().document)
    taken = snapshot.take([dashboard], prometheus, f"http://{LOOPBACK}:{closed_port()}", 3 * 3600)
    assert (taken.step, taken.end % taken.step, taken.range) == (36, 0, 10800)
    answers = {key.split()[-1]: answer for key, answer in taken.answers.items()}
    assert [value for _, value in answers["instant"].series[0].samples] == ["7"]
    assert [at for at, _ in answers["range"].series[0].samples] == [taken.start, taken.end]
    assert answers["refused"].error == "no such thing"
    assert "does not answer" in answers["lines"].error
    taken.save(tmp_path / "new" / "snapshot.json")
    again = snapshot.read(tmp_path / "new" / "snapshot.json")
    assert picture.html([dashboard], again, "dev") == picture.html([dashboard], taken, "dev")


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    nobody = f"http://{LOOPBACK}:{closed_port()}"
    with pytest.raises(InputError, match=rf"{nobody}: no Prometheus answers; start the stack with `make up`"):
        picture.run(options(tmp_path, prometheus=nobody))
    with pytest.raises(InputError, match="--range is '3 hours'; give a duration"):
        picture.run(options(tmp_path, range="3 hours"))
    with pytest.raises(InputError, match=r"absent\.json: cannot be read"):
        snapshot.read(tmp_path / "absent.json")
    for text in ("{}", "[]", "<html>", '{"answers": {"one": 1}}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(InputError, match=r"other\.json: no snapshot"):
            snapshot.read(tmp_path / "other.json")
