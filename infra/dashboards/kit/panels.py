"""The panels the dashboards are made of. Each asks for what a reader needs: unit, description, what to do.

Widths are of 24, heights in rows of 30 px.
"""

from collections.abc import Iterable
from dataclasses import replace

from grafana_foundation_sdk.builders import bargauge, common, logs, loki, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from infra.dashboards.kit import limits as colours
from infra.dashboards.kit.frame import LOKI, Links, Panel, Query, absolute, dress, targets, words
from infra.dashboards.kit.limits import NOTHING, Limits
from infra.dashboards.kit.units import COUNT, Unit

# A gap of this many milliseconds is two lost scrapes, or one evaluation of the rules that run each minute; a
# longer one is shown as the gap it is.
_BRIDGED_GAP = 90_000

# How many services depend on each dependency, whose name is the label service.
DEPENDENTS = 'label_replace(count by (dependency) (catalog:service:depends), "service", "$1", "dependency", "(.+)")'


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
        .color_mode(options.BigValueColorMode.BACKGROUND if limits.given else options.BigValueColorMode.NONE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .justify_mode(options.BigValueJustifyMode.AUTO)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if query.legend else options.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .orientation(options.VizOrientation.HORIZONTAL)
    )
    dress(
        panel,
        title,
        targets([query], instant=True),
        unit,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    words(panel, texts, limits, absent)
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
                options.GraphTresholdsStyleMode.DASHED if limits.given else options.GraphTresholdsStyleMode.OFF
            )
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.RIGHT if width >= 12 else options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
            .sort_by("Last *")
            .sort_desc(not limits.below)
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )
    # A service whose threshold differs is told in words: a graph draws one set of lines.
    others = "".join(f" {service}'s threshold is {_said(own, unit)}." for service, own in limits.special.items())
    dress(
        panel,
        title,
        targets(queries),
        unit,
        what=what + others,
        wrong=wrong,
        limits=replace(limits, special={}),
        links=links,
        width=width,
        height=height,
    )
    if limits.given:
        panel.thresholds(absolute(limits.lines()))
    # With no decimals Grafana leaves out marks of the axis and writes noValue there.
    panel.decimals(max(unit.decimals, 1))
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
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
    dress(
        panel,
        title,
        targets([query], instant=True),
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
        .show_value(options.VisibilityMode.AUTO)
        .row_height(0.85)
        .fill_opacity(80)
        .line_width(0)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(options.LegendDisplayMode.HIDDEN).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE).sort(options.SortOrder.NONE))
    )
    dress(
        panel,
        title,
        targets([query]),
        COUNT,
        what=what,
        wrong=wrong,
        limits=limits,
        links=links,
        width=width,
        height=height,
    )
    words(panel, texts, limits)
    # By thresholds Grafana would write their ranges instead of the words.
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(colours.NEUTRAL))
    return panel.no_value("none")


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
    dress(panel, title, [target], COUNT, what=what, wrong=wrong, width=width, height=height, source=LOKI)
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


def _said(limits: Limits, unit: Unit) -> str:
    values = [limits.warning, limits.critical]
    return " and ".join(f"{value:g}{' s' if unit.name == 's' else ''}" for value in values if value is not None)
