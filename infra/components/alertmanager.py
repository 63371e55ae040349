"""Alertmanager: routes, groups, silences and sends notifications."""

from collections.abc import Iterator
from typing import Any

from infra import documents
from infra.catalog import Catalog, Team
from infra.components import scraping
from infra.errors import InputError, read_mapping
from infra.settings import Settings
from infra.stack import Stack
from infra.workload import (
    GIB,
    MIB,
    OUTSIDE,
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

FILE = "configs/alertmanager/alertmanager.yml"
PORT = 9093
GOSSIP_PORT = 9094
SECRETS = "/run/secrets"
# Seconds; below `group_interval` of FILE by more than the rounds of replicas are apart. A replica whose turn comes
# later speaks of what it saw before the round in which another one told the end.
TURNS_WITHIN = 10


def build(stack: Stack, pagerduty_is_real: bool) -> Workload:
    """Alertmanager with the hand-written base, and what follows from the catalog's teams and dependencies."""
    secrets = ["slack-webhook-url", "pagerduty-service-key", "heartbeat-url"]
    secrets += ["smtp-password"] if stack.settings.smtp_username else []
    replicas = stack.settings.size("alertmanager").replicas or 1
    return Workload(
        name="alertmanager",
        kind="stateful",
        image=stack.images["alertmanager"],
        team="platform",
        part_of="platform",
        security=Security(65534, 65534),
        # Ten thousand alerts at once take 160 MiB (tests/fire).
        resources=Resources(memory=256 * MIB),
        args=(
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            # A crash costs the silences and the memory of what was sent since they were last written down: people would
            # be paged again, and for what is silenced. The default is 15 minutes.
            "--data.maintenance-interval=15s",
            f"--web.external-url={stack.link(stack.settings.alertmanager_port)}",
            *_gossip(stack, replicas),
            *scraping.web_arguments(stack),
        ),
        replicas=replicas,
        ports=(
            Port("http", PORT, stack.settings.alertmanager_port),
            *((Port("gossip", GOSSIP_PORT),) if replicas > 1 else ()),
        ),
        config_files=(
            ConfigFile(
                "/etc/alertmanager/alertmanager.yml",
                documents.dump(config(stack, pagerduty_is_real), width=200),
            ),
            *(
                stack.config(f"alertmanager/templates/{path.name}", f"/etc/alertmanager/templates/{path.name}")
                for path in sorted((stack.root / "configs/alertmanager/templates").glob("*.tmpl"))
            ),
        ),
        secret_files=(
            *(SecretFile(f"{SECRETS}/{name}", name) for name in secrets),
            *scraping.web_secrets(stack),
        ),
        storage=Storage("/alertmanager", 1 * GIB),
        checks=(("amtool", "check-config", "etc/alertmanager/alertmanager.yml"),),
        readiness=Probe("/-/ready", PORT, live_path="/-/healthy"),
        calls=_calls(stack, replicas),
        reload_metric="alertmanager_config_last_reload_successful",
        asks_for_password=bool(stack.settings.web_user),
        # Silences and the log of notifications are written down and told to the others on the way out.
        grace_seconds=30,
        scrapes=(Scrape("alertmanager", (f"alertmanager:{PORT}",), {"service": "alertmanager", "team": "platform"}),),
    )


def _gossip(stack: Stack, replicas: int) -> Iterator[str]:
    """Flags by which the replicas find each other and agree on who notifies."""
    if replicas == 1:
        # One instance does not gossip; without this it waits for peers before it sends anything.
        yield "--cluster.listen-address="
        return
    yield f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}"
    yield f"--cluster.peer-timeout={TURNS_WITHIN // (replicas - 1)}s"
    for number in range(replicas):
        yield f"--cluster.peer={stack.surroundings.replica('alertmanager', number)}:{GOSSIP_PORT}"


def _calls(stack: Stack, replicas: int) -> tuple[Call, ...]:
    """Its peers, and where it sends notifications."""
    found = [Call("alertmanager", GOSSIP_PORT)] if replicas > 1 else []
    if stack.settings.inbox:
        found += [Call("inbox", 8025), Call("inbox", 1025)]
    host, _, port = stack.settings.smtp_smarthost.rpartition(":")
    return (*found, Call(OUTSIDE, 443), *((Call(OUTSIDE, int(port)),) if host != "inbox" else ()))


def config(stack: Stack, pagerduty_is_real: bool) -> dict[str, Any]:
    """configs/alertmanager/alertmanager.yml with receivers, routes and inhibitions of the catalog.

    Raises InputError.
    """
    settings, teams = stack.settings, stack.catalog.teams
    data = read_mapping(stack.root / FILE, stack.root)
    for key, kind, words in (("global", dict, "mapping"), ("route", dict, "mapping"), ("inhibit_rules", list, "list")):
        if not isinstance(data.get(key), kind):
            raise InputError(f"{FILE}: {key}: is no {words}; see the version in git.")
    data["global"] |= {
        "slack_api_url_file": f"{SECRETS}/slack-webhook-url",
        "pagerduty_url": settings.pagerduty_url
        if pagerduty_is_real or not settings.inbox
        else "http://inbox:8025/pagerduty/v2/enqueue",
        **_mail(settings),
    }
    data["time_intervals"] = [{"name": "digest", "time_intervals": [{"times": [_digest_window(settings.digest_time)]}]}]
    data["receivers"] = [_heartbeat(), *(r for name, team in teams.items() for r in _receivers(name, team))]
    data["route"]["routes"] = [_watchdog_route(), _security_route(), *(_team_route(name) for name in teams)]
    # An alert without a team, or of a team the catalog does not know.
    data["route"]["routes"] += _by_severity("platform")
    data["inhibit_rules"] += list(_dependency_inhibitions(stack.catalog))
    return data


def _mail(settings: Settings) -> dict[str, Any]:
    mail: dict[str, Any] = {
        "smtp_smarthost": settings.smtp_smarthost,
        "smtp_from": settings.smtp_from,
        # Only the inbox takes mail in clear.
        "smtp_require_tls": not settings.smtp_smarthost.startswith("inbox:"),
    }
    if settings.smtp_username:
        mail |= {
            "smtp_auth_username": settings.smtp_username,
            "smtp_auth_password_file": f"{SECRETS}/smtp-password",
        }
    return mail


DIGEST_MINUTES = 10


def _digest_window(start: str) -> dict[str, str]:
    """Ten minutes a day in which digests may leave; their group is flushed once in that time."""
    hour, minute = (int(part) for part in start.split(":"))
    end = min(hour * 60 + minute + DIGEST_MINUTES, 24 * 60)
    return {"start_time": start, "end_time": f"{end // 60:02}:{end % 60:02}"}


def _watchdog_route() -> dict[str, Any]:
    # A beat each minute: the repeat must be shorter than the interval at which the group is looked at.
    return {
        "receiver": "heartbeat",
        "matchers": ['alertname="Watchdog"'],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "50s",
    }


def _security_route() -> dict[str, Any]:
    """Security alerts reach the security team whatever team owns the service, and then their owner."""
    return {
        "receiver": "security-message",
        "matchers": ['category="security"', 'team!="security"', 'severity=~"critical|warning"'],
        "continue": True,
        "routes": [{"receiver": "security-page", "matchers": ['severity="critical"']}],
    }


def _team_route(name: str) -> dict[str, Any]:
    return {"receiver": f"{name}-message", "matchers": [f'team="{name}"'], "routes": _by_severity(name)}


def _by_severity(name: str) -> list[dict[str, Any]]:
    return [
        {
            "receiver": f"{name}-page",
            "matchers": ['severity="critical"'],
            # Rounds may not come more often than the rules of these are evaluated (decision 7).
            "routes": [
                {"receiver": f"{name}-page", "matchers": ['signal="error-budget"'], "group_interval": "1m"},
            ],
        },
        {
            "receiver": f"{name}-digest",
            "matchers": ['severity="info"'],
            "group_by": ["severity"],
            "group_wait": "30s",
            "group_interval": f"{DIGEST_MINUTES}m",
            "repeat_interval": "12h",
            "active_time_intervals": ["digest"],
        },
        {
            "receiver": f"{name}-message",
            "matchers": ['severity="warning"'],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "24h",
        },
    ]


def _dependency_inhibitions(catalog: Catalog) -> Iterator[dict[str, Any]]:
    """A dead or maintained dependency silences the symptoms of the services that depend on it."""
    for name in [*catalog.dependencies, *catalog.by_name]:
        dependents = [service.name for service in catalog.services if name in service.dependencies]
        if dependents:
            yield {
                "source_matchers": [
                    'alertname=~"DependencyDown|ServiceDown|ServiceUnderMaintenance"',
                    f'service="{name}"',
                ],
                "target_matchers": ['symptom="yes"', f'service=~"{"|".join(dependents)}"'],
            }


def _heartbeat() -> dict[str, Any]:
    beat = {"url_file": f"{SECRETS}/heartbeat-url", "send_resolved": False, "max_alerts": 1}
    return {"name": "heartbeat", "webhook_configs": [beat]}


def _receivers(name: str, team: Team) -> Iterator[dict[str, Any]]:
    slack = {
        "channel": team.slack_channel,
        "send_resolved": True,
        "color": '{{ template "mycrypto.color" . }}',
        "title": '{{ template "mycrypto.title" . }}',
        "title_link": '{{ template "mycrypto.alerts_url" . }}',
        "text": '{{ template "mycrypto.slack" . }}',
        "fallback": '{{ template "mycrypto.line" . }}',
        "fields": [
            # Name and environment stand in the title.
            {"title": label, "value": f"{{{{ .CommonLabels.{label} }}}}", "short": True}
            for label in ("service", "severity", "team")
        ],
        "mrkdwn_in": ["text"],
    }
    page = {
        "routing_key_file": f"{SECRETS}/pagerduty-service-key",
        "send_resolved": True,
        "description": '{{ template "mycrypto.line" . }}',
        "severity": "{{ .CommonLabels.severity }}",
        "component": "{{ .CommonLabels.service }}",
        # Who is paged, which for security's copy of an alert is not the team that owns the service.
        "group": name,
        "class": "{{ .CommonLabels.alertname }}",
        "client": "Alertmanager",
        "client_url": '{{ template "mycrypto.alerts_url" . }}',
        "links": [
            {"href": "{{ (index .Alerts 0).Annotations.runbook_url }}", "text": "Runbook"},
            {"href": "{{ (index .Alerts 0).Annotations.dashboard_url }}", "text": "Dashboard"},
            {"href": "{{ (index .Alerts 0).GeneratorURL }}", "text": "Graph"},
            {"href": '{{ template "mycrypto.silence_url" . }}', "text": "Silence"},
        ],
        "details": {
            **{
                label: f"{{{{ .CommonLabels.{label} }}}}"
                for label in ("alertname", "service", "severity", "team", "environment")
            },
            "description": "{{ (index .Alerts 0).Annotations.description }}",
            "firing": '{{ template "mycrypto.plain" .Alerts.Firing }}',
            "resolved": '{{ template "mycrypto.plain" .Alerts.Resolved }}',
        },
    }
    yield {"name": f"{name}-page", "pagerduty_configs": [page], "slack_configs": [slack]}
    yield {"name": f"{name}-message", "slack_configs": [slack]}
    digest_slack = {
        "channel": team.slack_channel,
        "send_resolved": False,
        "color": "#439FE0",
        "title": '{{ template "mycrypto.digest_title" . }}',
        "title_link": '{{ template "mycrypto.alerts_url" . }}',
        "text": '{{ template "mycrypto.digest_slack" . }}',
        "fallback": '{{ template "mycrypto.digest_title" . }}',
        "fields": [],
        "mrkdwn_in": ["text"],
    }
    digest_mail = {
        "to": team.email,
        "send_resolved": False,
        "headers": {"Subject": '{{ template "mycrypto.digest_title" . }}'},
        "html": '{{ template "mycrypto.mail.html" . }}',
        "text": '{{ template "mycrypto.mail.text" . }}',
    }
    yield {"name": f"{name}-digest", "slack_configs": [digest_slack], "email_configs": [digest_mail]}
