"""`make drill`: every alert is provoked on the running stack, and its message must arrive as the test plan says."""

from __future__ import annotations

import argparse
import fcntl
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from infra.errors import InputError, quoted
from infra.stack import Stack, load
from operate import cluster, engine, pages, status
from operate.documents.alert_test_plan import Plan
from operate.drills import delivery, latency, leftover, report, schedule
from operate.drills.cluster_site import ClusterSite
from operate.drills.course import Course, chosen
from operate.drills.ledger import Ledger
from operate.drills.sites import DockerSite, Site
from operate.progress import loud

MOST = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `drill`."""
    parser.add_argument("--alert", default="", metavar="NAMES", help="only these, with commas between (default: all)")
    parser.add_argument("--repeat", metavar="TIMES", help="each of them so often, at random moments; shows percentiles")
    parser.add_argument("--left", action="store_true", help="go on with a run that was stopped, or failed in part")
    parser.add_argument("--delivery", action="store_true", help="break nothing: send every team an alert that says so")
    parser.add_argument("--yes", action="store_true", help="with --delivery: yes, send them")


def run(options: argparse.Namespace) -> int:
    """Provoke alerts for real, watch their messages arrive, heal, and report. Ctrl-C heals and ends."""
    stack = load(options.stack)
    if options.delivery:
        return delivery.run(stack, site_of(stack), options.yes)
    _check_breakable(stack)
    plan = Plan(stack)
    alerts, times = chosen(plan, options.alert), _times(options.repeat)
    before: dict[str, Any] = {}
    if options.left:
        if options.alert or times:
            raise InputError("drill: LEFT goes on with the last run; leave out ALERT and REPEAT.")
        before = _last_run(stack)
        alerts = [alert for alert in alerts if alert.name in before["alerts"]]
    earlier = {name: found for name, found in before.get("alerts", {}).items() if found["good"]}
    site = site_of(stack)
    with _alone(stack):
        ledger = Ledger(pages.folder(stack.name) / "drill.broken.json")
        for name in ledger.names:
            loud(f"a drill that was cut off left {name} broken; it is healed now")
        for name, words in ledger.heal_all(site):
            raise InputError(f"{name}, which an earlier drill broke, cannot be healed ({words}); heal it by hand.")
        _check_well(stack, site)
        began = time.time()
        refused = {alert.name: reason for alert in alerts if (reason := site.refusal(alert.drill))}
        wanted = [alert for alert in alerts if alert.name not in refused and alert.name not in earlier]
        runnable = schedule.order(wanted, schedule.Schedule(plan))
        done = f", {len(earlier)} were as planned before" if earlier else ""
        print(f"{len(runnable)} of {len(alerts)} alerts can be drilled here{done}; Ctrl-C heals and ends", flush=True)
        say = _say(began)
        leftover.close(site, say)
        course = Course(plan, site, ledger, say)
        if times:
            return latency.run(course, plan, runnable, times, say)
        trials = course.run(runnable)
    seconds = before.get("seconds", 0.0) + time.time() - began
    found = report.Report(plan, alerts, trials, refused, seconds, earlier)
    found.print()
    print(f"page: {pages.shown(pages.write(stack.name, 'drill', found.page(), found.figures()))}")
    if not options.alert and all(trial.verdict for trial in trials):
        report.document(stack, "drill", found.part())
    return 0 if found.good else 1


def _last_run(stack: Stack) -> dict[str, Any]:
    """What it wrote, its alerts by name."""
    path = pages.folder(stack.name) / "drill.json"
    try:
        found = json.loads(path.read_text())
        alerts = {alert["alert"]: {key: alert[key] for key in report.KEPT} for alert in found["alerts"]}
        return {"seconds": float(found["seconds"]), "alerts": alerts}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"there is no run in {path} to go on with; leave out LEFT.") from None


def _times(given: str | None) -> int:
    if given is None:
        return 0
    if not given.isdecimal() or not 1 <= int(given) <= MOST:
        raise InputError(f"drill: REPEAT is {quoted(given)}; give a whole number from 1 to {MOST}.")
    return int(given)


def site_of(stack: Stack) -> Site:
    """Where the stack runs. Raises InputError where nothing runs."""
    if stack.settings.target == "kubernetes":
        return ClusterSite(stack)
    if not engine.answers():
        raise InputError("no Docker engine answers, so nothing of the stack runs; `make up` starts it.")
    return DockerSite(stack)


def _check_breakable(stack: Stack) -> None:
    if not (stack.settings.inbox and stack.settings.simulator):
        raise InputError(
            f"stack {stack.name} has no simulated exchange to break and no inbox to watch; "
            f"`make drill STACK={stack.name} DELIVERY=1` breaks nothing and shows whether messages arrive."
        )


def _check_well(stack: Stack, site: Site) -> None:
    if left := cluster.unwell(stack) if stack.settings.target == "kubernetes" else status.unwell(stack):
        raise InputError(f"stack {stack.name} is not well: {left[0]}; `make up` starts it and waits until it is.")
    if faults := site.faults():
        raise InputError(
            f"the fault {faults[0]} is in force already; heal it first, on the page of the faults or with "
            f"`curl -X DELETE {stack.link(stack.settings.faults_port)}/api/faults`."
        )


def _say(began: float) -> Callable[[str], None]:
    def say(line: str) -> None:
        passed = int(time.time() - began)
        print(f"[{passed // 60:3}:{passed % 60:02}] {line}", flush=True)

    return say


@contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """Two drills at a time would heal each other's faults. A request to terminate is an interrupt."""
    path = pages.folder(stack.name) / "drill.lock"
    path.parent.mkdir(parents=True, exist_ok=True)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another drill of stack {stack.name} runs; wait for its end or stop it.") from None
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
