"""A dashboard as a page of rows: everything its panels stand in."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from infra.catalog import Catalog
from infra.dashboards.kit import limits, links, variables
from infra.dashboards.kit.frame import PROMETHEUS, Panel
from infra.dashboards.kit.limits import Limits
from infra.dashboards.kit.variables import Variable
from infra.errors import InputError
from infra.rules import FOLDER, Alerting

COLUMNS = 24


@dataclass(frozen=True)
class Source:
    """What dashboards are made from: the catalog, and the alerts with their thresholds."""

    catalog: Catalog
    alerting: Alerting

    def limits(
        self, warning: str | None = None, critical: str | None = None, *, below: bool = False, capability: str = ""
    ) -> Limits:
        """Colours from the thresholds of two alerts, by name; see limits.of.

        With `capability`, of the services that have it: for panels that do not name the service.
        """
        services = [s.name for s in self.catalog.services if capability in s.capabilities]
        return limits.of(self.alerting, warning, critical, below=below, services=services)

    def having(self, *capabilities: str) -> str:
        """The services that have one of the capabilities, as a regular expression."""
        return "|".join(s.name for s in self.catalog.services if set(capabilities) & set(s.capabilities))

    def hosts_of(self, capability: str) -> str:
        """The hosts of their own that the services with a capability run on, as a regular expression."""
        found = {d for s in self.catalog.services if capability in s.capabilities for d in s.dependencies}
        return "|".join(n for n, d in self.catalog.dependencies.items() if n in found and d.kind == "host")

    def leading_to(self, uid: str) -> str:
        """The alerts whose dashboard is this one, as a regular expression."""
        return "|".join(rule["alert"] for _, rule in self.alerting.alerts if rule["annotations"]["dashboard"] == uid)

    def counted(self, record: str, chosen: str, window: str) -> str:
        """How many of what a series records as a rate there were within a window: its samples times their distance.

        Raises InputError where no group records it each so many seconds or minutes.
        """
        groups = (group for document in self.alerting.documents.values() for group in document["groups"])
        group: dict[str, Any] = next(
            (g for g in groups if any(rule.get("record") == record for rule in g["rules"])), {}
        )
        interval = re.fullmatch(r"(\d+)([sm])", str(group.get("interval", "")))
        if interval is None:
            raise InputError(
                f"{FOLDER}: a dashboard counts what {record} records, and no group with an `interval` in s or m "
                "records it; restore it, or take it out of infra/dashboards."
            )
        seconds = int(interval[1]) * {"s": 1, "m": 60}[interval[2]]
        return f"{seconds} * sum_over_time({record}{chosen}[{window}])"


class _Annotation(models.AnnotationQuery):
    """With the fields of Prometheus' annotations, which the library does not know."""

    def __init__(self, more: dict[str, object], **fields: Any) -> None:
        super().__init__(**fields)
        self._more = more

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self._more}


class _AnnotationBuilder(builders.AnnotationQuery):
    def __init__(self, annotation: _Annotation) -> None:
        super().__init__()
        self._internal = annotation


def _annotation(name: str, colour: str, expr: str, **more: str) -> _AnnotationBuilder:
    fields: dict[str, Any] = {"datasource": PROMETHEUS, "enable": True, "hide": False}
    return _AnnotationBuilder(_Annotation(dict(more), name=name, icon_color=colour, expr=expr, **fields))


# Grafana asks for a hundred steps and draws each sample that stands alone, so both marks are of series that have a
# sample when something began and at no other time.


def _alerts(services: str) -> _AnnotationBuilder:
    return _annotation(
        "Alerts",
        limits.CRITICAL,
        f"max_over_time(alert:fired:count{services}[$__interval])",
        titleFormat="{{noisy}}",
        textFormat="{{service}}",
        tagKeys="severity,team",
        step="60s",
    )


def _deployments(services: str) -> _AnnotationBuilder:
    return _annotation(
        "Deployments",
        limits.NEUTRAL,
        f"max_over_time(version:service_build_info:deployed{services}[$__interval])",
        titleFormat="Deployment",
        textFormat="{{service}} {{version}}",
        tagKeys="team",
        step="300s",
    )


@dataclass(frozen=True)
class Page:
    """A finished dashboard."""

    uid: str
    title: str
    document: dict[str, Any]

    @property
    def text(self) -> str:
        """The dashboard as Grafana reads it."""
        return json.dumps(self.document, indent=1, ensure_ascii=False) + "\n"


class Draft:
    """A dashboard while it is put together, row by row."""

    def __init__(
        self, uid: str, title: str, description: str, chosen: Sequence[Variable], *, with_logs: bool = False
    ) -> None:
        self._uid, self._title = uid, title
        of_service = '{service=~"$service"}' if any(v.name == variables.SERVICE.name for v in chosen) else ""
        self._dashboard = (
            builders.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags([links.TAG])
            .readonly()
            .timezone("browser")
            .time("now-3h", "now")
            .refresh("30s")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(links.siblings())
            .with_variable(variables.environment())
            .annotation(_alerts(of_service))
            .annotation(_deployments(of_service))
        )
        # Links to logs stand on every dashboard, so each knows the environment's Loki; only those with log
        # panels show the choice.
        hidden = models.VariableHide.DONT_HIDE if with_logs else models.VariableHide.HIDE_VARIABLE
        self._dashboard.with_variable(variables.logs().hide(hidden))
        for variable in chosen:
            self._dashboard.with_variable(variable.builder())
        self._number = 0
        self._y = 0

    def row(self, title: str, *panels: Panel) -> "Draft":
        """A titled row; panels that do not fit beside each other go below."""
        self._number += 1
        header = builders.Row(title).id(self._number).grid_pos(models.GridPos(h=1, w=COLUMNS, x=0, y=self._y))
        self._dashboard.with_row(header)
        self._y += 1
        x = height = 0
        for panel in panels:
            self._number += 1
            size = panel.id(self._number).build().grid_pos
            if x + size.w > COLUMNS:
                x, self._y, height = 0, self._y + height, 0
            panel.grid_pos(models.GridPos(h=size.h, w=size.w, x=x, y=self._y))
            self._dashboard.with_panel(panel)
            x, height = x + size.w, max(height, size.h)
        self._y += height
        return self

    def page(self) -> Page:
        """The dashboard as plain data."""
        document: dict[str, Any] = json.loads(json.dumps(self._dashboard.build(), cls=JSONEncoder))
        return Page(self._uid, self._title, document)
