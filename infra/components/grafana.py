"""Grafana: dashboards over Prometheus and Loki, provisioned from files."""

from infra import dashboards, documents
from infra.settings import Settings
from infra.stack import Stack
from infra.workload import (
    GIB,
    MIB,
    Call,
    ConfigFile,
    Port,
    Probe,
    Resources,
    Scrape,
    SecretFile,
    Security,
    Storage,
    Workload,
)

PORT = 3000
PROVISIONING = "/etc/grafana/provisioning"
DASHBOARDS = "/etc/grafana/dashboards"
WEB_PASSWORD = "/run/secrets/web-password"  # noqa: S105 - a path


def build(stack: Stack) -> Workload:
    """Grafana with both datasources; the sign-in password is a file."""
    return Workload(
        name="grafana",
        kind="stateful",
        image=stack.images["grafana"],
        team="platform",
        part_of="platform",
        security=Security(472, 0),
        resources=Resources(memory=256 * MIB),
        env={
            # Read by Grafana itself: `__FILE` would have the image put the value into the environment.
            "GF_SECURITY_ADMIN_PASSWORD": "$__file{/run/secrets/grafana-admin-password}",
            "GF_SERVER_ROOT_URL": stack.grafana_url,
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_METRICS_ENABLED": "true",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{DASHBOARDS}/{dashboards.HOME}.json",
        },
        ports=(Port("http", PORT, stack.settings.grafana_port),),
        config_files=(
            ConfigFile(f"{PROVISIONING}/datasources/datasources.yml", documents.dump(datasources(stack.settings))),
            ConfigFile(f"{PROVISIONING}/dashboards/dashboards.yml", documents.dump(dashboard_folder())),
            *(ConfigFile(f"{DASHBOARDS}/{page.uid}.json", page.text, live=True) for page in dashboards.pages(stack)),
        ),
        secret_files=(
            SecretFile("/run/secrets/grafana-admin-password", "grafana-admin-password"),
            *((SecretFile(WEB_PASSWORD, "web-password"),) if stack.settings.web_user else ()),
        ),
        storage=Storage("/var/lib/grafana", 1 * GIB),
        readiness=Probe("/api/health", PORT),
        calls=(Call("prometheus", 9090), Call("loki", 3100), Call("alertmanager", 9093)),
        scratch=("/tmp", "/var/log/grafana"),  # noqa: S108 - the container's own
        scrapes=(Scrape("grafana", (f"grafana:{PORT}",), {"service": "grafana", "team": "platform"}),),
        sign_in="admin / $GRAFANA_ADMIN_PASSWORD, or admin",
    )


def datasources(settings: Settings) -> dict[str, object]:
    """The environment's Prometheus and Loki. Dashboards choose among data sources by these names."""
    prometheus: dict[str, object] = {
        "name": settings.environment,
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "isDefault": True,
        "editable": False,
        "jsonData": {"timeInterval": f"{settings.scrape_interval_seconds}s", "httpMethod": "POST"},
    }
    if settings.web_user:
        prometheus |= {
            "basicAuth": True,
            "basicAuthUser": settings.web_user,
            "secureJsonData": {"basicAuthPassword": f"$__file{{{WEB_PASSWORD}}}"},
        }
    loki = {
        "name": f"{settings.environment} logs",
        "uid": "loki",
        "type": "loki",
        "access": "proxy",
        "url": "http://loki:3100",
        "editable": False,
    }
    return {"apiVersion": 1, "datasources": [prometheus, loki]}


def dashboard_folder() -> dict[str, object]:
    """Where Grafana finds the dashboards. They are changed in the repository, not in the browser."""
    provider = {
        "name": "mycrypto",
        "folder": "MyCrypto",
        "folderUid": "mycrypto",
        "type": "file",
        "allowUiUpdates": False,
        "disableDeletion": True,
        "options": {"path": DASHBOARDS},
    }
    return {"apiVersion": 1, "providers": [provider]}
