"""The variables of the dashboards. "All" is a regular expression that also takes in what appears later.

A name means the same everywhere: links between dashboards carry the choice over, and Grafana keeps it even where
it is none of the variable's values.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from infra.dashboards.kit.frame import PROMETHEUS

ALL = ".+"


@dataclass(frozen=True)
class Variable:
    """A choice among the values `label` has in the series of `metric`."""

    name: str
    title: str
    metric: str
    label: str
    description: str

    @property
    def chosen(self) -> str:
        """The matcher that selects the series of what is chosen."""
        return f'{self.label}=~"${self.name}"'

    def builder(self) -> builders.QueryVariable:
        """The variable as Grafana takes it; several values may be chosen."""
        query = f"label_values({self.metric}, {self.label})"
        return (
            builders.QueryVariable(self.name)
            .label(self.title)
            .description(self.description)
            .datasource(PROMETHEUS)
            .query({"query": query, "refId": self.name})
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(ALL)
            .current(models.VariableOption(True, ["All"], ["$__all"]))
        )


SERVICE = Variable("service", "Service", "catalog:service:expected", "service", "Services of the catalog.")
# Only services of the catalog have a tier; exporters and the platform are scraped too.
INSTANCE = Variable(
    "instance",
    "Instance",
    'up{job!="health", tier=~".+", service=~"$service"}',
    "instance",
    "Instances of the chosen services.",
)
HOST = Variable("host", "Host", "node_uname_info", "instance", "Hosts with a node exporter.")

# The services that attacks are seen at.
GUARDED = Variable(
    "service",
    "Service",
    'catalog:service:capability{capability=~"gateway|accounts|trading|wallet"}',
    "service",
    "Services that customers and attackers meet: gateway, accounts, trading, wallets.",
)
# By a name of its own, so that a service chosen on another dashboard does not empty a page about accounts.
ACCOUNTS = Variable(
    "accounts",
    "Accounts service",
    'catalog:service:capability{capability="accounts"}',
    "service",
    "Services that register customers and sign them in.",
)

MARKET = Variable("market", "Market", "matching_engine_sequence", "market", "Markets that the engine matches.")
CHAIN = Variable("chain", "Chain", "blockchain_node_height", "chain", "Chains that the exchange has a node of.")
ASSET = Variable("asset", "Asset", "hot_wallet_balance", "asset", "Assets that customers deposit and withdraw.")

DATABASE_SERVER = Variable("server", "Database server", "pg_up", "instance", "Servers of Postgres; no other panels.")
DATABASE = Variable(
    "database", "Database", 'pg_database_size_bytes{datname!~"template.*"}', "datname", "Databases of Postgres."
)
QUEUE = Variable("queue", "Queue", "rabbitmq_detailed_queue_messages", "queue", "Queues of RabbitMQ.")

TEAM = Variable("team", "Team", "up", "team", "Teams that own what is watched.")
SEVERITY = Variable(
    "severity",
    "Severity",
    'ALERTS{severity!="none"}',
    "severity",
    "Critical pages somebody, a warning waits for the day, info for the digest.",
)
# By the name of the label, as Alertmanager's own pages have it.
ALERT = Variable("alertname", "Alert", "ALERTS", "alertname", "Alerts that were pending or fired in the time shown.")


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
