"""The contract's metrics, under the names the service speaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from simulator.config import ConfigError, MetricSpec

# Prometheus 2.48 reads this format; newer versions of the format gain nothing here.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Metric = Counter | Gauge | Histogram
Kind = TypeVar("Kind", Counter, Gauge, Histogram)


class ContractMetrics:
    """Every metric of a service's capabilities, looked up by its name in the contract."""

    def __init__(self, specs: Iterable[MetricSpec], rename: Mapping[str, str]) -> None:
        """`rename` maps the name the service speaks to the contract's. Raises ConfigError."""
        # A _created series beside each counter would be one the contract does not have.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        spoken = {contract: name for name, contract in rename.items()}
        self._metrics: dict[str, Metric] = {}
        for spec in specs:
            # The client library's own collector measures this process.
            if not spec.name.startswith("process_"):
                self._metrics[spec.name] = self._create(spec, spoken.pop(spec.name, spec.name))
        if spoken:
            raise ConfigError(
                f"`rename` names {', '.join(sorted(spoken))}, which is not among the service's metrics; "
                "use a name of the contract that its capabilities include."
            )

    def _create(self, spec: MetricSpec, name: str) -> Metric:
        if spec.type == "counter":
            return Counter(name, spec.help, spec.labels, registry=self._registry)
        if spec.type == "gauge":
            return Gauge(name, spec.help, spec.labels, registry=self._registry)
        return Histogram(name, spec.help, spec.labels, buckets=spec.buckets, registry=self._registry)

    def _find(self, name: str, kind: type[Kind]) -> Kind:
        metric = self._metrics.get(name)
        if not isinstance(metric, kind):
            raise ConfigError(
                f"`metrics` has no {kind.__name__.lower()} {name}, which the simulator drives; "
                "write the file anew from the contract."
            )
        return metric

    def counter(self, name: str) -> Counter:
        return self._find(name, Counter)

    def gauge(self, name: str) -> Gauge:
        return self._find(name, Gauge)

    def histogram(self, name: str) -> Histogram:
        return self._find(name, Histogram)

    def render(self) -> bytes:
        """The page a scrape reads, in the text format of CONTENT_TYPE."""
        return generate_latest(self._registry)
