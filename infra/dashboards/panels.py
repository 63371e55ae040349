"""The panels the dashboards are made of. Each asks for what a reader needs: unit, description, what to do.

Widths are of 24, heights in rows of 30 px.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from infra.dashboards import limits as colours
from infra.dashboards.limits import NOTHING, Limits
from infra.dashboards.links import DataLink
from infra.dashboards.units import COUNT, Unit

PROMETHEUS = models.DataSourceRef("prometheus", "${environment}")
LOKI = models.DataSourceRef("loki", "${logs}")

# A gap of this many milliseconds is two lost scrapes, or one evaluation of the rules that run each minute; a
# longer one is shown as the gap it is.
_BRIDGED_GAP = 90_000

Panel = Any  # the library's builders share no base class
Links = Sequence[DataLink]


@dataclass(frozen=True)
class Query:
    """An expression and how its series are called: text with {{label}} in it."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title and an expression that gives one value for each row."""

    title: str
    expr: str
    unit: Unit
    limits: Limits = NOTHING
    # Value -> text, for values that stand for a state.
    texts: dict[int, str] = field(default_factory=dict)


def worst(expr: str, alert: str, *, below: bool = False) -> str:
    """The one series of `expr` that is nearest to its own service's threshold, or furthest beyond it."""
    pick = "bottomk" if below else "topk"
    return f'{expr} and {pick}(1, {expr} / on (service) group_left () (alert:threshold{{alert="{alert}"}} != 0))'


def number(
    title: str,
    query: Query,
    *,
    unit: Unit,
    what: str,
    wrong: str,
    limits: Limits = NOTHING,
    texts: dict[int, str] | None = None,
    absent: str = "no data",
    links: Links = (),
    width: int = 4,
    height: int = 4,
) -> Panel:
    """One figure, now: large, on a ground whose colour is the state. A legend names whose it is.

    `absent` is what stands there when the expression gives no series: what that means, in a word or two.
    """
    panel = (
        stat.Panel()
        .color_mode(options.BigValueColorMode.BACKGROUND if _has_limits(limits) else options.BigValueColorMode.NONE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .justify_mode(options.BigValueJustifyMode.AUTO)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if query.legend else options.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .orientation(options.VizOrientation.HORIZONTAL)
    )
    _dress(
        panel,
        title,
        _prometheus([query], instant=True),
        unit,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    _texts(panel, texts)
    return panel.no_value(absent)


def graph(
    title: str,
    queries: Iterable[Query],
    *,
    unit: Unit,
    what: str,
    wrong: str,
    limits: Limits = NOTHING,
    stacked: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
    links: Links = (),
    width: int = 12,
    height: int = 8,
) -> Panel:
    """Lines over time with the alerts' thresholds drawn in; the legend has last and greatest values."""
    panel = (
        timeseries.Panel()
        .draw_style(options.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(options.VisibilityMode.AUTO)
        .span_nulls(_BRIDGED_GAP)
        .stacking(
            common.StackingConfig()
            .mode(options.StackingMode.NORMAL if stacked else options.StackingMode.NONE)
            .group("A")
        )
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                options.GraphTresholdsStyleMode.DASHED if _has_limits(limits) else options.GraphTresholdsStyleMode.OFF
            )
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    )
    _dress(
        panel,
        title,
        _prometheus(queries),
        unit,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    if minimum is not None:
        panel.min(minimum)
    if maximum is not None:
        panel.max(maximum)
    return panel.no_value("no data")


def bars(
    title: str,
    query: Query,
    *,
    unit: Unit,
    what: str,
    wrong: str,
    limits: Limits = NOTHING,
    maximum: float | None = None,
    links: Links = (),
    width: int = 8,
    height: int = 8,
) -> Panel:
    """One bar for each series, now."""
    panel = (
        bargauge.Panel()
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .orientation(options.VizOrientation.HORIZONTAL)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .min(0)
    )
    _dress(
        panel,
        title,
        _prometheus([query], instant=True),
        unit,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    if maximum is not None:
        panel.max(maximum)
    return panel.no_value("none")


def states(
    title: str,
    query: Query,
    *,
    texts: dict[int, str],
    what: str,
    wrong: str,
    limits: Limits,
    links: Links = (),
    width: int = 24,
    height: int = 8,
) -> Panel:
    """A strip for each series, coloured by the state it was in."""
    panel = (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(options.VisibilityMode.NEVER)
        .row_height(0.85)
        .fill_opacity(80)
        .line_width(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE).sort(options.SortOrder.NONE))
    )
    _dress(
        panel,
        title,
        _prometheus([query]),
        COUNT,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    _texts(panel, texts)
    return panel.no_value("none")


def rows(
    title: str,
    by: Sequence[str],
    columns: Sequence[Column],
    *,
    what: str,
    wrong: str,
    sort: str = "",
    links: Links = (),
    absent: str = "none",
    width: int = 24,
    height: int = 9,
) -> Panel:
    """A table, now: a row for each combination of the labels `by`, which is all that the expressions may keep.

    `sort` is the column whose largest values come first. `links` stand on the first label, as links.from_row.
    """
    panel = table.Panel().show_header(True).cell_height(options.TableCellHeight.SM).filterable(False)
    targets = _prometheus([Query(column.expr) for column in columns], instant=True, form=PromQueryFormat.TABLE)
    _dress(panel, title, targets, COUNT, what=what, wrong=wrong, width=width, height=height)
    values = ["Value"] if len(columns) == 1 else [f"Value #{_letter(i)}" for i in range(len(columns))]
    names = {value: column.title for value, column in zip(values, columns, strict=True)}
    panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate([*by, *names])},
                "renameByName": names | {label: label.replace("_", " ").capitalize() for label in by},
            },
        )
    )
    for column in columns:
        panel.override_by_name(column.title, _cell(column))
    if links:
        panel.override_by_name(
            by[0].capitalize(), [models.DynamicConfigValue("links", [link.build().to_json() for link in links])]
        )
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel.no_value(absent)


def lines(title: str, expr: str, *, what: str, wrong: str, width: int = 24, height: int = 10) -> Panel:
    """Log lines, the newest first, by a LogQL expression."""
    panel = (
        logs.Panel()
        .show_time(True)
        .show_labels(False)
        .show_common_labels(False)
        .wrap_log_message(True)
        .prettify_log_message(False)
        .enable_log_details(True)
        .dedup_strategy(options.LogsDedupStrategy.NONE)
        .sort_order(options.LogsSortOrder.DESCENDING)
    )
    target = loki.Dataquery().expr(expr).query_type("range").ref_id("A").max_lines(200).datasource(LOKI)
    _dress(panel, title, [target], COUNT, what=what, wrong=wrong, width=width, height=height, source=LOKI)
    return panel.no_value("no lines")


def log_graph(
    title: str, query: Query, *, unit: Unit, what: str, wrong: str, width: int = 12, height: int = 8
) -> Panel:
    """A rate of log lines over time, by a LogQL expression."""
    panel = graph(title, [], unit=unit, what=what, wrong=wrong, width=width, height=height)
    target = (
        loki.Dataquery().expr(query.expr).legend_format(query.legend).query_type("range").ref_id("A").datasource(LOKI)
    )
    return panel.targets([target]).datasource(LOKI)


def _prometheus(
    queries: Iterable[Query], *, instant: bool = False, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> list[prometheus.Dataquery]:
    targets = []
    for place, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(_letter(place)).format(form).datasource(PROMETHEUS)
        target.legend_format(query.legend or "__auto")
        targets.append(target.instant() if instant else target.range())
    return targets


def _dress(
    panel: Panel,
    title: str,
    targets: Sequence[Any],
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
    panel.targets(list(targets)).unit(unit.name).decimals(unit.decimals).span(width).height(height)
    panel.thresholds(limits.config() if _has_limits(limits) else _plain())
    for service, special in limits.special.items():
        steps = {"mode": "absolute", "steps": [step.to_json() for step in special.steps()]}
        panel.override_by_regexp(f"/^{service}( |$)/", [models.DynamicConfigValue("thresholds", steps)])
    panel.data_links(list(links))


def _texts(panel: Panel, texts: dict[int, str] | None) -> None:
    if texts:
        panel.mappings(
            [
                models.ValueMap(
                    {str(v): models.ValueMappingResult(text=t, index=i) for i, (v, t) in enumerate(texts.items())}
                )
            ]
        )


def _plain() -> builders.ThresholdsConfig:
    """No limits: one neutral colour."""
    step = models.Threshold(None, colours.NEUTRAL)
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([step])


def _cell(column: Column) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue("unit", column.unit.name),
        models.DynamicConfigValue("decimals", column.unit.decimals),
    ]
    if _has_limits(column.limits):
        steps = {"mode": "absolute", "steps": [step.to_json() for step in column.limits.steps()]}
        properties.append(models.DynamicConfigValue("thresholds", steps))
        properties.append(
            models.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
        )
    if column.texts:
        shown = {str(value): {"text": text, "index": place} for place, (value, text) in enumerate(column.texts.items())}
        properties.append(models.DynamicConfigValue("mappings", [{"type": "value", "options": shown}]))
    return properties


def _has_limits(limits: Limits) -> bool:
    return limits.warning is not None or limits.critical is not None


def _letter(place: int) -> str:
    return chr(ord("A") + place)
