"""The scene of broken edits: from a fault to its page through programs that were asked to read nonsense.

At its end the fault is over while Prometheus is away.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from infra.catalog import Catalog
from tests.alerting.platform import Platform, stack_of
from tests.alerting.scene import Scene, wait_for
from tests.unit.loopback import loop_thread, services

ROUTES, RULES = "/etc/alertmanager/alertmanager.yml", "/etc/prometheus/rules/critical.yml"
WATCHED = "bitcoin-node"
# Seconds: an evaluation, each 5 s, is missed; far shorter than the windows of the rules, so that what was scraped
# before is still in all of them.
_AWAY = 6
# Seconds after a start: two scrapes, and what the alert waits.
_LOOKED_AT = 45
SUCCESSFUL = {"alertmanager": "alertmanager_config_last_reload_successful"}
SUCCESSFUL["prometheus"] = "prometheus_config_last_reload_successful"
BROKEN = {
    # A receiver that does not exist, and a rule that is no PromQL: the YAML is well-formed.
    "alertmanager": (ROUTES, "receiver: platform-message", "receiver: platform-massage"),
    "prometheus": (RULES, "expr: service:down", "expr: service:down and ("),
}


@dataclass(frozen=True)
class Edited:
    """By program: the HTTP status of the reload, and the gauge of its success, when broken and when mended."""

    refused: dict[str, int]
    gauge: dict[str, float]
    accepted: dict[str, int]
    gauge_after: dict[str, float]
    seconds_to_page: float
    paged: list[str]
    early: list[str]
    believed: list[str]  # states of the alert after that restart


def one_service() -> Catalog:
    """The catalog with one service that depends on nothing."""
    catalog = stack_of().catalog
    return catalog.model_copy(update={"services": (catalog.by_name[WATCHED],), "dependencies": {}})


def broken_edits_of_both(folder: Path) -> Edited:
    """Break both configurations, have them read, stop the service, wait for its page; then restart Prometheus."""
    catalog = one_service()
    here = folder / "service"
    here.mkdir()
    with loop_thread() as loop, services(loop, here) as start:
        running = start(name=WATCHED)
        targets = {stack_of().surroundings.address(catalog.services[0]): running.url.removeprefix("http://")}
        with Platform(folder, catalog=catalog, targets=targets) as platform:
            answers = f'up{{job="{WATCHED}"}} == 1 and on (service) probe_success == 1 unless on (service) ALERTS'
            wait_for(lambda: bool(platform.query(answers)), 60)
            kept = {name: platform.path(path).read_text() for name, (path, _, _) in BROKEN.items()}
            for name, (path, good, bad) in BROKEN.items():
                assert good in kept[name]
                platform.path(path).write_text(kept[name].replace(good, bad, 1))
            refused = {name: platform.reload(name).status_code for name in BROKEN}
            gauge = _gauges(platform)
            inbox = platform.inbox
            pages = {"channel": "pagerduty", "alertname": "ServiceDown"}
            early = [message["title"] for message in inbox.kept(**pages)]
            running.inject("stop")
            to_page = wait_for(lambda: bool(inbox.kept(**pages)), 75)
            paged = [message["title"] for message in inbox.kept(**pages)]
            for name, (path, _, _) in BROKEN.items():
                platform.path(path).write_text(kept[name])
            accepted = {name: platform.reload(name).status_code for name in BROKEN}
            gauge_after = _gauges(platform)

            def later() -> None:
                running.heal("stop")
                time.sleep(_AWAY)

            platform.restart("prometheus", meanwhile=later)
            time.sleep(_LOOKED_AT)
            states = f'count_over_time(ALERTS{{alertname="ServiceDown"}}[{_LOOKED_AT}s])'
            believed = [found["metric"]["alertstate"] for found in platform.query(states)]
            return Edited(refused, gauge, accepted, gauge_after, to_page, paged, early, believed)


def _gauges(platform: Platform) -> dict[str, float]:
    urls = {"alertmanager": platform.alertmanager_url, "prometheus": platform.prometheus_url}
    return {name: platform.metric(url, SUCCESSFUL[name])[""] for name, url in urls.items()}


EDITED = Scene(broken_edits_of_both)
