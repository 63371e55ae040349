"""Prometheus' rules as they are deployed: the hand-written files, tuned, and what follows from the catalog.

A hand-written rule compares with `alert:threshold{alert="ItsName"}` joined on `service`; the default stands
in configs/prometheus/thresholds.yml, and a service's catalog entry or the settings change it for one
service. A muted alert is wrapped in `unless`. Both leave the rule file alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from infra import catalog_rules
from infra.errors import InputError, first_failure, quoted, read_yaml
from infra.stack import Stack
from infra.tuning import Tuning
from infra.workload import Workload

FOLDER = "configs/prometheus/rules"
THRESHOLDS = "configs/prometheus/thresholds.yml"
SEVERITIES = ("critical", "warning", "info", "none")
ANNOTATIONS = {"summary", "description", "dashboard"}
EVERY = "*"

# An alert's link chooses on the dashboard what the alert is about, by the variables of
# infra/dashboards/variables.py. Nothing is chosen that the variable does not offer, which would empty the page:
# `service` and `instance` only of the catalog's services, the ones that have a tier.
_CHOSEN = (
    "{{ with $labels.tier }}&var-service={{ $labels.service | urlquery }}"
    "{{ with $labels.instance }}&var-instance={{ . | urlquery }}{{ end }}{{ end }}"
    '{{ if eq $labels.job "node" }}&var-host={{ $labels.instance | urlquery }}{{ end }}'
    '{{ if eq $labels.job "postgres" }}&var-server={{ $labels.instance | urlquery }}{{ end }}'
    '{{ range $name, $value := $labels }}{{ if match "^(queue|market|asset|chain)$" $name }}'
    "&var-{{ $name }}={{ $value | urlquery }}{{ end }}{{ end }}"
)

Rule = dict[str, Any]
Document = dict[str, Any]


class Threshold(BaseModel):
    """Default threshold of an alert, in the unit its rule compares in.

    `limit` is the reason why it follows from something else than what is usual; `make rebaseline` leaves it alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: FiniteFloat
    unit: str
    limit: str | None = Field(default=None, min_length=1)


_Duration = Annotated[str, Field(pattern=r"^(0|([0-9]+(ms|[smhdwy]))+)$")]


class _Rule(BaseModel):
    """A rule as Prometheus reads it; the names in it become parts of regular expressions, links and paths."""

    model_config = ConfigDict(extra="forbid")

    alert: str | None = Field(default=None, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    record: str | None = Field(default=None, pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    expr: str = Field(min_length=1)
    wait: _Duration = Field(default="0", alias="for")
    keep_firing_for: _Duration = "0"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    interval: _Duration = "1m"
    limit: int = Field(default=0, ge=0)
    rules: list[_Rule]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    groups: list[_Group]


@dataclass(frozen=True)
class Alerting:
    """Everything that decides when an alert fires: rules by file name, default thresholds, tuning by service.

    `tuning[alert][service]`; the service `*` stands for all of them.
    """

    documents: dict[str, Document]
    thresholds: dict[str, Threshold]
    tuning: dict[str, dict[str, Tuning]]

    @property
    def alerts(self) -> Iterator[tuple[str, Rule]]:
        """Every alerting rule with the name of its file."""
        for name, document in self.documents.items():
            for group in document["groups"]:
                yield from ((name, rule) for rule in group["rules"] if "alert" in rule)


def read(stack: Stack) -> Alerting:
    """Rules and thresholds, checked against each other; the tuning as it stands. Raises InputError."""
    documents = {path.name: _read(path, stack.root) for path in sorted((stack.root / FOLDER).glob("*.yml"))}
    alerting = Alerting(documents, thresholds(stack.root), _tuning(stack))
    _check_rules(alerting)
    return alerting


def load(stack: Stack, workloads: Sequence[Workload]) -> Alerting:
    """Rules, thresholds and tuning, checked against each other and against what is scraped. Raises InputError."""
    alerting = read(stack)
    _check_tuning(stack, alerting, {scrape.labels["service"] for workload in workloads for scrape in workload.scrapes})
    return alerting


def deployed(stack: Stack, workloads: Sequence[Workload]) -> dict[str, Document]:
    """Every rule file Prometheus loads, by name: the hand-written ones tuned, and those of the catalog."""
    alerting = load(stack, workloads)
    groups = {
        "catalog": catalog_rules.facts(stack, workloads),
        "thresholds": list(_threshold_rules(alerting)),
        "muted": list(_muted_rules(stack, alerting)),
    }
    missing = catalog_rules.missing_metrics(stack, alerting.documents)
    generated = {
        "catalog.yml": {"groups": [{"name": name, "rules": rules} for name, rules in groups.items()]},
        "metrics.yml": {"groups": [{"name": "metrics", "rules": missing}]},
        "places.yml": {"groups": [{"name": "places", "interval": "1m", "rules": list(_places(alerting, missing))}]},
    }
    links = _Links(stack)
    files: dict[str, Document] = {}
    for name, document in {**generated, **alerting.documents}.items():
        tuned = [
            {**group, "rules": [links.add(_mute(rule, alerting.tuning)) for rule in group["rules"]]}
            for group in document["groups"]
            if group["rules"]
        ]
        files[name] = {"groups": tuned}
    return files


def _threshold_rules(alerting: Alerting) -> Iterator[Rule]:
    """alert:threshold for every service that is scraped or expected, whether the catalog tunes it or not."""
    for alert, default in alerting.thresholds.items():
        tuned = {
            service: tuning.threshold
            for service, tuning in alerting.tuning.get(alert, {}).items()
            if tuning.threshold is not None
        }
        yield {
            "record": "alert:threshold",
            "expr": threshold_expr({EVERY: default.threshold, **tuned}),
            "labels": {"alert": alert},
        }


def threshold_expr(values: Mapping[str, float]) -> str:
    """What is recorded as an alert's threshold: its values by service, EVERY standing for those not named."""
    others = [_vector(service, value) for service, value in sorted(values.items()) if service != EVERY]
    return " or on (service) ".join([*others, f"0 * alert:subject + {values[EVERY]}"])


def _muted_rules(stack: Stack, alerting: Alerting) -> Iterator[Rule]:
    """catalog:alert:muted, so that a mute is seen in the daily digest and not forgotten."""
    for alert, services in sorted(alerting.tuning.items()):
        for service, tuning in sorted(services.items()):
            if tuning.mute is not None:
                labels = {
                    "muted": alert,
                    "service": service,
                    "team": _team(stack, service),
                    "reason": tuning.mute,
                }
                yield {"record": "catalog:alert:muted", "expr": "vector(1)", "labels": labels}


def _places(alerting: Alerting, more: list[Rule]) -> Iterator[Rule]:
    """catalog:alert:dashboard, by which a table of alerts leads to what explains them."""
    rules = [rule for _, rule in alerting.alerts] + more
    places = {rule["alert"]: rule["annotations"]["dashboard"] for rule in rules}
    for alert, uid in sorted(places.items()):
        labels = {"alert": alert, "dashboard": uid}
        yield {"record": "catalog:alert:dashboard", "expr": "vector(1)", "labels": labels}


def _team(stack: Stack, service: str) -> str:
    catalog = stack.catalog
    if service in catalog.by_name:
        return catalog.by_name[service].team
    return catalog.dependencies[service].team if service in catalog.dependencies else "platform"


def _vector(service: str, value: float) -> str:
    return f'label_replace(vector({value}), "service", "{service}", "", "")'


def _mute(rule: Rule, tuning: dict[str, dict[str, Tuning]]) -> Rule:
    muted = [s for s, t in sorted(tuning.get(rule.get("alert", ""), {}).items()) if t.mute is not None]
    if not muted:
        return rule
    silence = "unless on () vector(1)"
    if EVERY not in muted:
        silence = f"unless on (service) ({' or '.join(_vector(service, 1) for service in muted)})"
    return {**rule, "expr": f"(\n{rule['expr'].strip()}\n)\n{silence}"}


@dataclass(frozen=True)
class _Links:
    """Where an alert's runbook and dashboard stand; only the stack knows the addresses."""

    stack: Stack

    def add(self, rule: Rule) -> Rule:
        if "alert" not in rule:
            return rule
        annotations = dict(rule["annotations"])
        uid = annotations.pop("dashboard")
        grafana = self.stack.grafana_url
        annotations["runbook_url"] = f"{self.stack.settings.runbook_url}/{rule['alert']}.md"
        annotations["dashboard_url"] = f"{grafana}/d/{uid}?orgId=1{_CHOSEN}"
        return {**rule, "annotations": annotations}


def _read(path: Path, root: Path) -> Document:
    document = read_yaml(path, root)
    groups = document.get("groups") if isinstance(document, dict) else None
    if not isinstance(groups, list) or not all(
        isinstance(g, dict) and isinstance(g.get("rules"), list) for g in groups
    ):
        raise InputError(
            f"{path.relative_to(root)}: has no list of `groups` with `rules`; see the other files beside it."
        )
    for group in groups:
        for number, rule in enumerate(group["rules"], 1):
            if not isinstance(rule, dict) or "expr" not in rule or not {"alert", "record"} & set(rule):
                raise InputError(
                    f"{path.relative_to(root)}: group {quoted(group.get('name'))}, rule {number}: needs `alert` or "
                    "`record`, and `expr`; add what is missing."
                )
    try:
        _File.model_validate(document)
    except ValidationError as error:
        raise InputError(first_failure(str(path.relative_to(root)), error)) from None
    return {"groups": groups}


def thresholds(root: Path) -> dict[str, Threshold]:
    """The default thresholds by alert. Raises InputError."""
    try:
        return TypeAdapter(dict[str, Threshold]).validate_python(read_yaml(root / THRESHOLDS, root))
    except ValidationError as error:
        raise InputError(first_failure(THRESHOLDS, error)) from None


def _tuning(stack: Stack) -> dict[str, dict[str, Tuning]]:
    """The catalog's tuning with that of the settings over it."""
    tuning: dict[str, dict[str, Tuning]] = {}
    entries = [(s.name, s.alerts) for s in stack.catalog.services]
    entries += [(name, store.alerts) for name, store in stack.catalog.dependencies.items()]
    for service, alerts in entries:
        for alert, value in alerts.items():
            tuning.setdefault(alert, {})[service] = value
    for alert, services in stack.settings.alerts.items():
        tuning.setdefault(alert, {}).update(services)
    return tuning


def _check_rules(alerting: Alerting) -> None:
    seen: dict[str, str] = {}
    for name, rule in alerting.alerts:
        alert, place = rule["alert"], f"{FOLDER}/{name}: {rule['alert']}"
        if alert in seen:
            raise InputError(f"{place}: an alert of that name stands in {seen[alert]}; rename or remove one of them.")
        seen[alert] = name
        if rule.get("labels", {}).get("severity") not in SEVERITIES:
            raise InputError(f"{place}: labels: severity must be one of {', '.join(SEVERITIES)}.")
        lacking = ANNOTATIONS - set(rule.get("annotations", {}))
        if lacking:
            raise InputError(f"{place}: annotations: {', '.join(sorted(lacking))} missing; add them.")
        for named in re.findall(r'alert:threshold\{alert="([^"]*)"\}', str(rule["expr"])):
            if named not in alerting.thresholds:
                raise InputError(f"{place}: {named} has no threshold in {THRESHOLDS}; add the line.")
    for alert in alerting.thresholds:
        if f'alert:threshold{{alert="{alert}"}}' not in "".join(str(rule["expr"]) for _, rule in alerting.alerts):
            raise InputError(f"{THRESHOLDS}: {alert}: no rule compares with it; remove the line or correct its name.")


def _check_tuning(stack: Stack, alerting: Alerting, subjects: set[str]) -> None:
    known = {rule["alert"] for _, rule in alerting.alerts} | {catalog_rules.METRIC_MISSING}
    heartbeats = {rule["alert"] for _, rule in alerting.alerts if rule["labels"]["severity"] == "none"}
    subjects |= {EVERY, *stack.catalog.by_name, *stack.catalog.dependencies}
    for alert, services in alerting.tuning.items():
        for service, tuning in services.items():
            in_settings = service in stack.settings.alerts.get(alert, {})
            place = (
                f"Pulumi.{stack.name}.yaml: monitoring:alerts"
                if in_settings
                else f"configs/services.yaml: {service}: alerts"
            )
            if in_settings and service not in subjects:
                raise InputError(
                    f"{place}: {alert}: unknown service {quoted(service)}; known: {', '.join(sorted(subjects))}."
                )
            if alert not in known:
                raise InputError(f"{place}: unknown alert {quoted(alert)}; the rule files below {FOLDER} list them.")
            if alert in heartbeats:
                raise InputError(f"{place}: {alert} is the heartbeat, whose end says that alerting is dead; remove it.")
            if tuning.threshold is not None and alert not in alerting.thresholds:
                raise InputError(
                    f"{place}: {alert} has no threshold to change; {THRESHOLDS} lists those that have one."
                )
