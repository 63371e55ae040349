"""Alertmanager: routes, groups, silences and sends notifications."""

from typing import Any

import yaml

from infra.catalog import Team
from infra.stack import Stack
from infra.workload import (
    GIB,
    MIB,
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

PORT = 9093
SECRETS = "/run/secrets"


def build(stack: Stack, pagerduty_is_real: bool) -> Workload:
    """Alertmanager with the hand-written base and one receiver per team and severity."""
    return Workload(
        name="alertmanager",
        kind="stateful",
        image=stack.images["alertmanager"],
        team="platform",
        part_of="platform",
        security=Security(65534, 65534),
        resources=Resources(memory=128 * MIB),
        args=(
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            f"--web.external-url={stack.link(stack.settings.alertmanager_port)}",
            # One instance does not gossip; without this it waits for peers before it sends anything.
            "--cluster.listen-address=",
        ),
        ports=(Port("http", PORT, stack.settings.alertmanager_port),),
        config_files=(
            ConfigFile(
                "/etc/alertmanager/alertmanager.yml",
                yaml.safe_dump(config(stack, pagerduty_is_real), sort_keys=False, width=200),
            ),
            stack.config("alertmanager/templates/notification.tmpl", "/etc/alertmanager/templates/notification.tmpl"),
        ),
        secret_files=(
            SecretFile(f"{SECRETS}/slack-webhook-url", "slack-webhook-url"),
            SecretFile(f"{SECRETS}/pagerduty-service-key", "pagerduty-service-key"),
        ),
        storage=Storage("/alertmanager", 1 * GIB),
        checks=(("amtool", "check-config", "etc/alertmanager/alertmanager.yml"),),
        readiness=Probe("/-/ready", PORT),
        scrapes=(Scrape("alertmanager", (f"alertmanager:{PORT}",), {"service": "alertmanager", "team": "platform"}),),
    )


def config(stack: Stack, pagerduty_is_real: bool) -> dict[str, Any]:
    """configs/alertmanager/alertmanager.yml with the receivers and routes of the catalog's teams."""
    settings = stack.settings
    data: dict[str, Any] = yaml.safe_load((stack.root / "configs/alertmanager/alertmanager.yml").read_text())
    data["global"] |= {
        "slack_api_url_file": f"{SECRETS}/slack-webhook-url",
        "pagerduty_url": settings.pagerduty_url
        if pagerduty_is_real or not settings.inbox
        else "http://inbox:8025/pagerduty/v2/enqueue",
        "smtp_smarthost": settings.smtp_smarthost,
        "smtp_from": settings.smtp_from,
    }
    data.setdefault("receivers", [])
    routes = data["route"].setdefault("routes", [])
    for name, team in stack.catalog.teams.items():
        data["receivers"] += [_page(name, team), _message(name, team)]
        routes += [
            {"receiver": f"{name}-page", "matchers": [f'team="{name}"', 'severity="critical"']},
            {"receiver": f"{name}-message", "matchers": [f'team="{name}"']},
        ]
    return data


def _slack(team: Team) -> dict[str, Any]:
    return {
        "channel": team.slack_channel,
        "send_resolved": True,
        "title": '{{ template "mycrypto.title" . }}',
        "text": '{{ template "mycrypto.text" . }}',
        "color": '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}',
    }


def _page(name: str, team: Team) -> dict[str, Any]:
    return {
        "name": f"{name}-page",
        "pagerduty_configs": [
            {
                "routing_key_file": f"{SECRETS}/pagerduty-service-key",
                "send_resolved": True,
                "description": '{{ template "mycrypto.title" . }}',
                "severity": "{{ .CommonLabels.severity }}",
            }
        ],
        "slack_configs": [_slack(team)],
    }


def _message(name: str, team: Team) -> dict[str, Any]:
    return {"name": f"{name}-message", "slack_configs": [_slack(team)]}
