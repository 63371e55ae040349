"""A dozen things break at once, with Slack among them: each is told to the right people, once.

That healing them resolves each is test_e_healed.py's: what lies in between takes about as long as alerts
take to end.
"""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pytest
import requests

from infra.dashboards.kit.limits import CRITICAL
from operate import containers
from tests.conftest import Figure
from tests.running import after_starts, eventually
from tests.stack import asking, hosts
from tests.stack.conftest import STACK, Live


@dataclass(frozen=True)
class Break:
    """What breaks, and the alert that must say so.

    `stop` names a container to stop instead of a fault; `host` a bare host, on which `script` runs, and `mend` later.
    """

    alert: str
    service: str
    team: str
    fault: tuple[str, str] | None = None
    stop: str = ""
    host: str = ""
    script: str = ""
    mend: str = ""
    pages: bool = True
    # Healed as soon as it has paged: the alert outlasts the fault by minutes.
    lasts: bool = False


BREAKS = (
    # A removed container leaves no address to scrape; the expected series still asks for it.
    Break("ServiceDown", "bitcoin-node", "blockchain", stop="bitcoin-node"),
    Break("DependencyDown", "rabbitmq", "database", stop="rabbitmq"),
    Break("PlatformComponentDown", "loki", "platform", stop="loki", pages=False),
    Break("MatchingStalled", "trading-engine", "trading", ("trading-engine", "stalled_matching")),
    Break("HotWalletBelowFloor", "wallet-service", "finance", ("wallet-service", "hot_wallet_drain"), lasts=True),
    Break("LedgerDifference", "wallet-service", "finance", ("wallet-service", "ledger_difference"), lasts=True),
    Break("SuspiciousLoginAttempts", "auth-service", "security", ("auth-service", "login_attack"), lasts=True),
    Break("RedisMemoryCritical", "redis", "database", ("infrastructure", "redis_memory")),
    Break(
        *("ExporterDown", "host", "trading"),
        host=hosts.SILENT,
        script="systemctl stop node_exporter",
        mend="systemctl start node_exporter",
        pages=False,
    ),
    Break(
        *("DiskSpaceCritical", "host", "database"),
        host=hosts.FULL,
        script=f"dd if=/dev/zero of={hosts.DATA}/full bs=1M 2>/dev/null; true",
        mend=f"rm {hosts.DATA}/full",
    ),
    Break("ConfigReloadFailed", "prometheus", "platform", pages=False),
    Break("NotificationsFailing", "alertmanager", "platform"),
)
# Faults that the opening row of a dashboard shows at a glance: the alert, and dashboard and figure that turn red.
SHOWN = {
    "ServiceDown": ("system-health", "Services down"),
    "DependencyDown": ("system-health", "Dependencies down"),
    "MatchingStalled": ("trading-engine", "Markets that stand still"),
    "HotWalletBelowFloor": ("business-metrics", "Emptiest hot wallet"),
    "LedgerDifference": ("business-metrics", "Assets whose books differ"),
    "SuspiciousLoginAttempts": ("security-anomaly", "Addresses trying passwords"),
    "RedisMemoryCritical": ("database-cache", "Redis memory"),
}
BY_ALERT = {each.alert: each for each in BREAKS}


def behave(live: Live, mode: str) -> None:
    """What the inbox's Slack does: ok, or error."""
    answer = requests.put(f"{live.inbox}/api/behaviour", json={"channel": "slack", "mode": mode}, timeout=30)
    assert answer.ok, answer.text


def edit_rules(live: Live, content: str) -> requests.Response:
    """An edit behind the deployment's back, and a reload."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("edited.yml")
        entry.size = len(content.encode())
        tar.addfile(entry, io.BytesIO(content.encode()))
    live.put_archive("prometheus", "/etc/prometheus/rules", packed.getvalue())
    return requests.post(f"{live.prometheus}/-/reload", timeout=30)


@pytest.fixture(scope="module")
def broken(live: Live) -> Iterator[float]:
    """Everything of BREAKS, broken; the value is the Unix time at which that began, with Slack and the hosts."""
    start = live.broke_at = time.time()
    behave(live, "error")
    for each in BREAKS:
        if each.host:
            live.fleet.on(each.host, each.script)
    # The hosts' alerts take minutes; of the rest each second counts, and another stack may still be starting.
    after_starts()
    live.rest_broke_at = time.time()
    assert not edit_rules(live, "groups: [{name: broken, rules: [{alert: Broken, expr: 'sum by ('}]}]").ok
    for each in BREAKS:
        if each.fault:
            live.inject(*each.fault)
    # Beside them, what shows in metrics before any alert.
    live.inject("blockchain-gateway", "errors", ratio=0.5)
    live.inject("infrastructure", "replication_lag")
    stopped = [each.stop for each in BREAKS if each.stop]
    live.docker("stop", "--time=5", *(live.container(name) for name in stopped))
    yield start
    for each in BREAKS:
        if each.host:
            live.fleet.on(each.host, each.mend)
    live.docker("start", *(live.container(name) for name in stopped))
    live.heal()
    behave(live, "ok")
    assert edit_rules(live, "groups: []").ok
    eventually("every component is ready", lambda: all(c.ready for c in containers.of(STACK)), seconds=120)
    live.every_target_is_up()


def told(live: Live, each: Break, since: float, channel: str, status: str = "firing") -> list[dict[str, Any]]:
    """The notifications of a channel about one of the breaks."""
    found = live.notifications(channel=channel, alertname=each.alert, status=status, since=str(since))
    return [n for n in found if any((a["service"], a["team"]) == (each.service, each.team) for a in n["alerts"])]


def firing(live: Live, each: Break) -> list[dict[str, str]]:
    """Labels of the alert's firing instances of the service."""
    selector = f'alertname="{each.alert}",service="{each.service}",alertstate="firing"'
    selector += f',instance="{each.host}"' if each.host else ""
    return [series["metric"] for series in live.query(f"ALERTS{{{selector}}}")]


def colours(live: Live, alert: str) -> set[str]:
    """The colours of the figure that shows the alert's fault."""
    uid, title = SHOWN[alert]
    dashboard = next(page for page in asking.all_of(live) if page.uid == uid)
    return {figure.colour for figure in asking.shown(live, dashboard) if figure.title == title}


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.alert)
def test_fires_and_reaches_its_team(live: Live, broken: float, each: Break, figure: Figure) -> None:
    fired = eventually(f"{each.alert} fires", lambda: firing(live, each), seconds=360)
    assert {labels["team"] for labels in fired} == {each.team}
    assert {labels["severity"] for labels in fired} == {"critical" if each.pages else "warning"}
    if each.pages:
        page = eventually("its page", lambda: told(live, each, broken, "pagerduty"), seconds=30)[0]
        received = datetime.fromisoformat(page["received_at"]).timestamp()
        since = broken if each.host else live.rest_broke_at
        figure(f"{each.alert}: paged {received - since:.0f} s after {each.host or 'everything'} broke")
        assert page["alerts"][0]["team"] == each.team
        assert page["alerts"][0]["severity"] == "critical"
        assert f"/{each.alert}.md" in json.dumps(page["raw"])
    if each.alert in SHOWN:
        assert colours(live, each.alert) == {CRITICAL}
        figure(f"{each.alert}: {' shows '.join(SHOWN[each.alert])} in red")
    if each.fault and each.lasts:
        live.heal("/".join(each.fault))


def test_what_depends_on_the_broken_is_not_told(live: Live, broken: float) -> None:
    """RabbitMQ takes half of the services along; its own page names them, and nothing else pages."""
    page = told(live, BY_ALERT["DependencyDown"], broken, "pagerduty")[0]
    assert "auth-service, blockchain-gateway, kyc-service" in page["title"] + page["text"]
    pages = live.notifications(channel="pagerduty", since=str(broken))
    # The machine under the stack may have a full disk of its own.
    own = ("host", "platform")
    names = {a["alertname"] for page in pages for a in page["alerts"] if (a["service"], a["team"]) != own}
    assert names == {each.alert for each in BREAKS if each.pages}


def test_one_page_each(live: Live, broken: float) -> None:
    for each in BREAKS:
        if each.pages:
            pages = told(live, each, broken, "pagerduty")
            assert len({page["raw"]["dedup_key"] for page in pages}) == 1, each.alert


@pytest.mark.usefixtures("broken")
def test_errors_show_in_the_error_rate(live: Live) -> None:
    eventually("the error rate", lambda: live.query('job:http_error_rate{service="blockchain-gateway"} > 0.05'), 90)


@pytest.mark.usefixtures("broken")
def test_a_replica_that_stands_still_shows_as_lag(live: Live) -> None:
    lag = 'pg_replication_lag_seconds{instance="postgres-replica"} > 20'
    eventually("the replica lags", lambda: live.query(lag), seconds=90)
    # Six minutes of it would be a page of its own.
    live.heal("infrastructure/replication_lag")


def test_slack_gets_everything_once_it_recovers(live: Live, broken: float) -> None:
    assert live.notifications(channel="slack", since=str(broken)) == []
    behave(live, "ok")
    for each in BREAKS:
        eventually(f"{each.alert} on Slack", partial(told, live, each, broken, "slack"), seconds=400)
        text = told(live, each, broken, "slack")[0]["text"]
        assert "Runbook" in text
        assert "Silence" in text


def test_each_bare_host_is_told_for_its_own_fault_and_nothing_else(live: Live, broken: float) -> None:
    """Team by team: each has one host here. Processors, memory and root disk are the machine's."""
    of_machine = {"HighCPUUsage", "HighMemoryUsage", "DiskSpaceWarning"}
    for name, alerts in ((hosts.SILENT, {"ExporterDown"}), (hosts.FULL, {"DiskSpaceCritical"}), (hosts.LEAVING, set())):
        firing = {s["metric"]["alertname"] for s in live.query(f'ALERTS{{instance="{name}",alertstate="firing"}}')}
        assert firing - of_machine == alerts, name
    teams = {host.team for host in live.stack.inventory.hosts} if live.stack.inventory else set()
    sent = [a for n in live.notifications(since=str(broken), status="firing") for a in n["alerts"]]
    told = {(a["alertname"], a["team"]) for a in sent if a["service"] == "host" and a["team"] in teams}
    assert {each for each in told if each[0] not in of_machine} == {
        ("ExporterDown", "trading"),
        ("DiskSpaceCritical", "database"),
    }


@pytest.mark.usefixtures("broken")
def test_the_rules_from_before_the_broken_edit_still_run(live: Live) -> None:
    """All of the above fired after the edit was refused."""
    assert live.value("prometheus_config_last_reload_successful") == 0
    assert live.value('count(ALERTS{alertname="Watchdog",alertstate="firing"})') == 1


@pytest.mark.usefixtures("broken")
def test_health_names_the_dependency_that_is_gone(live: Live) -> None:
    body = json.loads(live.fetch("http://auth-service:3000/health"))
    assert body["status"] == "degraded"
    assert body["dependencies"]["rabbitmq"] != "ok"
    assert body["dependencies"]["database"] == "ok"
    assert live.query('service_dependency_up{service="auth-service",dependency="rabbitmq"} == 0')
    # Alive with a dependency missing is not down.
    assert live.query('up{job="auth-service"} == 1')


def test_unknown_fault_is_refused_with_the_known_ones(live: Live) -> None:
    answer = requests.put(f"{live.faults}/api/faults/auth-service/meteor", json={}, timeout=30)
    assert answer.status_code in (400, 404)
    assert "errors" in answer.text
