"""Links between dashboards, and to the logs. They keep the time range and the variables."""

import json
from dataclasses import dataclass
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

TAG = "mycrypto"


@dataclass(frozen=True)
class DataLink:
    """What a click on a value opens, in the place of the library's, which is that of a whole dashboard."""

    title: str
    url: str

    def build(self) -> "DataLink":
        """Itself: the library's panels take builders."""
        return self

    def to_json(self) -> dict[str, object]:
        """The link as Grafana reads it."""
        return {"title": self.title, "url": self.url, "targetBlank": False}


def to(title: str, uid: str, **variables: str) -> DataLink:
    """From a value to another dashboard. `variables` are set there from labels: `service="service"`."""
    chosen = "".join(f"&var-{name}=${{__field.labels.{label}}}" for name, label in variables.items())
    return DataLink(title, f"/d/{uid}?${{__url_time_range}}&${{environment:queryparam}}{chosen}")


def from_row(title: str, uid: str, **variables: str) -> DataLink:
    """From a row of a table, whose columns are named instead of labels."""
    chosen = "".join(f"&var-{name}=${{__data.fields.{column}}}" for name, column in variables.items())
    return DataLink(title, f"/d/{uid}?${{__url_time_range}}&${{environment:queryparam}}{chosen}")


def to_logs(service: str = "${__field.labels.service}") -> DataLink:
    """From a value to the log lines of its service in the same time range."""
    return DataLink("Logs of the service", explore(f'{{service_name="{service}"}}'))


def explore(expr: str) -> str:
    """The address of Explore with a LogQL query; Grafana fills in what stands in ${}."""
    state = {
        "datasource": "${logs}",
        "queries": [{"refId": "A", "expr": expr}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return "/explore?left=" + quote(json.dumps(state, separators=(",", ":")), safe="${}:.,_")


# From a value of a service to how it performs, and to its log lines; and the same for an accounts service.
TO_SERVICE = (to("The service", "app-performance", service="service"), to_logs())
TO_ACCOUNTS = (to("Registration and sign-in", "auth-registration", accounts="service"), to_logs())


def siblings() -> builders.DashboardLink:
    """The other dashboards, from the top of each."""
    return (
        builders.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .icon("external link")
        .tooltip("The platform's other dashboards, for the same time and choice")
        .tags([TAG])
        .as_dropdown(True)
        .target_blank(False)
        .include_vars(True)
        .keep_time(True)
    )
