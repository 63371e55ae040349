"""What rules and dashboards can read: the metrics that something exposes, and the series that rules record.

The contract says what services expose, tests/metrics/ what each exporter really exposed (`make record-metrics`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from promql_parser import Matcher, VectorSelector

from infra import assembly, catalog_rules, documents
from infra.catalog import Metric
from infra.stack import Stack, load
from operate import record
from tests.promql import accepts, matchers, selectors

MADE_BY_A_SCRAPE = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
MADE_BY_ALERTS = ("ALERTS", "ALERTS_FOR_STATE")


@dataclass(frozen=True)
class Exposed:
    """A metric as one scrape job has it in Prometheus: its own labels and those the scrape adds."""

    name: str
    job: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Known:
    """What can be read: `exposed` by targets, made by `rules`, each with the file it stands in."""

    exposed: list[Exposed]
    rules: list[tuple[str, dict[str, Any]]]

    @cached_property
    def recorded(self) -> dict[str, list[dict[str, Any]]]:
        """The series that rules make, with the rules that make them."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*MADE_BY_ALERTS, *catalog_rules.FLAGS)}
        for _, rule in self.rules:
            if "record" in rule:
                found.setdefault(rule["record"], []).append(rule)
        return found

    @property
    def expressions(self) -> list[tuple[str, str]]:
        """Every rule's place and expression."""
        return [(f"{file}: {rule.get('alert') or rule['record']}", str(rule["expr"])) for file, rule in self.rules]

    def read_by(self, selector: VectorSelector) -> tuple[list[str], list[Exposed]]:
        """The recorded names a selector takes in, and what it takes in of the exposed metrics."""
        of_name = [m for m in matchers(selector) if m.name == "__name__"]
        of_job = [m for m in matchers(selector) if m.name == "job"]
        recorded = [name for name in self._called(selector.name, self.recorded) if _all(of_name, name)]
        named = [name for name in self._called(selector.name, self._by_name) if _all(of_name, name)]
        return recorded, [each for name in named for each in self._by_name[name] if _all(of_job, each.job)]

    def names(self, expression: str) -> set[str]:
        """What an expression reads in the end: recorded names, and what the rules that record them read."""
        found: set[str] = set()
        pending = [expression]
        while pending:
            new = self._direct(pending.pop()) - found
            found |= new
            pending += [str(rule["expr"]) for name in new for rule in self.recorded.get(name, [])]
        return found

    def _direct(self, expression: str) -> set[str]:
        if expression not in self._read:
            answers = [self.read_by(selector) for selector in selectors(expression)]
            self._read[expression] = {
                name for recorded, exposed in answers for name in (*recorded, *(each.name for each in exposed))
            }
        return self._read[expression]

    @cached_property
    def _read(self) -> dict[str, set[str]]:
        return {}

    @cached_property
    def _by_name(self) -> dict[str, list[Exposed]]:
        found: dict[str, list[Exposed]] = defaultdict(list)
        for each in self.exposed:
            found[each.name].append(each)
        return dict(found)

    @staticmethod
    def _called(name: str | None, known: Mapping[str, object]) -> Iterable[str]:
        """Those a selector can mean: the one it names, or any where it names none."""
        return [name] if name and name in known else [] if name else known


def _all(asked: list[Matcher], value: str) -> bool:
    return all(accepts(matcher, value) for matcher in asked)


def everything() -> Known:
    """All that stack dev has and what a cluster adds; components that no image can be had for count too."""
    stack = load("dev")
    stack = replace(stack, images=replace(stack.images, unavailable={}))
    files = _files_of_prometheus(stack)
    rules = [
        (path.rpartition("/")[2], rule)
        for path, content in files.items()
        if "/rules/" in path
        for group in content["groups"]
        for rule in group["rules"]
    ]
    return Known([*_exposed(stack, files), *_exposed_in_a_cluster(_files_of_prometheus(load("staging")))], rules)


def _files_of_prometheus(stack: Stack) -> dict[str, Any]:
    prometheus = next(workload for workload in assembly.workloads(stack) if workload.name == "prometheus")
    return {file.path: documents.load(file.content) for file in prometheus.config_files}


def _scrape_configs(files: dict[str, Any]) -> list[dict[str, Any]]:
    (config,) = (content for path, content in files.items() if path.endswith("/prometheus.yml"))
    scrapes: list[dict[str, Any]] = config["scrape_configs"]
    return scrapes


def _of_contract(metrics: dict[str, Metric]) -> Iterator[tuple[str, set[str]]]:
    for name, metric in metrics.items():
        if metric.type == "histogram":
            yield f"{name}_bucket", {*metric.labels, "le"}
            yield from ((f"{name}_{part}", set(metric.labels)) for part in ("sum", "count"))
        else:
            yield name, set(metric.labels)


def _added(scrape: dict[str, Any]) -> set[str]:
    """The labels that a scrape job adds to what it finds."""
    fixed = (label for target in scrape.get("static_configs", ()) for label in target["labels"])
    relabelled = (rule["target_label"] for rule in scrape.get("relabel_configs", ()) if "target_label" in rule)
    return {"job", "instance", *fixed, *(label for label in relabelled if not label.startswith("__"))}


def _exposed_in_a_cluster(files: dict[str, Any]) -> Iterator[Exposed]:
    """What only a cluster has, or has with other labels, as it was recorded there after the job's own relabelling."""
    for scrape in _scrape_configs(files):
        job = scrape["job_name"]
        _, metrics = record.read(record.FOLDER / "kubernetes" / f"{job}.txt")
        if metrics:
            for name, labels in {**{n: m.labels for n, m in metrics.items()}, "up": set[str]()}.items():
                yield Exposed(name, job, frozenset(labels | _added(scrape)))


def _exposed(stack: Stack, files: dict[str, Any]) -> Iterator[Exposed]:
    for scrape in _scrape_configs(files):
        job, added = scrape["job_name"], _added(scrape)
        if job in stack.catalog.by_name:
            own = dict(_of_contract(stack.catalog.metrics_of(stack.catalog.by_name[job])))
        else:
            own = {name: metric.labels for name, metric in record.read(record.FOLDER / f"{job}.txt")[1].items()}
        for name, labels in {**own, **{made: set() for made in MADE_BY_A_SCRAPE}}.items():
            yield Exposed(name, job, frozenset(labels | added))
