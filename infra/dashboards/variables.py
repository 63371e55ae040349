"""The variables of the dashboards. "All" is a regular expression that also takes in what appears later."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

ALL = ".+"


@dataclass(frozen=True)
class Variable:
    """A choice among the values `label` has in the series of `metric`."""

    name: str
    title: str
    metric: str
    label: str
    description: str

    def builder(self) -> builders.QueryVariable:
        """The variable as Grafana takes it; several values may be chosen."""
        query = f"label_values({self.metric}, {self.label})"
        return (
            builders.QueryVariable(self.name)
            .label(self.title)
            .description(self.description)
            .datasource(models.DataSourceRef("prometheus", "${environment}"))
            .query({"query": query, "refId": self.name})
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(ALL)
            .current(models.VariableOption(True, ["All"], ["$__all"]))
        )


SERVICE = Variable("service", "Service", "catalog:service:expected", "service", "Services of the catalog.")


def environment() -> builders.DatasourceVariable:
    """Each environment has a Prometheus of its own, and the data source bears the environment's name."""
    return (
        builders.DatasourceVariable("environment")
        .label("Environment")
        .description("The environment whose Prometheus is asked.")
        .type("prometheus")
    )


def logs() -> builders.DatasourceVariable:
    """The environment's Loki."""
    return (
        builders.DatasourceVariable("logs")
        .label("Logs")
        .description("The environment whose Loki is asked.")
        .type("loki")
    )
