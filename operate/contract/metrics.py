"""The metrics of a service against the contract: names, types, units, labels, buckets and numbers."""

from __future__ import annotations

import difflib
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

from infra.catalog import Catalog, Metric, Service
from operate.contract.answers import Answer, Finding

# Every series is kept for 30 days by two Prometheus. 50 services of 3 pods that each have this many of one metric
# would be 150,000 series, more than all of prod is sized for.
MOST_SERIES = 1000
_ENDINGS = ("_bucket", "_sum", "_count")
# Values that are made for one request or one customer each: a label with them grows without end.
_UNBOUNDED = {
    "an address": re.compile(r"^\d{1,3}(\.\d{1,3}){3}(:\d+)?$"),
    "a UUID": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE),
    "an e-mail address": re.compile(r"^[^@\s]+@[^@\s]+\.[a-z]+$", re.IGNORECASE),
    "a number in a path": re.compile(r"/\d+(/|$)"),
    "a query": re.compile(r"\?.*="),
    "a hash": re.compile(r"\b(0x)?[0-9a-f]{32,}\b", re.IGNORECASE),
}
# The bounds of what a unit can be: beyond them the value is in another unit, most often milliseconds or percent.
_RANGES = {"ratio": (0.0, 1.0), "1 or 0": (0.0, 1.0), "1": (1.0, 1.0)}
_SLOWEST_SECONDS = 120.0


@dataclass(frozen=True)
class Family:
    """What is exposed under one name: its type, its series' labels and values, and a histogram's bounds."""

    type: str
    series: list[tuple[dict[str, str], float]]
    bounds: frozenset[float] = frozenset()
    sums: tuple[float, float] = (0.0, 0.0)


def check(known: Catalog, service: Service, answer: Answer) -> Iterator[Finding]:
    """Each metric that the service's capabilities ask for, then what is exposed beside them."""
    if answer.status != HTTPStatus.OK:
        yield Finding(service.metrics_path, f"HTTP {answer.status}", "answer 200 with the metrics")
        return
    try:
        exposed = _families(answer.body)
    except ValueError as error:
        yield Finding(
            service.metrics_path, f"{error}", "answer in the text format of Prometheus, best by its client library"
        )
        return
    wanted = known.metrics_of(service)
    spoken = {new: old for old, new in service.rename.items()}
    free = {name: family for name, family in exposed.items() if name not in wanted and name not in service.rename}
    calls = known.called_by(service)
    for name, metric in wanted.items():
        family = exposed.get(spoken.get(name, name))
        if family is None and name == "service_dependency_up" and not calls:
            continue
        yield from _metric(name, metric, family, free)
    if "service_dependency_up" in wanted and calls:
        family = exposed.get(spoken.get("service_dependency_up", "service_dependency_up"))
        yield from _told(calls, family)
    yield _number(exposed)
    for name, family in exposed.items():
        yield from _unbounded(name, family)


def _families(text: str) -> dict[str, Family]:
    """What is exposed, by the name that queries use: counters with their `_total`."""
    found: dict[str, Family] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        plain = [s for s in family.samples if not s.name.endswith("_created")]
        if family.type == "histogram":
            counts = [s for s in plain if s.name.endswith("_count")]
            bounds = frozenset(float(s.labels["le"]) for s in plain if s.name.endswith("_bucket"))
            total = sum(s.value for s in plain if s.name.endswith("_sum"))
            found[name] = Family(
                "histogram",
                [(dict(s.labels), s.value) for s in counts],
                bounds,
                (total, sum(s.value for s in counts)),
            )
        else:
            found[name] = Family(family.type, [(dict(s.labels), s.value) for s in plain])
    return found


def _metric(name: str, metric: Metric, family: Family | None, free: Mapping[str, Family]) -> Iterator[Finding]:
    if family is None:
        yield _missing(name, metric, free)
        return
    if family.type not in (metric.type, "unknown"):
        yield Finding(name, f"a {family.type}", f"make it a {metric.type}: {metric.help}")
        return
    if not family.series:
        yield Finding(
            name,
            f"{metric.type}, without a series",
            "create its series at the start, with 0: until then no alert on it can fire"
            + (f" (labels {', '.join(metric.labels)})" if metric.labels else ""),
        )
        return
    lacking = sorted({label for labels, _ in family.series for label in metric.labels if label not in labels})
    if lacking:
        yield Finding(name, f"labels {_labels(family)}", f"add the label {', '.join(lacking)} to each series")
        return
    bounds = [bound for bound in metric.buckets if bound not in family.bounds]
    if bounds:
        yield Finding(
            name,
            f"buckets {', '.join(f'{b:g}' for b in sorted(family.bounds))}",
            f"add buckets at {', '.join(f'{b:g}' for b in bounds)}: alerts compare there",
        )
        return
    yield Finding(name, f"{metric.type}, {len(family.series)} series", _other_unit(metric, family))


def _missing(name: str, metric: Metric, free: Mapping[str, Family]) -> Finding:
    same = {other: family for other, family in free.items() if family.type in (metric.type, "unknown")}
    close = [other for other in same if other.endswith(f"_{name}")]
    close = close or difflib.get_close_matches(name, list(same), n=1, cutoff=0.75)
    if not close:
        return Finding(name, "missing", f"expose it as a {metric.type}: {metric.help}")
    other = close[0]
    problem = _other_unit(metric, same[other]) or _named_otherwise(name, other)
    if problem:
        return Finding(name, f"missing; there is {other}", f"{problem}; a rename would not mend it")
    return Finding(name, f"missing; there is {other}", "rename it, see below", {other: name})


def _named_otherwise(name: str, other: str) -> str:
    """Units in a name are promises: what is called _milliseconds is no second, whatever its values are."""
    units = ("milliseconds", "ms", "microseconds", "nanoseconds", "minutes", "percent", "kilobytes", "megabytes")
    spoken = [unit for unit in units if re.search(rf"_{unit}(_|$)", other) and not re.search(rf"_{unit}(_|$)", name)]
    return f"{other} is in {spoken[0]}, {name} is not" if spoken else ""


def _other_unit(metric: Metric, family: Family) -> str:
    values = [value for _, value in family.series if not math.isnan(value)]
    if metric.type == "gauge" and metric.unit in _RANGES:
        low, high = _RANGES[metric.unit]
        odd = [value for value in values if not low <= value <= high]
        return f"{odd[0]:g} is no {metric.unit}; it goes from {low:g} to {high:g}" if odd else ""
    if metric.unit == "seconds" and metric.type == "gauge" and "Unix time" in metric.help:
        odd = [value for value in values if value and not 1e9 < value < time.time() + 86400]
        return f"{odd[0]:.0f} is no Unix time in seconds" if odd else ""
    total, count = family.sums
    if metric.unit == "seconds" and metric.type == "histogram" and count and total / count > _SLOWEST_SECONDS:
        return f"{total / count:.0f} seconds on average: these look like milliseconds; observe seconds"
    return ""


def _told(calls: list[str], family: Family | None) -> Iterator[Finding]:
    told = {labels.get("dependency", "") for labels, _ in family.series} if family else set()
    missing = sorted(set(calls) - told)
    if family and missing:
        yield Finding(
            "service_dependency_up",
            f"of {', '.join(sorted(told))}",
            f"also of {', '.join(missing)}, as /health names them",
        )


def _number(exposed: Mapping[str, Family]) -> Finding:
    sizes = {name: len(f.series) * (len(f.bounds) + 2 if f.bounds else 1) for name, f in exposed.items()}
    large = {name: size for name, size in sizes.items() if size > MOST_SERIES}
    found = f"{sum(sizes.values())} series of {len(sizes)} metrics"
    if not large:
        return Finding("cardinality", found)
    name, size = max(large.items(), key=lambda item: item[1])
    labels = {label: len({s.get(label) for s, _ in exposed[name].series}) for label in _labels_of(exposed[name])}
    widest = max(labels.items(), key=lambda item: item[1], default=("", 0))
    return Finding(
        "cardinality",
        f"{found}; {name} alone has {size}",
        f"below {MOST_SERIES} each: its label {widest[0]} has {widest[1]} values; use templates or classes instead",
    )


def _unbounded(name: str, family: Family) -> Iterator[Finding]:
    for label in _labels_of(family):
        for labels, _ in family.series:
            kind = next((k for k, pattern in _UNBOUNDED.items() if pattern.search(labels.get(label, ""))), "")
            if kind:
                yield Finding(
                    name,
                    f'{label}="{labels[label]}" is {kind}',
                    f"the label {label} would grow with every customer or request: put a template or a class there",
                )
                break


def _labels_of(family: Family) -> list[str]:
    return sorted({label for labels, _ in family.series for label in labels})


def _labels(family: Family) -> str:
    return ", ".join(_labels_of(family)) or "none"
