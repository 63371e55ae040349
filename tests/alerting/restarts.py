"""The scene of a Prometheus that starts again and again while every service answers."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.alerting import exchange
from tests.alerting.platform import Platform, stack_of
from tests.alerting.scene import Scene, wait_for

# As a Prometheus that is killed while it starts: shorter than a scrape interval, so that some targets are not scraped
# between any two starts.
_STARTS, _RUNS_FOR = 8, 4
# Seconds after the last start: what the rules wait after one, and what the alert waits.
_LOOKED_AT = 75


@dataclass(frozen=True)
class Restarted:
    """`unseen`: services without a sample of the last 30 s at the last start; `told`: what of them was believed."""

    unseen: list[str]
    told: list[str]
    pages: list[str]


def again_and_again(folder: Path) -> Restarted:
    """Start it eight times; then look at what it makes of the services it could not scrape."""
    stack = stack_of()
    with exchange.running(stack) as services, Platform(folder, targets=services.targets) as platform:
        missing = 'catalog:service:expected unless on (service) present_over_time(up{job!="health"}[30s])'
        wait_for(lambda: bool(platform.query("catalog:service:expected")) and not platform.query(missing), 60)
        for _ in range(_STARTS):
            platform.restart("prometheus", meanwhile=lambda: None)
            time.sleep(_RUNS_FOR)
        unseen = platform.query(missing)
        time.sleep(_LOOKED_AT)
        since = _LOOKED_AT + _STARTS * (_RUNS_FOR + 5)
        told = platform.query(f'count_over_time(ALERTS{{alertname="ServiceDown",alertstate="firing"}}[{since}s])')
        pages = platform.inbox.kept(channel="pagerduty", alertname="ServiceDown")
        return Restarted(
            unseen=[series["metric"]["service"] for series in unseen],
            told=[series["metric"]["service"] for series in told],
            pages=[page["title"] for page in pages],
        )


RESTARTED = Scene(again_and_again)
