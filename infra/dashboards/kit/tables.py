"""Tables: a row for each thing, a column for each value of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from infra.dashboards.kit import limits as colours
from infra.dashboards.kit.frame import Links, Panel, Query, absolute, dress, letter, named, targets
from infra.dashboards.kit.limits import NOTHING, Limits
from infra.dashboards.kit.units import COUNT, Unit


@dataclass(frozen=True)
class Column:
    """A column of a table: its title and an expression that gives one value for each row."""

    title: str
    expr: str
    unit: Unit
    limits: Limits = NOTHING
    # Value -> text, for values that stand for a state.
    texts: dict[int, str] = field(default_factory=dict)


def rows(
    title: str,
    by: Sequence[str],
    columns: Sequence[Column],
    *,
    what: str,
    wrong: str,
    sort: str = "",
    links: Links = (),
    absent: str = "-",
    width: int = 24,
    height: int = 9,
) -> Panel:
    """A table, now: a row for each combination of the labels `by`, which is all that the expressions may keep.

    `sort` is the column whose largest values come first. `links` stand on the first label, as links.from_row.
    """
    panel = table.Panel().show_header(True).cell_height(options.TableCellHeight.SM).filterable(False).min_width(60)
    queries = targets([Query(column.expr) for column in columns], instant=True, form=PromQueryFormat.TABLE)
    dress(panel, title, queries, COUNT, what=what, wrong=wrong, width=width, height=height)
    values = ["Value"] if len(columns) == 1 else [f"Value #{letter(i)}" for i in range(len(columns))]
    names = {value: column.title for value, column in zip(values, columns, strict=True)}
    panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate([*by, *names])},
                # Where only one of the queries has a series, Grafana leaves out its letter.
                "renameByName": {"Value": columns[0].title} | names | {label: _heading(label) for label in by},
            },
        )
    )
    for column in columns:
        panel.override_by_name(column.title, _cell(column))
    for label in by:
        # A label that is a number is still a name.
        shown = [
            models.DynamicConfigValue("custom.minWidth", 100 if label != by[0] else 190 if width >= 12 else 130),
            models.DynamicConfigValue("unit", "string"),
        ]
        if links and label == by[0]:
            shown.append(models.DynamicConfigValue("links", [link.to_json() for link in links]))
        panel.override_by_name(_heading(label), shown)
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel.no_value(absent)


def _cell(column: Column) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue("unit", column.unit.name),
        models.DynamicConfigValue("decimals", column.unit.decimals),
        # Wide enough for its heading.
        models.DynamicConfigValue("custom.minWidth", max(80, 24 + 7 * len(column.title))),
    ]
    if column.limits.given:
        # In a table only what is bad has a ground: a page of green hides the one red cell.
        steps = [
            models.Threshold(step.value, "transparent" if step.color == colours.GOOD else step.color)
            for step in column.limits.steps()
        ]
        properties.append(models.DynamicConfigValue("thresholds", absolute(steps).build()))
        properties.append(
            models.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
        )
    if column.texts:
        properties.append(models.DynamicConfigValue("mappings", [named(column.texts)]))
    return properties


def _heading(label: str) -> str:
    return label.replace("_", " ").capitalize()
