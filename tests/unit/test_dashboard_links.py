"""Every click leads somewhere: dashboards that exist, variables they have, labels the value bears."""

import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from infra.dashboards import HOME
from operate.dashboards.reading import Dashboard, Panel
from tests.labels import Reader
from tests.unit.boards import Asked, columns, overridden, report

KEPT = ("${__url_time_range}", "${environment:queryparam}")


def links(panel: Panel) -> Iterator[str]:
    """The addresses a value of the panel links to."""
    for found in overridden(panel, "links"):
        yield from (link["url"] for link in found)


def bears(board: Dashboard, panel: Panel, url: str, reader: Reader, uids: list[str]) -> Iterator[str]:
    """What a link reads of a value that the value does not have."""
    for label in re.findall(r"\$\{__field\.labels\.(\w+)\}", url):
        for query in panel.queries:
            each = Asked(board, panel, panel.title, query)
            if query.source == "prometheus" and not reader.labels(each.filled()).has(label):
                yield f"reads the label {label}, which {query.expr} does not leave"
            if query.source == "loki" and label not in re.findall(
                r"\w+", "".join(re.findall(r"by \(.*?\)", query.expr))
            ):
                yield f"reads the label {label}, which {query.expr} does not leave"
    for field in re.findall(r"/d/\$\{__data\.fields\.(.+?)\}", url):
        # The label that a rule's annotation `dashboard` becomes.
        places = {"catalog:alert:dashboard"} if field == "Dashboard" else set()
        written = {
            rule["labels"]["dashboard"]
            for _, rule in reader.known.rules
            if rule.get("record") in places and all(rule["record"] in query.expr for query in panel.queries)
        }
        yield from (f"leads to /d/{uid}, which is not there" for uid in sorted(written - set(uids)))
        if not written:
            yield f"leads to what {field} says, which no query writes"
    for field in re.findall(r"\$\{__data\.fields\.(.+?)\}", url):
        if panel.document["type"] != "table" or field not in columns(panel)[1].values():
            yield f"reads the column {field}, which is not there"


def leads(url: str, boards: dict[str, Dashboard]) -> Iterator[str]:
    """Where a link goes that is not there."""
    parts = urlsplit(url)
    if parts.path == "/explore":
        yield from _explore(url)
        return
    uid = parts.path.removeprefix("/d/")
    if "${__data.fields." in uid:
        return
    if not parts.path.startswith("/d/") or uid not in boards:
        yield f"leads to {parts.path}, which is not there"
        return
    yield from (f"forgets {name}" for name in KEPT if name not in parts.query.split("&"))
    known = {variable["name"] for variable in boards[uid].document["templating"]["list"]}
    for name, _ in parse_qsl(parts.query):
        if name.startswith("var-") and name.removeprefix("var-") not in known:
            yield f"sets {name} on {uid}, which has {', '.join(sorted(known))}"


def _explore(url: str) -> Iterator[str]:
    state = json.loads(unquote(url.partition("left=")[2]))
    (query,) = state["queries"]
    if state["datasource"] != "${logs}" or not re.match(r'\{service_name="', query["expr"]):
        yield f"asks {state['datasource']} for {query['expr']}"
    if state["range"] != {"from": "${__from}", "to": "${__to}"}:
        yield f"forgets the time: {state['range']}"


def faults(board: Dashboard, panel: Panel, url: str, boards: list[Dashboard], reader: Reader) -> list[str]:
    """What is wrong with a link of a panel, a sentence each."""
    return [
        *leads(url, {each.uid: each for each in boards}),
        *bears(board, panel, url, reader, [each.uid for each in boards]),
    ]


def test_every_link_leads_somewhere(boards: list[Dashboard], reader: Reader) -> None:
    followed = [(board, panel, url) for board in boards for panel in board.panels for url in links(panel)]
    assert followed
    found = [
        f"{board.uid}: {panel.title}: {fault}"
        for board, panel, url in followed
        for fault in faults(board, panel, url, boards, reader)
    ]
    assert not found, report(found)


def test_every_dashboard_is_reached_by_a_click_on_a_value(boards: list[Dashboard]) -> None:
    reached = {
        urlsplit(url).path.removeprefix("/d/")
        for board in boards
        for panel in board.panels
        for url in links(panel)
        if not url.startswith(f"/d/{board.uid}?")
    }
    assert {board.uid for board in boards} <= reached | {HOME}


def test_an_alerts_link_sets_variables_that_dashboards_have(boards: list[Dashboard], reader: Reader) -> None:
    known = {variable.name for board in boards for variable in board.variables}
    urls = {rule["annotations"]["dashboard_url"] for _, rule in reader.known.rules if "alert" in rule}
    chosen = {name for url in urls for name in re.findall(r"var-(\w+)=", url)}
    # Those that are named for the label they choose by.
    chosen |= {
        name for url in urls for names in re.findall(r'match "\^\(([\w|]+)\)\$"', url) for name in names.split("|")
    }
    assert "service" in chosen
    assert chosen <= known


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("/d/system-health?${__url_time_range}&${environment:queryparam}&var-service=${__field.labels.service}", ""),
        ("/d/nowhere?${__url_time_range}&${environment:queryparam}", "leads to /d/nowhere"),
        ("/d/system-health?${environment:queryparam}", "forgets ${__url_time_range}"),
        ("/d/system-health?${__url_time_range}&${environment:queryparam}&var-host=a", "sets var-host"),
        (
            "/d/system-health?${__url_time_range}&${environment:queryparam}&var-service=${__field.labels.route}",
            "reads the label route",
        ),
        (
            "/d/system-health?${__url_time_range}&${environment:queryparam}&var-service=${__data.fields.Service}",
            "reads the column Service",
        ),
    ],
)
def test_a_link_that_leads_nowhere_is_found(boards: list[Dashboard], reader: Reader, url: str, fault: str) -> None:
    home = next(board for board in boards if board.uid == "system-health")
    panel = next(panel for panel in home.panels if panel.title == "Latency")
    found = faults(home, panel, url, boards, reader)
    assert (fault in found[0]) if fault else not found
