"""docs/METRICS_CONTRACT.md: what a service has to expose, who has it, and which alerts and dashboards read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra import catalog_rules, dashboards, documents, rules
from infra.catalog import Capability, Catalog, Metric
from infra.components import scraping
from infra.rules import Document
from infra.stack import Stack
from operate.contract.health import DEPENDENCY_STATES, SKEW_SECONDS, STATES
from operate.contract.metrics import MOST_SERIES
from operate.dashboards.reading import Dashboard
from operate.documents.paragraphs import wrapped

FILE = "docs/METRICS_CONTRACT.md"
_INTRODUCTION = """\
# The metrics contract

What every service of the exchange exposes, so that the platform can watch it: `/health`, and the metrics of what it can
do. `make documents` writes this file from `configs/contract.yaml`, `configs/services.yaml` and what reads the metrics.

`make check-service` holds a running service against all of it, and says what mends each point. On stack dev the
simulated services answer through the port of the faults:

```bash
make check-service URL={faults}/services/wallet-service SERVICE=wallet-service
```

## /health

GET `/health` (`health_path` in the catalog's entry) answers 200 within {patience} as long as the service can do its
work, with this JSON. Without an answer, or with another one, the probe fails; when scrape and probe both fail, the
service is [down](runbooks/ServiceDown.md).

```json
{example}
```

| field | what it is |
|---|---|
| status | {states}: `degraded` is alive without one of its dependencies |
| timestamp | the time of the answer in UTC, not of an earlier one: at most {skew} s from now |
| version | the running version, the same as in `service_build_info` |
| dependencies | {dependency_states} for each dependency that the service calls, by its name in the catalog; or `{{}}` |

| service | address | dependencies in `/health` |
|---|---|---|
{services}

## /metrics

GET `/metrics` (`metrics_path`) answers within 5 s in the text format of Prometheus, best by its client library. It is
read every {interval} s. Names, types and labels are those below; more labels and more buckets are welcome within the
bounds of [cardinality](#cardinality). Values are in the unit of the table: seconds, bytes, ratios from 0 to 1.

A counter's series is there from the start, with 0: an increase from nothing is not seen, and no alert on it can fire.
A metric that an alert reads and that a service no longer exposes is [MetricMissing](runbooks/MetricMissing.md).

A service that has other names for the same has a `rename:` in its catalog entry. Units are not converted.
"""
_CARDINALITY = f"""\
## Cardinality

Every series is kept for `monitoring:retentionDays`, in prod by two Prometheus, so a service keeps their number small:

- at most {MOST_SERIES} series of one metric and instance, buckets included;
- no label whose values are made for one request or one customer: an address, a UUID, an e-mail address, a number in a
  path, a query, a hash. Routes are templates (`/api/orders/{{order}}`), errors are classes;
- an unknown value becomes one that is known, such as `other`.

`make check-service` finds labels that break these rules. `monitoring:expectedSeries` is what the volumes are sized for.
"""

# Labels that a catalog entry gives to everything of its service, with the field they come from.
_FIELDS = {"service": "name", "team": "team", "tier": "tier"}
_MORE_LABELS = """\
The probe of `/health` has the same labels with `job="health"`, and the probed address as `instance`. What leaves
Prometheus carries `environment` besides; alerts leave without `replica`, so that the same alert of two replicas is
one."""


@dataclass(frozen=True)
class Readers:
    """Who reads a metric of the contract: alerts and dashboards by name."""

    stack: Stack

    @cached_property
    def alerts(self) -> dict[str, list[str]]:
        """The alerts of the rule files, by the metric that they read through whatever is recorded."""
        every = rules.read(self.stack).alerts
        return self._by_metric({rule["alert"]: str(rule["expr"]) for _, rule in every})

    @cached_property
    def dashboards(self) -> dict[str, list[str]]:
        """The dashboards, likewise."""
        pages = [Dashboard(json.loads(page.text)) for page in dashboards.pages(self.stack)]
        return self._by_metric({page.uid: "\n".join(_asked(page)) for page in pages})

    def _by_metric(self, expressions: Mapping[str, str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, expr in expressions.items():
            for metric in self._read(expr):
                found.setdefault(metric, []).append(name)
        return {metric: sorted(set(names)) for metric, names in found.items()}

    def _read(self, expr: str) -> Iterator[str]:
        """What an expression is blind without: what MetricMissing would watch if it were the only alert."""
        only = {"groups": [{"name": "asked", "rules": [{"alert": "asked", "expr": expr}]}]}
        known = self.stack.catalog.contract.values()
        names = {name for capability in known for name in capability.metrics}
        for rule in catalog_rules.missing_metrics(self.stack, {**self._recorded, "asked": only}):
            metric = rule["labels"]["metric"]
            yield metric if metric in names else re.sub("_(bucket|sum|count)$", "", metric)

    @cached_property
    def _recorded(self) -> dict[str, Document]:
        return {
            file: {"groups": [{**g, "rules": [r for r in g["rules"] if "record" in r]} for g in document["groups"]]}
            for file, document in rules.read(self.stack).documents.items()
        }


def _asked(page: Dashboard) -> Iterator[str]:
    yield from (query.expr for panel in page.panels for query in panel.queries if query.source == "prometheus")


def text(stack: Stack) -> str:
    """The whole document. Raises InputError."""
    catalog = stack.catalog
    example = {
        "status": STATES[0],
        "timestamp": "2025-11-30T10:30:00Z",
        "version": "1.0.0",
        "dependencies": {"database": DEPENDENCY_STATES[0], "redis": DEPENDENCY_STATES[0]},
    }
    probe = documents.load((stack.root / "configs/blackbox/blackbox.yml").read_text())["modules"]["health"]
    introduction = _INTRODUCTION.format(
        patience=probe["timeout"].replace("s", " s"),
        example=json.dumps(example, indent=2),
        states=" or ".join(f"`{state}`" for state in STATES),
        dependency_states=" or ".join(f"`{state}`" for state in DEPENDENCY_STATES),
        skew=SKEW_SECONDS,
        faults=stack.link(stack.settings.faults_port),
        services="\n".join(_services(stack)),
        interval=stack.settings.scrape_interval_seconds,
    )
    readers = Readers(stack)
    parts = [introduction, *_renames(catalog)]
    for name, capability in catalog.contract.items():
        parts.append("\n".join(_capability(name, capability, catalog, readers)))
    return wrapped("\n".join([*parts, _CARDINALITY, "\n".join(_added(stack))]) + "\n")


def _services(stack: Stack) -> Iterator[str]:
    for service in stack.catalog.services:
        calls = ", ".join(stack.catalog.called_by(service)) or "none"
        yield f"| {service.name} | `:{service.port}{service.health_path}` | {calls} |"


def _renames(catalog: Catalog) -> Iterator[str]:
    rows = [
        f"| {service.name} | `{spoken}` | `{name}` |"
        for service in catalog.services
        for spoken, name in service.rename.items()
    ]
    if rows:
        yield "\n".join(["| service | exposes | which becomes |", "|---|---|---|", *rows, ""])


def _capability(name: str, capability: Capability, catalog: Catalog, readers: Readers) -> Iterator[str]:
    having = [service.name for service in catalog.services if name in service.capabilities]
    who = "every service" if len(having) == len(catalog.services) else ", ".join(having) or "no service yet"
    yield f"### {name}\n"
    yield f"{capability.description} Of: {who}.\n"
    yield "| metric | type, unit | labels | what it is |"
    yield "|---|---|---|---|"
    for metric, entry in capability.metrics.items():
        labels = ", ".join(entry.labels) or "none"
        yield f"| `{metric}` | {entry.type}, {entry.unit} | {labels} | {entry.help} |"
    yield ""
    yield from _buckets(capability.metrics)
    yield "| metric | alerts that read it | dashboards |"
    yield "|---|---|---|"
    for metric in capability.metrics:
        alerts = _links(readers.alerts.get(metric, ()), "runbooks/{}.md")
        yield f"| `{metric}` | {alerts} | {_links(readers.dashboards.get(metric, ()), 'dashboards.md#{}')} |"
    yield ""


def _buckets(metrics: Mapping[str, Metric]) -> Iterator[str]:
    for name, metric in metrics.items():
        if metric.buckets:
            yield f"Buckets of `{name}`, at least, in {metric.unit}: {', '.join(f'{b:g}' for b in metric.buckets)}.\n"


def _links(names: Iterable[str], place: str) -> str:
    return ", ".join(f"[{name}]({place.format(name)})" for name in names) or "none"


def _added(stack: Stack) -> Iterator[str]:
    """The labels that a scrape adds, from a scrape of the catalog's first service."""
    service = stack.catalog.services[0]
    scrape = scraping.of_service(stack, service)
    meanings: dict[str, Any] = {
        "job": ("the name of its catalog entry", scrape.job),
        "instance": ("the address that was scraped; on Kubernetes the name of the pod", scrape.targets[0]),
        **{label: (f"`{field}` of its catalog entry", scrape.labels[label]) for label, field in _FIELDS.items()},
    }
    yield "## Labels that the scrape adds\n"
    yield "A service does not set them itself: what it sets under these names becomes `exported_job` and so on.\n"
    yield "| label | what it is | for example |"
    yield "|---|---|---|"
    for label, (meaning, value) in meanings.items():
        yield f"| {label} | {meaning} | `{value}` |"
    yield ""
    yield _MORE_LABELS
