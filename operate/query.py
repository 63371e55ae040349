"""`make query Q='...'`: what an expression gives on a stack now; the runbooks' checks ask with it."""

import argparse
import sys
from typing import Any
from urllib.parse import quote

import requests
from rich import box
from rich.console import Console
from rich.table import Table

from infra import stack
from infra.errors import InputError
from infra.stack import Stack
from operate import cluster, status

PATH = "/api/v1/query?query="
Series = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("expression", help="PromQL")


def run(options: argparse.Namespace) -> int:
    """Evaluate a PromQL expression on the stack's Prometheus and print its series."""
    if not options.expression.strip():
        raise InputError("nothing to ask for; say what: make query Q='up == 0'.")
    show(ask(stack.load(options.stack), options.expression))
    return 0


def ask(current: Stack, expression: str) -> list[Series]:
    """The series of an instant query, each with `metric` and `value`. Raises InputError with Prometheus' own words."""
    answer = _answer(current, PATH + quote(expression))
    if answer is None:
        raise InputError(
            f"the Prometheus of stack {current.name} does not answer; "
            f"`make status STACK={current.name}` says what runs."
        )
    if answer["status"] != "success":
        raise InputError(f"Prometheus cannot evaluate this: {answer['error']}; correct the expression.")
    data = answer["data"]
    if data["resultType"] == "scalar":
        return [{"metric": {}, "value": data["result"]}]
    if data["resultType"] != "vector":
        raise InputError(f"this gives a {data['resultType']}, a table shows one value a series; wrap it in a function.")
    result: list[Series] = data["result"]
    return result


def _answer(current: Stack, path: str) -> Any:
    if current.settings.target == "kubernetes":
        return cluster.Cluster(current).ask_prometheus(path)
    try:
        return requests.get(status.prometheus(current) + path, timeout=30).json()
    except (requests.RequestException, ValueError):
        return None


def show(found: list[Series]) -> None:
    """Print the series, largest value first; labels that all of them share stand once, above."""
    if not found:
        print("no series: nothing has these labels, or no value meets the condition")
        return
    metrics = [series["metric"] for series in found]
    shared = {k: v for k, v in metrics[0].items() if len(metrics) > 1 and all(m.get(k) == v for m in metrics)}
    names = sorted({name for metric in metrics for name in metric} - shared.keys())
    if shared:
        print("all: " + ", ".join(f"{name}={value}" for name, value in sorted(shared.items())))
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        grid.add_column(name, overflow="fold")
    grid.add_column("value", justify="right")
    for series in sorted(found, key=lambda s: -float(s["value"][1])):
        grid.add_row(*(series["metric"].get(name, "") for name in names), series["value"][1])
    Console(width=None if sys.stdout.isatty() else 160).print(grid)
