"""The quiet week: a simulated week of normal traffic must wake nobody.

Normal traffic has nights, a weekend, deployments, an hour without any traffic, nightly backups and small
mishaps (week.py). Its samples are written into a real Prometheus, and the deployed rules are replayed over it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from infra.errors import InputError
from infra.stack import Stack, load
from operate import tools
from operate.progress import step
from operate.quiet_week import simulation, targets
from operate.quiet_week.report import WARNINGS_BOUND, Report
from operate.quiet_week.tsdb import Tsdb
from operate.quiet_week.week import FAULTS, Week


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `quiet-week`."""
    parser.add_argument("--days", type=int, default=7, help="length, from a Monday on (default: 7)")
    parser.add_argument("--scrape", type=int, default=15, help="seconds between samples (default: 15)")
    broken = "; ".join(f"{name}: {fault.what}" for name, fault in FAULTS.items())
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        choices=sorted(FAULTS),
        help=f"break something, to see the page ({broken})",
    )
    parser.add_argument("--show", action="store_true", help="leave Prometheus up at the end, to look at the week")


def run(options: argparse.Namespace) -> int:
    """Replay the rules over a simulated week of normal traffic, which must wake nobody."""
    if not 1 <= options.days <= 9 or not 5 <= options.scrape <= 60:
        raise InputError("quiet-week: --days must be 1 to 9 and --scrape 5 to 60 seconds.")
    current = load(options.stack)
    if current.settings.target == "kubernetes":
        raise InputError(
            f"quiet-week: stack {current.name} runs on Kubernetes, where only the cluster knows the targets; replay a "
            "stack on Docker: make quiet-week STACK=dev."
        )
    report = quiet_week(current, options.days * 24, options.scrape, options.fault, show=options.show)
    report.print()
    return 0 if report.quiet else 1


def quiet_week(
    stack: Stack, hours: int = 168, scrape: int = 15, faults: Iterable[str] = (), show: bool = False
) -> Report:
    """Simulate `hours` hours sampled every `scrape` seconds, with some of FAULTS or without, and replay the rules.

    Raises InputError when a rule reads a metric whose normal behaviour no table of this package says.
    """
    deployed = targets.deployment(stack)
    wanted = targets.needed(deployed)
    week = Week(tuple(service.name for service in stack.catalog.services), hours, scrape, frozenset(faults))
    folder = Path(tempfile.mkdtemp(prefix="quiet-week-"))
    prometheus, promtool = tools.ensure("prometheus"), tools.ensure("promtool")
    tsdb = Tsdb(folder, prometheus, promtool, lookback=scrape, interval=deployed.interval)
    try:
        families = targets.families(deployed, wanted)
        with step(f"{hours} hours of {len(wanted)} metrics from {len(deployed.targets)} targets"):
            series, samples = simulation.write(tsdb, week, deployed.facts, families)
        rules = targets.of_alerts(deployed.rules)
        episodes = simulation.replay_rules(tsdb, week.times, rules)
        if show:
            _show(tsdb)
    finally:
        shutil.rmtree(folder)
    return Report(hours, series, samples, len(rules), tuple(episodes))


def _show(tsdb: Tsdb) -> None:
    with tsdb.serve() as url:
        print(f"the week from {Week(()).times[0]:.0f} (2024-01-08) on is at {url}; Ctrl-C ends it", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print()


__all__ = ["FAULTS", "WARNINGS_BOUND", "Report", "arguments", "quiet_week", "run"]
