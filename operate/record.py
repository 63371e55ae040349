"""`make record-metrics`: what the exporters of the running stack really expose, as tests/metrics/<job>.txt.

One line a metric, as Prometheus would name it: name, type, and the labels it has on the page, before
scraping adds any. The tests hold every rule against these files, so nobody types them. Services of the
catalog are not among them: what they expose is the contract.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests
from prometheus_client.parser import text_string_to_metric_families

from infra import assembly
from infra.errors import InputError
from infra.hosts import Inventory
from infra.settings import ROOT
from infra.stack import Stack, load
from infra.versions import IMAGES
from operate import containers, status

FOLDER = ROOT / "tests" / "metrics"
NO_LABELS = "-"
# Not OpenMetrics: Loki's page breaks rules of it that Prometheus forgives and a strict parser does not.
ACCEPT = "text/plain;version=0.0.4"


@dataclass
class Metric:
    """One name on a metrics page; a histogram has one each for its _bucket, _sum and _count."""

    type: str
    labels: set[str]


Metrics = dict[str, Metric]


def run(arguments: argparse.Namespace) -> int:
    """Record the metrics of every exporter of the running stack into tests/metrics/."""
    stack = load(arguments.stack)
    pages: dict[str, Metrics] = defaultdict(dict)
    versions: dict[str, set[str]] = defaultdict(set)
    for job, component, page in _pages(stack):
        add(pages[job], page)
        versions[job].add(component)
    for job, metrics in sorted(pages.items()):
        path = FOLDER / f"{job}.txt"
        header = f"# {', '.join(sorted(versions[job]))}"
        print(f"{path.relative_to(ROOT)}: {write(path, header, metrics)} metrics, {header.removeprefix('# ')}")
    return 0


def _pages(stack: Stack) -> Iterator[tuple[str, str, Metrics]]:
    """Job, exporter with its version, and metrics of each target that is part of the stack."""
    targets = [target for target in status.targets(stack) if target.job not in stack.catalog.by_name]
    if not targets:
        raise InputError(f"Prometheus of stack {stack.name} has no targets to record; start it with `make up`.")
    addresses = containers.addresses(stack.name)
    workloads = {workload.name: workload for workload in assembly.workloads(stack)}
    names = {image.reference: name for name, image in stack.images.by_name.items()}
    for target in targets:
        url = urlsplit(target.url)
        workload = workloads.get(url.hostname or "")
        if target.job == "node" and stack.inventory and url.scheme == "https":
            version = next(image.version for image in IMAGES if image.name == "node-exporter")
            yield target.job, f"node-exporter {version}", _fetch(target.url, target.instance, stack.inventory)
            continue
        if workload is None:
            print(f"{target.job}: {url.hostname} is no part of the stack, its version is unknown; not recorded")
            continue
        address = addresses.get(workload.name)
        if address is None:
            raise InputError(f"{workload.name} does not run, so it cannot be recorded; start it with `make up`.")
        page = _fetch(urlunsplit(url._replace(netloc=f"{address}:{url.port}")), workload.name)
        yield target.job, f"{names[workload.image.reference]} {workload.image.version}", page


def _fetch(url: str, component: str, host: Inventory | None = None) -> Metrics:
    sign_in = (host.user, host.password() or "") if host else None
    trusted = str(host.ca_file) if host else True
    try:
        answer = requests.get(url, headers={"Accept": ACCEPT}, timeout=10, auth=sign_in, verify=trusted)
        answer.raise_for_status()
        return parse(answer.text)
    except (requests.RequestException, ValueError) as error:
        raise InputError(
            f"{component}: its metrics cannot be read ({type(error).__name__}); see `make status`, then record again."
        ) from None


def parse(page: str) -> Metrics:
    """The metrics of a page, by the names its samples have. Raises ValueError."""
    found: Metrics = {}
    for family in text_string_to_metric_families(page):
        # The parser gives every counter OpenMetrics' ending _total, also one that does without.
        bare = f"# TYPE {family.name} counter\n" in page
        kind = "untyped" if family.type == "unknown" else family.type
        for sample in family.samples:
            name = family.name if bare else sample.name
            found.setdefault(name, Metric(kind, set())).labels.update(sample.labels)
    return found


def add(metrics: Metrics, more: Metrics) -> None:
    """Add the metrics and labels of another page to `metrics`; the first page says the type."""
    for name, metric in more.items():
        metrics.setdefault(name, Metric(metric.type, set())).labels.update(metric.labels)


def read(path: Path) -> tuple[str, Metrics]:
    """First line and metrics of a recorded file; an empty line and none where there is no file."""
    if not path.is_file():
        return "", {}
    header, *lines = path.read_text().splitlines()
    split = (line.split(" ") for line in lines)
    return header, {
        name: Metric(kind, set() if labels == NO_LABELS else set(labels.split(","))) for name, kind, labels in split
    }


def write(path: Path, header: str, metrics: Metrics) -> int:
    """Write a recorded file; returns how many metrics it has.

    What an earlier run saw of the same versions stays: some metrics appear only with the event they count.
    """
    earlier, before = read(path)
    merged: Metrics = {}
    for part in (metrics, before if earlier == header else {}):
        add(merged, part)
    lines = (
        f"{name} {metric.type} {','.join(sorted(metric.labels)) or NO_LABELS}"
        for name, metric in sorted(merged.items())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return len(merged)
