"""A generated exchange of a wanted size: its targets, what each of them shows, and a stack's own configuration over it.

Metrics, labels and levels are those of the quiet week. What grows with the size is how many services there are, how
many instances each of them has, how many hosts they run on and how many data stores they use.
"""

from __future__ import annotations

import copy
import json
import math
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from infra import assembly, documents
from infra.catalog import Service
from infra.errors import InputError
from infra.stack import Stack
from operate.bench.server import start
from operate.dashboards import history
from operate.quiet_week import every, targets
from operate.quiet_week.shapes import Facts, Labels
from operate.quiet_week.targets import Deployment
from operate.quiet_week.week import HOUR, MONDAY, Week

# An exchange of a million series has as many services; one of a quarter of them has half as many.
_SERVICES_AT_A_MILLION = 150
_MILLION = 1_000_000
# What an instance of a service shows: 20 routes, where the tables know two.
_SPREAD = {"route": 20}
_INSTANCES_ON_A_HOST = 10
_SERVICES_OF_A_STORE = 15
_HOSTS, _STORES = ("node", "cadvisor"), ("postgres", "redis", "rabbitmq", "rabbitmq-queues")
# Values that are Unix seconds; the tables say them for the week they simulate.
_TIMES = re.compile(r"timestamp|_time_seconds$|expiry")
_TYPES = {"_total": "counter", "_bucket": "histogram", "_sum": "histogram", "_count": "histogram"}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Page = list[dict[str, Any]]


@dataclass(frozen=True)
class Exchange:
    """What is scraped: `pages` by name, `shown` the page at each address, and the `stack` with all its services.

    `config` is prometheus.yml as deployed, with all targets; `rules` the rule files exactly as deployed, by name.
    """

    stack: Stack
    instances: int
    pages: Mapping[str, Page]
    shown: Mapping[str, str]
    config: Mapping[str, Any]
    rules: Mapping[str, str]

    @property
    def series(self) -> int:
        """Series of all targets, with the five that Prometheus adds for each."""
        return sum(len(self.pages[page]) + len(every.EVERY) for page in self.shown.values())

    @property
    def step(self) -> int:
        """Seconds between two scrapes of a target."""
        return self.stack.settings.scrape_interval_seconds

    def through(self, port: int) -> dict[str, Any]:
        """prometheus.yml with every target, and Alertmanager, reached under its name through the proxy on `port`."""
        config = copy.deepcopy(dict(self.config))
        for entry in (*config["scrape_configs"], *config["alerting"]["alertmanagers"]):
            entry["proxy_url"] = f"http://127.0.0.1:{port}"
        return config

    @contextmanager
    def answering(self, program: Path) -> Iterator[tuple[int, int]]:
        """Port on loopback and process id of the program that answers for all targets; it ends on the way out."""
        process = start([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"step": self.step, "pages": self.pages, "targets": self.shown}))
            process.stdin.flush()
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()
            process.wait(10)
            process.stdin.close()
            process.stdout.close()


def generate(stack: Stack, series: int) -> Exchange:
    """The exchange whose targets show about so many series. Raises InputError for a stack without fixed targets."""
    if stack.settings.target == "kubernetes":
        raise InputError(
            f"stack {stack.name} asks Kubernetes for its targets, and those of a generated exchange are fixed; measure "
            "with STACK=dev, which has the same rules."
        )
    own = len(stack.catalog.services)
    large = history.large(stack, max(own, round(_SERVICES_AT_A_MILLION * math.sqrt(series / _MILLION))))
    deployed = targets.deployment(large)
    pages = _pages(deployed, large.settings.scrape_interval_seconds)
    workload = next(w for w in assembly.workloads(large, environ={}) if w.name == "prometheus")
    files = {file.path: file.content for file in workload.config_files}
    config = documents.load(next(text for path, text in files.items() if path.endswith("/prometheus.yml")))
    rules = {path.rpartition("/")[2]: text for path, text in files.items() if "/rules/" in path}

    def of(instances: int) -> Exchange:
        copied, shown = _copied(config, _counts(large, instances))
        return Exchange(large, instances, pages, shown, copied, rules)

    # One more instance of everything adds the same number of series each time, but for rounded hosts.
    one, many = of(1), of(1 + _INSTANCES_ON_A_HOST)
    each = (many.series - one.series) / _INSTANCES_ON_A_HOST
    return of(max(1, 1 + round((series - one.series) / each)))


def _counts(stack: Stack, instances: int) -> dict[str, int]:
    """How many targets a job has for each that it has deployed."""
    services = stack.catalog.by_name
    hosts = math.ceil(len(services) * instances / _INSTANCES_ON_A_HOST)
    stores = math.ceil(len(services) / _SERVICES_OF_A_STORE)
    return {**dict.fromkeys(_HOSTS, hosts), **dict.fromkeys(_STORES, stores), **dict.fromkeys(services, instances)}


def _copied(config: Mapping[str, Any], counts: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration with more targets, and the page that each address shows."""
    shown: dict[str, str] = {}
    entries = []
    for entry in config["scrape_configs"]:
        groups = []
        for group in entry["static_configs"]:
            labels = group["labels"]
            for base, number in product(group["targets"], range(1, counts.get(entry["job_name"], 1) + 1)):
                address = _copy(base, number)
                own = {"instance": _copy(labels["instance"], number)} if "instance" in labels else {}
                groups.append({"targets": [address], "labels": {**labels, **own}})
                shown[_asked(entry, address)] = _name(entry["job_name"], labels.get("instance", base))
        entries.append({**entry, "static_configs": groups})
    return {**config, "scrape_configs": entries}, shown


def _copy(name: str, number: int) -> str:
    return name if number == 1 else re.sub(r"^([^:/]+)", rf"\1-{number}", name)


def _asked(entry: Mapping[str, Any], address: str) -> str:
    """What is asked of the proxy for the target: a probe asks its prober, and says the address besides."""
    steps = entry.get("relabel_configs", ())
    prober = next((step["replacement"] for step in steps if step.get("target_label") == "__address__"), None)
    return f"{prober or address}{entry['metrics_path']}{f'?target={address}' if prober else ''}"


def _name(job: str, instance: str) -> str:
    return f"{job} {instance}"


def _pages(deployed: Deployment, step: float) -> dict[str, Page]:
    facts, week = history.one_host(deployed.facts), Week((), history.SAMPLE_HOURS)
    services = deployed.facts.catalog.by_name
    return {
        _name(target["job"], target["instance"]): _page(week, facts, target, services.get(target["job"]), step)
        for target in deployed.targets
    }


def _page(week: Week, facts: Facts, target: Labels, service: Service | None, step: float) -> Page:
    found: Page = []
    last = ""
    own = {"job": target["job"], "instance": target["instance"]}
    later = time.time() - MONDAY - history.SAMPLE_HOURS * HOUR + history.SAMPLES * week.step
    for metric in sorted(set(targets.table(facts, target["job"])) - set(every.EVERY)):
        more = _SPREAD if service else {}
        spoken = _spoken(metric, service)
        for labels, values in history.spread(history.sampled(week, facts, target, metric), more):
            one = history.shaped(metric, labels, own, values[-history.SAMPLES :])
            if one is None:
                continue
            family, kind = _family(spoken)
            head = "" if family == last else f"# HELP {family} Generated.\n# TYPE {family} {kind}\n"
            last = family
            pairs = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())
            found.append(
                {
                    "text": f"{head}{spoken}{{{pairs}}}",
                    "level": one.level + (later if _TIMES.search(metric) else 0.0),
                    "slope": one.slope,
                    # More than it grows in an interval would let a counter fall.
                    "noise": one.slope * step if one.slope else one.noise,
                    "digits": one.digits,
                    "seed": one.seed << 16,
                }
            )
    return found


def _spoken(metric: str, service: Service | None) -> str:
    """The name a service that predates the contract has for the metric."""
    for spoken, name in (service.rename if service else {}).items():
        if re.fullmatch(f"{re.escape(name)}(_bucket|_sum|_count)?", metric):
            return metric.replace(name, spoken)
    return metric


def _family(metric: str) -> tuple[str, str]:
    for end, kind in _TYPES.items():
        if metric.endswith(end):
            return (metric.removesuffix(end) if kind == "histogram" else metric), kind
    return metric, "gauge"
