"""What the dashboards ask: of metrics and labels that are there, whatever is chosen, and never much at once."""

import re
from collections.abc import Iterator
from dataclasses import replace

import promql_parser
import pytest
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, SubqueryExpr, VectorSelector

from operate.dashboards.reading import Dashboard, PanelQuery, escaped
from tests.labels import Labels, Reader
from tests.promql import accepts, selectors
from tests.unit.boards import Asked, asked, columns, report

# Without double quotes, which Grafana 10.2 sends as they are.
ODD = "a.b|c\\d (1)'"
# What follows from the service, is the same in all series of a graph, or says once more what `instance` says.
FOLLOWING = {"job", "service", "team", "tier", "server"}

# Graphs that may read raw samples over a range, each with the reason.
RAW: dict[str, str] = {}


def test_every_metric_and_label_of_every_query_exists(boards: list[Dashboard], reader: Reader) -> None:
    found = [f"{each.place}: {problem}" for each in asked(boards) for problem in reader.problems(each.filled())]
    assert not found, report(found)


def test_every_variable_has_values_to_choose_from(boards: list[Dashboard], reader: Reader) -> None:
    found = []
    for board in boards:
        for variable in board.variables:
            problems = [*reader.problems(variable.metric)]
            if not reader.labels(variable.metric).has(variable.label):
                problems.append(f"{variable.metric} has no label {variable.label}")
            if not any(variable.name in each.query.variables([variable.name]) for each in asked([board])):
                problems.append("no query uses it")
            found += [f"{board.uid}: variable {variable.name}: {problem}" for problem in problems]
    assert not found, report(found)


def chosen_badly(each: Asked) -> Iterator[str]:
    """What a query makes of a chosen value that is not made of letters, and of several."""
    names = [variable.name for variable in each.board.variables]
    for name in each.query.variables(names):
        odd = each.filled({name: escaped(ODD)})
        many = each.filled({name: f"({escaped(ODD)}|other)"})
        for filled, values in ((odd, [ODD]), (many, [ODD, "other"])):
            taken = [
                all(accepts(matcher, value) for value in values) and not accepts(matcher, "aXb")
                for selector in selectors(filled)
                for matcher in selector.matchers.matchers
                if "a\\.b" in matcher.value or matcher.value == ODD
            ]
            if not taken or not all(taken):
                yield f"${name} is not taken as a regular expression: {each.query.expr}"
                break
    left = re.findall(r"\$\{?[a-zA-Z_]\w*", each.filled())
    yield from (f"{name} is not known here" for name in left)


def test_queries_take_whatever_is_chosen(boards: list[Dashboard]) -> None:
    found = [f"{each.place}: {problem}" for each in asked(boards) for problem in chosen_badly(each)]
    assert not found, report(found)


def test_log_queries_select_by_the_one_label_of_the_streams(boards: list[Dashboard]) -> None:
    found = []
    for each in asked(boards, "loki"):
        filled = each.filled()
        (stream,) = re.findall(r"\{([^}]*)\}", filled)
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', "", stream))
        if set(matched) != {"service_name"} or "$" in re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', "", filled):
            found.append(f"{each.place}: {filled}")
    assert not found, report(found)


def unnamed(each: Asked, labels: Labels, alone: bool) -> str:
    """Why a reader cannot tell the lines of a graph's query from each other; nothing if they can be told."""
    named = set(re.findall(r"{{\s*(\w+)\s*}}", each.query.legend))
    silent = each.query.legend in ("", "__auto")
    if silent and (labels.varying or not alone):
        return "its legend says nothing"
    gone = sorted(name for name in named if not labels.has(name))
    if gone:
        return f"its legend names {', '.join(gone)}, which the query does not leave"
    confused = sorted(labels.varying - named - FOLLOWING)
    return f"lines that differ in {', '.join(confused)} have one name" if confused else ""


def test_legends_tell_the_lines_apart(boards: list[Dashboard], reader: Reader) -> None:
    found = []
    for each in asked(boards):
        if each.panel is not None and each.panel.document["type"] != "table":
            labels = reader.labels(each.filled())
            if each.panel.document["type"] == "stat":  # one series, which its title names if no legend does
                labels = replace(labels, fixed=labels.names or frozenset())
            fault = unnamed(each, labels, alone=len(each.panel.queries) == 1)
            found += [f"{each.place}: {fault}: {each.query.expr}"] if fault else []
    assert not found, report(found)


def test_tables_have_a_row_for_each_combination_of_their_labels(boards: list[Dashboard], reader: Reader) -> None:
    found = []
    for each in asked(boards):
        if each.panel is None or each.panel.document["type"] != "table":
            continue
        by, _ = columns(each.panel)
        left = reader.labels(each.filled()).names
        if left is not None and left != set(by):
            found.append(f"{each.place}: has {', '.join(sorted(left))} for {', '.join(by)}: {each.query.expr}")
    assert not found, report(found)


@pytest.fixture(scope="module")
def recorded(reader: Reader) -> dict[str, str]:
    """The series that holds an expression, by the expression; constants are not worth a series."""
    return {
        _normal(str(rule["expr"])): name
        for name, rules in reader.known.recorded.items()
        for rule in rules
        if selectors(str(rule["expr"]))
    }


def heavy(expression: str, reader: Reader, recorded: dict[str, str]) -> list[str]:
    """What an expression computes of raw samples, and what a rule has already recorded."""
    found: list[str] = []

    def visit(node: Expr) -> None:
        if isinstance(node, MatrixSelector | SubqueryExpr | AggregateExpr):
            raw = [s for s in _below(node) if not reader.known.read_by(s)[0]]
            found.extend(f"computes of the raw {selector.name}" for selector in raw)
        if isinstance(node, AggregateExpr | BinaryExpr | Call) and str(node) in recorded:
            found.append(f"is recorded as {recorded[str(node)]}: {node}")

    promql_parser.walk(promql_parser.parse(expression), visit)
    return list(dict.fromkeys(found))


def _normal(expression: str) -> str:
    return str(promql_parser.parse(expression))


def _below(node: Expr) -> list[VectorSelector]:
    if isinstance(node, MatrixSelector):
        return [node.vector_selector]
    return selectors(str(node))


def test_graphs_read_recorded_series(boards: list[Dashboard], reader: Reader, recorded: dict[str, str]) -> None:
    found = {}
    for each in asked(boards):
        if each.is_graph and not each.query.instant:
            # A filter by a variable does not make another aggregation of it.
            plain = re.sub(r'\w+\s*=~\s*"\$\{?\w+\}?",?', "", each.query.expr)
            loads = heavy(replace(each, query=replace(each.query, expr=plain)).filled(), reader, recorded)
            if loads:
                found[each.place] = "; ".join(loads)
    excepted = {place: loads for place, loads in found.items() if place not in RAW}
    assert not excepted, report([f"{place}: {loads}" for place, loads in excepted.items()])
    assert set(RAW) <= set(found), "an exception is no longer needed"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("sum by (service) (rate(http_requests_total[5m]))", "computes of the raw http_requests_total"),
        ("max by (instance) (node_load1)", "computes of the raw node_load1"),
        ("max_over_time(pg_up[1h])", "computes of the raw pg_up"),
        ("max_over_time((pg_up == 0)[1h:1m])", "computes of the raw pg_up"),
    ],
)
def test_heavy_queries_are_found(reader: Reader, recorded: dict[str, str], expression: str, sentence: str) -> None:
    assert sentence in heavy(expression, reader, recorded)
    assert heavy("max by (service) (job:http_error_rate) > 0 or node_load1", reader, recorded) == []


def test_what_is_recorded_already_is_found(reader: Reader, recorded: dict[str, str]) -> None:
    names = {rule["record"]: str(rule["expr"]) for _, rule in reader.known.rules if "record" in rule}
    (found,) = (f for f in heavy(f"1 * ({names['job:http_error_rate']})", reader, recorded) if "is recorded" in f)
    assert "is recorded as job:http_error_rate" in found


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ('up{service="$service"}', "not taken as a regular expression"),
        ('up{service=~"x|$service"}', ""),
        ('label_replace(up, "service", "$service", "", "")', "not taken as a regular expression"),
        ('up{service=~"$servcie"}', "$servcie is not known here"),
        ('rate(up{service=~"$service"}[$__rate_interval])', ""),
    ],
)
def test_a_variable_used_badly_is_found(boards: list[Dashboard], expr: str, fault: str) -> None:
    found = [*chosen_badly(Asked(boards[0], None, "", PanelQuery(expr, "", False, "prometheus")))]
    assert (fault in found[0]) if fault else not found


@pytest.mark.parametrize(
    ("expr", "legend", "fault"),
    [
        ("job:http_error_rate", "__auto", "its legend says nothing"),
        ("job:http_error_rate", "{{route}}", "names route, which the query does not leave"),
        ("job:http_error_rate", "{{service}}", ""),
        ("max by (service, instance) (up)", "{{service}}", "lines that differ in instance have one name"),
        ('max by (service, job) (up{job="node"})', "hosts", ""),
    ],
)
def test_a_legend_that_does_not_tell_lines_apart_is_found(
    boards: list[Dashboard], reader: Reader, expr: str, legend: str, fault: str
) -> None:
    each = Asked(boards[0], None, "", PanelQuery(expr, legend, False, "prometheus"))
    found = unnamed(each, reader.labels(expr), alone=True)
    assert (fault in found) if fault else not found
