"""Every metric and label a rule names is one that something exposes.

The contract says what services expose, tests/metrics/ what each exporter really exposed (`make record-metrics`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from infra import assembly, catalog_rules
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
MADE_BY_ALERTS = {"ALERTS", "ALERTS_FOR_STATE"}


@dataclass(frozen=True)
class Exposed:
    """A metric as one scrape job has it in Prometheus: its own labels and those the scrape adds."""

    name: str
    job: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Known:
    """What rules can read; `recorded` are the names rules make themselves, with whatever labels."""

    exposed: list[Exposed]
    recorded: set[str]
    expressions: list[tuple[str, str]]


def of_contract(metrics: dict[str, Metric]) -> Iterator[tuple[str, set[str]]]:
    for name, metric in metrics.items():
        if metric.type == "histogram":
            yield f"{name}_bucket", {*metric.labels, "le"}
            yield from ((f"{name}_{part}", set(metric.labels)) for part in ("sum", "count"))
        else:
            yield name, set(metric.labels)


def exposed(stack: Stack, scrape_configs: list[dict[str, Any]]) -> Iterator[Exposed]:
    for scrape in scrape_configs:
        job = scrape["job_name"]
        added = {"job", "instance", *(label for target in scrape["static_configs"] for label in target["labels"])}
        if job in stack.catalog.by_name:
            own = dict(of_contract(stack.catalog.metrics_of(stack.catalog.by_name[job])))
        else:
            own = {name: metric.labels for name, metric in record.read(record.FOLDER / f"{job}.txt")[1].items()}
        for name, labels in {**own, **{made: set() for made in MADE_BY_A_SCRAPE}}.items():
            yield Exposed(name, job, frozenset(labels | added))


@pytest.fixture(scope="module")
def known() -> Known:
    """Everything the rules of stack dev read and may read; components that no image can be had for count too."""
    stack = load("dev")
    stack = replace(stack, images=replace(stack.images, unavailable={}))
    prometheus = next(workload for workload in assembly.workloads(stack) if workload.name == "prometheus")
    files = {file.path: yaml.safe_load(file.content) for file in prometheus.config_files}
    (config,) = (content for path, content in files.items() if path.endswith("/prometheus.yml"))
    rules = [
        (path.rpartition("/")[2], rule)
        for path, content in files.items()
        if "/rules/" in path
        for group in content["groups"]
        for rule in group["rules"]
    ]
    return Known(
        list(exposed(stack, config["scrape_configs"])),
        {rule["record"] for _, rule in rules if "record" in rule} | MADE_BY_ALERTS | set(catalog_rules.FLAGS),
        [(f"{file}: {rule.get('alert') or rule['record']}", str(rule["expr"])) for file, rule in rules],
    )


def problems(expression: str, known: Known) -> Iterator[str]:
    """What an expression asks for that is not there, one sentence each."""
    for selector in selectors(expression):
        by_label = defaultdict(list)
        for matcher in matchers(selector):
            by_label[matcher.name].append(matcher)
        of_name, of_job = by_label.pop("__name__", []), by_label.pop("job", [])
        if any(all(accepts(m, name) for m in of_name) for name in known.recorded):
            continue
        named = [each for each in known.exposed if all(accepts(m, each.name) for m in of_name)]
        if not named:
            yield f"nothing exposes {selector}"
            continue
        found = [each for each in named if all(accepts(m, each.job) for m in of_job)]
        if not found:
            jobs = ", ".join(sorted({each.job for each in named}))
            yield f"{selector} is not exposed by that job; it is by {jobs}"
            continue
        labels = {label for each in found for label in each.labels}
        for label, asked in by_label.items():
            # `label=""` asks that there be none.
            if label not in labels and not all(m.value == "" and accepts(m, "") for m in asked):
                yield f"{selector} has no label {label}; it has {', '.join(sorted(labels))}"


def test_every_metric_and_label_of_every_rule_exists(known: Known) -> None:
    assert known.expressions
    found = [
        f"{place}: {problem}" for place, expression in known.expressions for problem in problems(expression, known)
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("sum(rate(http_request_total[5m]))", "nothing exposes http_request_total"),
        ("http_request_duration_seconds > 1", "nothing exposes http_request_duration_seconds"),
        ('{__name__=~"kyk_.+"}', "nothing exposes "),
        ("max_over_time(sum(foo)[1h:1m]) > 1", "nothing exposes foo"),
        ("topk(scalar(foo), up)", "nothing exposes foo"),
        ('kyc_pending{job="wallet-service"}', "it is by kyc-service"),
        ('http_requests_total{code=~"5.."}', "has no label code; it has instance, job, method, route,"),
        ('node_load1{tier!="standard"}', "has no label tier"),
        ('probe_success{job="health", phase="tls"}', "has no label phase"),
    ],
)
def test_what_nothing_exposes_is_found(known: Known, expression: str, sentence: str) -> None:
    (found,) = problems(expression, known)
    assert sentence in found


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (nonsense) (rate(http_request_duration_seconds_bucket{le="1.0", team="trading"}[5m])) # foo',
        '{__name__=~"kyc_.+", job="kyc-service"}',
        'label_replace(vector(1), "foo", "bar", "", "") unless on (foo) up{tier="", job!~"a|b"} offset 5m',
        'probe_ssl_earliest_cert_expiry{job="certificates"} - time() < 86400',
        'ALERTS{alertname="Anything", whatever="it says"}',
    ],
)
def test_what_is_exposed_is_accepted(known: Known, expression: str) -> None:
    assert not list(problems(expression, known))
