"""What every panel has: its queries, its words, its thresholds. panels.py and tables.py build on it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from infra.dashboards.kit.limits import NEUTRAL, NOTHING, Limits
from infra.dashboards.kit.links import DataLink
from infra.dashboards.kit.units import Unit

PROMETHEUS = models.DataSourceRef("prometheus", "${environment}")
LOKI = models.DataSourceRef("loki", "${logs}")

# What a 1 that stands for "answers" is called.
UP = {0: "down", 1: "up"}

Panel = Any  # the library's builders share no base class
Links = Sequence[DataLink]


@dataclass(frozen=True)
class Query:
    """An expression and how its series are called: text with {{label}} in it."""

    expr: str
    legend: str = ""


def targets(
    queries: Iterable[Query], *, instant: bool = False, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> list[prometheus.Dataquery]:
    """Prometheus queries as a panel takes them: of the whole time shown, or of its end."""
    found = []
    for place, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(letter(place)).format(form).datasource(PROMETHEUS)
        target.legend_format(query.legend or "__auto")
        found.append(target.instant() if instant else target.range())
    return found


def dress(
    panel: Panel,
    title: str,
    queries: Sequence[Any],
    unit: Unit,
    *,
    what: str,
    wrong: str,
    width: int,
    height: int,
    limits: Limits = NOTHING,
    links: Links = (),
    source: models.DataSourceRef = PROMETHEUS,
) -> None:
    """What every panel has."""
    panel.title(title).description(f"{what}\n\nWhen it looks wrong: {wrong}").datasource(source)
    panel.targets(list(queries)).unit(unit.name).decimals(unit.decimals).span(width).height(height)
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    panel.thresholds(absolute(limits.steps() if limits.given else [models.Threshold(None, NEUTRAL)]))
    for service, special in limits.special.items():
        steps = absolute(special.steps()).build()
        panel.override_by_regexp(f"/^{service}( |$)/", [models.DynamicConfigValue("thresholds", steps)])
    panel.data_links(list(links))


def words(panel: Panel, texts: dict[int, str] | None, limits: Limits, absent: str = "") -> None:
    """Words in the place of values that stand for a state, in the state's colour; and of one that is not there.

    Without the latter Grafana gives what is absent the colour of the lowest values.
    """
    mappings: list[Any] = []
    if texts:
        mappings.append(named(texts, limits))
    if absent:
        result = models.ValueMappingResult(text=absent, index=len(texts or ()), color=NEUTRAL)
        special = models.DashboardSpecialValueMapOptions(models.SpecialValueMatch.NULL_AND_NAN, result)
        mappings.append(models.SpecialValueMap(special))
    panel.mappings(mappings)


def named(texts: dict[int, str], limits: Limits | None = None) -> models.ValueMap:
    """Words by value, in the colours of `limits` or in none."""
    results = {
        str(value): models.ValueMappingResult(text=text, index=place, color=limits.colour(value) if limits else None)
        for place, (value, text) in enumerate(texts.items())
    }
    return models.ValueMap(results)


def absolute(steps: list[models.Threshold]) -> builders.ThresholdsConfig:
    """Steps as a panel takes them."""
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def letter(place: int) -> str:
    """What Grafana calls the query at that place."""
    return chr(ord("A") + place)
