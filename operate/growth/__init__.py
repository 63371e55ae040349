"""`make capacity`: what grows, when it reaches its limit, and what to change by when.

Everything comes from the Prometheus of the stack, a value an hour of each quantity. How a trend is found and how sure
it is stands in trend.py.
"""

from __future__ import annotations

import argparse
import time

from infra import assembly
from infra.errors import InputError
from infra.stack import load
from operate import api, pages
from operate.growth import quantities, readings, report
from operate.growth.trend import LEAST_DAYS
from operate.progress import step


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `capacity`."""
    parser.add_argument("--days", default="30", help="how far back to look (default: 30)")
    parser.add_argument("--prometheus", metavar="URL", help="whom to ask (default: the stack's)")


def run(options: argparse.Namespace) -> int:
    """Say what grows, when it reaches its limit, and what to change by when."""
    days = api.days(options.days)
    if days < LEAST_DAYS:
        raise InputError(f"DAYS is {days}; a trend needs {LEAST_DAYS} days at least, two of each weekday.")
    stack = load(options.stack)
    source, now = api.prometheus(stack, options.prometheus), time.time()
    with step(f"reading {days} days from {source.name}"):
        wanted = quantities.of(stack, assembly.workloads(stack))
        found = tuple(readings.read(source, wanted, days, now))
    if all(reading.today is None for reading in found):
        raise InputError(
            f"{source.name} has no history of anything that is looked at; let the stack run, or name another "
            "Prometheus with --prometheus."
        )
    result = report.Report(stack.name, days, now, found)
    result.print()
    page = pages.write(stack.name, "capacity", result.page(), result.figures())
    print(f"{pages.shown(page)}: every quantity, with its history and where it goes")
    return 0
