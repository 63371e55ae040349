"""What the platform takes as the exchange grows: the deployed rules over a generated exchange, size by size."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from infra import assembly, documents
from infra.dashboards import pages
from infra.errors import InputError, quoted, shown
from infra.stack import Stack
from infra.workload import GIB
from operate import tools
from operate.bench import exchange, past, window
from operate.bench.exchange import Exchange
from operate.bench.figures import Restart, Step, Window
from operate.bench.server import Server, deployed_arguments
from operate.dashboards.reading import Dashboard
from operate.progress import step as progress
from operate.replay import seconds as duration

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
# Most rules look back over five minutes.
WARM, WATCHED, BESIDE, BARE = 300.0, 120.0, 60.0, 30.0
# What a series was seen to take at most, of both programs; it only tells a size that cannot fit before it is tried.
_BYTES_EACH = 9 * 1024
_FIRST_ALERT = "ServiceDown"
_RESTART_SECONDS = 900.0


@dataclass(frozen=True)
class Plan:
    """What is measured at each size; times are seconds.

    `beside` are other rule files by name, measured after the deployed ones; `rules` stand in place of those. Less than
    the `whole` is rules and scrapes alone.
    """

    beside: Mapping[str, str]
    warm: float = WARM
    watched: float = WATCHED
    whole: bool = True
    rules: Mapping[str, str] | None = None


def check_room(series: int) -> None:
    """Raises NoRoomError where the machine has too little memory left for so many series."""
    needed, there = series * _BYTES_EACH, window.available() - window.LEFT
    if needed > there:
        raise window.NoRoomError(
            f"{series:,} series need about {needed / GIB:.1f} GiB, and {max(0, there) / GIB:.1f} GiB are available "
            f"beside the {window.LEFT // GIB} GiB that the machine keeps; measure fewer, or on a larger machine."
        )


def measure(stack: Stack, size: int, plan: Plan) -> Step:
    """Measure one size. Raises NoRoomError where it does not fit, and leaves nothing behind."""
    check_room(size)
    answers, prometheus, blocks = (tools.ensure(name) for name in ("exchange", "prometheus", "blocks"))
    with progress(f"{size:,} series: the exchange"):
        made = exchange.generate(stack, size)
    workload = next(w for w in assembly.workloads(made.stack, environ={}) if w.name == "prometheus")
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        with made.answering(answers) as (port, process):
            server = Server(prometheus, folder, deployed_arguments(workload))
            try:
                return _Course(f"{size:,} series", plan, made, server, port, process).run(size, blocks)
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Course:
    """The measurements of one size. `process` answers for all targets on `port`."""

    what: str
    plan: Plan
    made: Exchange
    server: Server
    port: int
    process: int

    def run(self, size: int, generator: Path) -> Step:
        """All of them; `generator` writes the past."""
        server, made, plan = self.server, self.made, self.plan
        server.configure(made.through(self.port), made.rules if plan.rules is None else plan.rules)
        server.start()
        self._pass(plan.warm, "until five minutes are there")
        ruled = window.watch(server, self.process, plan.watched, f"{self.what}: the rules as deployed")
        scrapes = window.scrapes(server, len(made.shown), plan.watched, made.step)
        resident, peak = server.memory()
        step = Step(
            wanted=size,
            services=len(made.stack.catalog.services),
            instances=made.instances,
            targets=len(made.shown),
            scraped=made.series,
            head=round(server.metric("prometheus_tsdb_head_series")),
            resident=resident,
            peak=peak,
            firing=round(server.number('count(ALERTS{alertstate="firing",alertname!="Watchdog"})')),
            ruled=ruled,
            scrapes=scrapes,
        )
        return self._more(step, generator) if plan.whole else step

    def _more(self, step: Step, generator: Path) -> Step:
        """What needs another start, or other rules."""
        server, found = self.server, dict[str, Any]()
        dashboards = [Dashboard(page.document) for page in pages(self.made.stack)]
        with progress(f"{self.what}: what the dashboards read"):
            earlier = past.of(server, dashboards, _intervals(self.made.rules, self.made.step), self.made.step)
        server.kill()
        earlier.write(generator, server.data)
        with progress(f"{self.what}: a start after kill -9"):
            found["restart"] = _restarted(server)
        with progress(f"{self.what}: the dashboards"):
            found["pages"] = tuple(past.pages(server, dashboards))
        if self.plan.beside:
            found["beside"] = self._under(self.plan.beside, BESIDE, "the other rules")
        found["unruled"] = self._under({}, BARE, "without rules")
        return step.model_copy(update=found)

    def _pass(self, seconds: float, why: str) -> None:
        for _ in window.wait(seconds, f"{self.what}: {why}"):
            pass

    def _under(self, rules: Mapping[str, str], seconds: float, what: str) -> Window:
        self.server.configure(self.made.through(self.port), rules)
        # Groups begin at any moment of their first interval.
        self._pass(self.made.step, what)
        return window.watch(self.server, self.process, seconds, f"{self.what}: {what}")


def _restarted(server: Server) -> Restart:
    """Start after a kill, until the group that holds ServiceDown was evaluated over what is scraped."""
    log = sum(path.stat().st_size for path in (server.data / "wal").rglob("*") if path.is_file())
    wall, began = time.time(), time.monotonic()
    ready = server.start()
    while time.monotonic() - began < _RESTART_SECONDS:
        for group in server.groups():
            if any(rule["name"] == _FIRST_ALERT for rule in group["rules"]) and _after(group, wall):
                evaluated = time.monotonic() - began
                if not server.number("count(up)"):
                    raise InputError("Prometheus evaluates rules after its restart without any data; read its log.")
                replayed = server.metric("prometheus_tsdb_data_replay_duration_seconds")
                return Restart(ready=ready, replayed=replayed, evaluated=evaluated, log=log)
        time.sleep(0.2)
    raise InputError(f"Prometheus evaluates no {_FIRST_ALERT} {_RESTART_SECONDS:.0f} s after its restart.")


def _after(group: Mapping[str, Any], wall: float) -> bool:
    moment = str(group["lastEvaluation"])
    return not moment.startswith("0001") and _unix(moment) > wall


def _unix(moment: str) -> float:
    # Prometheus writes nanoseconds, which Python does not read; the next whole second is near enough.
    return datetime.fromisoformat(f"{moment[:19]}+00:00").timestamp() + 1


def _intervals(rules: Mapping[str, str], step: float) -> dict[str, float]:
    """The interval (s) of each recorded series."""
    return {
        rule["record"]: duration(group["interval"]) if "interval" in group else step
        for text in rules.values()
        for group in documents.load(text)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def read_rules(path: Path) -> dict[str, str]:
    """Rule files of a folder, or one file, by a name that is one file name. Raises InputError where there are none.

    Files of a Kubernetes operator, whose groups stand below `spec`, are taken as well.
    """
    # A path that is too long, as `os.path` has it, is simply no folder; pathlib raises.
    folder = os.path.isdir(path)
    files = sorted([*path.rglob("*.yml"), *path.rglob("*.yaml")]) if folder else [path]
    found = {}
    for file in files:
        try:
            document = documents.load(file.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else shown(" ".join(str(error).split()))
            raise InputError(
                f"--rules-beside {shown(str(file))}: cannot be read ({reason}); name a folder of rule files."
            ) from None
        groups = _groups(document) or _groups(document.get("spec") if isinstance(document, dict) else None)
        if groups:
            name = "-".join(file.relative_to(path).parts) if folder else file.name
            found[name.removesuffix(".yaml").removesuffix(".yml") + ".yml"] = documents.dump({"groups": groups})
    if not found:
        raise InputError(
            f"--rules-beside {shown(str(path))}: no file there has `groups` of rules; name a folder of rule files."
        )
    return found


def _groups(document: Any) -> Any:
    return document.get("groups") if isinstance(document, dict) else None


def sizes(text: str) -> list[int]:
    """The sizes of a list such as 10000,30000. Raises InputError."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"--series {quoted(text)}: not a list of whole numbers such as 10000,30000; correct it."
        ) from None
    if found[0] < SIZES[0]:
        raise InputError(
            f"--series {shown(text)}: the catalog alone has some {SIZES[0]:,} series; ask for so many or more."
        )
    return found
