"""Grafana: dashboards over Prometheus and Loki, provisioned from files."""

import yaml

from infra.stack import Stack
from infra.workload import GIB, MIB, ConfigFile, Port, Probe, Resources, Scrape, SecretFile, Security, Storage, Workload

PORT = 3000


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
            "GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana-admin-password",
            "GF_SERVER_ROOT_URL": stack.link(stack.settings.grafana_port),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_METRICS_ENABLED": "true",
        },
        ports=(Port("http", PORT, stack.settings.grafana_port),),
        config_files=(
            ConfigFile(
                "/etc/grafana/provisioning/datasources/datasources.yml", yaml.safe_dump(datasources(), sort_keys=False)
            ),
        ),
        secret_files=(SecretFile("/run/secrets/grafana-admin-password", "grafana-admin-password"),),
        storage=Storage("/var/lib/grafana", 1 * GIB),
        readiness=Probe("/api/health", PORT),
        scrapes=(Scrape("grafana", (f"grafana:{PORT}",), {"service": "grafana", "team": "platform"}),),
        sign_in="admin / $GRAFANA_ADMIN_PASSWORD, or admin",
    )


def datasources() -> dict[str, object]:
    """Prometheus and Loki, with the uids the dashboards name."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": "http://prometheus:9090",
                "isDefault": True,
                "editable": False,
                "jsonData": {"timeInterval": "15s", "httpMethod": "POST"},
            },
            {
                "name": "Loki",
                "uid": "loki",
                "type": "loki",
                "access": "proxy",
                "url": "http://loki:3100",
                "editable": False,
            },
        ],
    }
