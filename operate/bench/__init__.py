"""`make bench`: what the stack takes at rest, how fast its dashboards are, and what more series cost."""

import argparse
import os
import platform
import re
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import InputError, first_failure
from infra.settings import ROOT
from infra.stack import Stack, load
from infra.workload import MIB
from operate import pages
from operate.bench import at_rest, report, scale
from operate.bench import page as report_page
from operate.bench.figures import Curve, Machine, Step, Window
from operate.bench.window import NoRoomError
from operate.dashboards import speed
from operate.documents import performance
from operate.documents.performance import Part
from operate.progress import loud

PARTS = ("stack", "dashboards", "scale")
NAME = "bench"


class Figures(BaseModel):
    """All that was measured, as .reports/<stack>/bench.json keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    curve: Curve | None = None
    others: dict[str, Part] = {}

    @property
    def parts(self) -> dict[str, Part]:
        """Every part of docs/PERFORMANCE.md that these figures give, by its name."""
        return {**(report.parts(self.curve) if self.curve else {}), **self.others}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `bench`."""
    parser.add_argument(
        "--only", choices=PARTS, help="measure one part: dashboards and scale need no Docker and touch nothing"
    )
    parser.add_argument(
        "--series",
        default=",".join(map(str, scale.SIZES)),
        metavar="LIST",
        help="scale: the sizes, in series, with commas between (default: %(default)s); ten minutes each",
    )
    parser.add_argument(
        "--rules-beside",
        type=Path,
        metavar="PATH",
        help="scale: rule files, or a folder of them, that are measured beside the deployed ones",
    )
    parser.add_argument(
        "--collection", default="other rules", metavar="NAME", help="scale: how those are named in what is written"
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help=f"measure nothing: write all figures measured so far into {performance.FOLDER} and {performance.FILE}",
    )


def run(options: argparse.Namespace) -> int:
    """Measure the stack, which is stopped and started on the way and left running, the dashboards, and more series."""
    stack = load(options.stack)
    if options.document:
        return _document(stack)
    sizes = scale.sizes(options.series)
    beside = scale.read_rules(options.rules_beside) if options.rules_beside else {}
    good = True
    if options.only in (None, "stack") and stack.settings.target != "docker":
        raise InputError(
            f"stack {stack.name} runs on Kubernetes, and what a start takes is measured by stopping it; "
            "measure stack dev, or a part that touches nothing: ONLY=dashboards, ONLY=scale."
        )
    if options.only in (None, "stack"):
        _keep_part(stack, "at-rest", at_rest.measure(stack))
    if options.only in (None, "dashboards"):
        _keep_part(stack, "dashboards", speed.run(stack))
    if options.only in (None, "scale"):
        good = _scale(stack, sizes, scale.Plan(beside), options.collection if beside else "")
    return 0 if good else 1


def _document(stack: Stack) -> int:
    parts = known(stack).parts
    if not parts:
        raise InputError(f"nothing was measured on stack {stack.name} yet; `make bench` does it.")
    for name in performance.save(ROOT, parts):
        print(name)
    (ROOT / performance.FILE).write_text(performance.text(ROOT))
    print(performance.FILE)
    return 0


def _scale(stack: Stack, sizes: list[int], plan: scale.Plan, collection: str) -> bool:
    """Measure size by size and keep each at once; whether all bounds hold."""
    # Ended by its caller, it stops what it started, as it does when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    good = True
    for size in sizes:
        try:
            step = scale.measure(stack, size, plan)
        except NoRoomError as error:
            loud(f"{size:,} series: {error}")
            _keep_curve(stack, stopped=str(error))
            break
        named = {"collection": collection} if collection else {}
        _keep_curve(stack, step, machine=machine(), **named)
        _say(step)
        good = good and not step.beyond()
    print(f"page: {pages.shown(pages.folder(stack.name) / NAME)}.html")
    return good


def _keep_curve(stack: Stack, step: Step | None = None, **changed: Any) -> None:
    # Another process may have kept a size meanwhile.
    figures = known(stack)
    curve = (figures.curve or Curve(machine=machine())).model_copy(update=changed)
    _keep(stack, figures.model_copy(update={"curve": curve.with_step(step) if step else curve}))


def _say(step: Step) -> None:
    window, restart = step.ruled, step.restart
    each = step.peak / 1024 / step.head
    bare = f" ({step.unruled.cores:.3f} without rules)" if step.unruled else ""
    told = [
        ("head", f"{step.head:,} series of {step.targets:,} targets, {window.samples:,.0f} samples a second"),
        ("memory", f"{step.resident / MIB:.0f} MiB, at most {step.peak / MIB:.0f}: {each:.1f} KiB for a series"),
        ("processor", f"{window.cores:.3f} cores{bare}; all other programs {window.others:.2f}"),
        ("rules", _evaluated(window)),
        ("scrapes", f"at most {step.scrapes.worst:.3f} s; {step.scrapes.lost} failed or missing"),
    ]
    if step.beside:
        told.append(("beside", f"{_evaluated(step.beside)}; {step.beside.cores:.3f} cores"))
    if restart:
        told.append(("restart", f"alerts are evaluated {restart.evaluated:.1f} s after a start"))
    if step.pages:
        slowest = max(step.pages, key=lambda page: max(page.instant, page.range))
        total = sum(page.seconds for page in step.pages)
        took = f"{max(slowest.instant, slowest.range):.2f} s on {slowest.dashboard}"
        told.append(("dashboards", f"{total:.1f} s; slowest query {took}"))
    for name, text in told:
        print(f"  {name:12}{text}", flush=True)
    for one in step.beyond():
        print(f"  BEYOND      {one}", flush=True)


def _evaluated(window: Window) -> str:
    worst = window.slowest
    took = f"{worst.name} took {worst.worst:.3f} s of {worst.interval:.0f} s"
    return f"{window.rules} rules, {took}, {window.missed} evaluations missed"


def known(stack: Stack) -> Figures:
    """What was measured so far. Raises InputError where the file of it is not one."""
    path = pages.folder(stack.name) / f"{NAME}.json"
    if not path.exists():
        return Figures()
    try:
        return Figures.model_validate_json(path.read_text())
    except ValidationError as error:
        reason = first_failure(pages.shown(path), error)
        raise InputError(f"{reason} It is of another version: remove it and measure again.") from None


def _keep_part(stack: Stack, name: str, part: Part) -> None:
    figures = known(stack)
    where = machine()
    described = part.model_copy(update={"machine": report.where(where), "day": where.day})
    _keep(stack, figures.model_copy(update={"others": {**figures.others, name: described}}))


def _keep(stack: Stack, figures: Figures) -> None:
    page = report_page.page(f"What stack {stack.name} takes", figures.curve, figures.parts)
    pages.write(stack.name, NAME, page, figures.model_dump(mode="json"))


def machine() -> Machine:
    """This machine, without its name."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    processor = found[1].strip() if found else platform.machine()
    return Machine(
        cores=os.cpu_count() or 1, processor=processor, memory=memory, day=time.strftime("%Y-%m-%d", time.gmtime())
    )
