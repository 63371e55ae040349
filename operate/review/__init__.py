"""`make review`: the alerts of the last week, who was called when, and how the data stores did.

From the ALERTS of Prometheus and the silences of Alertmanager: a table, a page, and a message for Slack.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from infra import assembly, rules
from infra.errors import InputError
from infra.stack import Stack, load
from operate import api, pages
from operate.progress import step
from operate.replay import seconds
from operate.review import database, episodes, silences, slack
from operate.review.report import Review
from operate.review.week import Week

_DAY = 86_400.0
# What must be there of the time before to compare with it.
_COMPARABLE = 0.5
# Pages of one stack in a quarter fit an answer; the raw samples of a year do not.
_MOST_DAYS = 92


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `review`."""
    parser.add_argument("--days", default="7", help="how far back to look (default: 7)")
    parser.add_argument("--prometheus", metavar="URL", help="whom to ask (default: the stack's)")
    parser.add_argument("--alertmanager", metavar="URL", help="whom to ask for silences (default: the stack's)")


def run(options: argparse.Namespace) -> int:
    """Review the alerts of the last week, the nights of whoever is on call, and the data stores."""
    days = api.days(options.days, _MOST_DAYS)
    stack = load(options.stack)
    prometheus = api.prometheus(stack, options.prometheus)
    alertmanager = api.alertmanager_of(stack, options.alertmanager)
    with step(f"reading {days} days of alerts, and as many before them"):
        result = review(stack, prometheus, alertmanager, days, time.time())
    result.print()
    page = pages.write(stack.name, "review", result.page(), result.data())
    message = pages.folder(stack.name) / "review.slack.txt"
    message.write_text(slack.text(result))
    print(
        f"\n{slack.text(result)}\n\n{pages.shown(page)}: the whole review; {pages.shown(message)}: the text for Slack"
    )
    return 0


def review(stack: Stack, prometheus: api.Api, alertmanager: api.Api, days: int, now: float) -> Review:
    """The review of `days` days before `now` (Unix seconds). Raises InputError where there is no history."""
    start = now - days * _DAY
    if not prometheus.vector(f'count(count_over_time({{__name__=~"ALERTS|up"}}[{days}d]))', now):
        raise InputError(
            f"{prometheus.name} has no history of the last {days} days; let the stack run, or name another Prometheus "
            "with --prometheus."
        )
    known = _deployed(stack)
    usual = float(stack.settings.scrape_interval_seconds)
    found = episodes.read(prometheus, start - days * _DAY, now, known, usual)
    within = tuple(each for each in found if each.end is None or each.end > start)
    earlier = _evaluated(prometheus, days, start, usual)
    before = tuple(each for each in found if each.start < start) if (earlier or 0) > _COMPARABLE else None
    alerting = rules.read(stack)
    thresholds = {alert: threshold.threshold for alert, threshold in alerting.thresholds.items()}
    told = silences.read(alertmanager, stack.settings.environment)
    fired = {episode.alert for episode in within}
    return Review(
        stack=stack.name,
        week=Week(start, now, within, before, tuple(told)),
        deployed=len(known),
        never=tuple(sorted(known.keys() - fired)),
        muted=tuple(_muted(stack, alerting)),
        figures=tuple(database.read(prometheus, start, now, thresholds)),
        statements=tuple(database.statements(prometheus, start, now)),
        delivered=_delivered(prometheus, days, now),
        evaluated=_evaluated(prometheus, days, now, usual),
    )


def _deployed(stack: Stack) -> dict[str, float]:
    """Every deployed alert but the heartbeat, with the seconds between two evaluations."""
    documents = rules.deployed(stack, assembly.workloads(stack))
    groups: list[dict[str, Any]] = [group for document in documents.values() for group in document["groups"]]
    return {
        rule["alert"]: seconds(group.get("interval")) or float(stack.settings.scrape_interval_seconds)
        for group in groups
        for rule in group["rules"]
        if "alert" in rule and rule["labels"]["severity"] != "none"
    }


def _evaluated(prometheus: api.Api, days: int, at: float, interval: float) -> float | None:
    """The share of the days before `at` in which the heartbeat fired, which it does at every evaluation."""
    beats = f'max(count_over_time(ALERTS{{alertname="Watchdog",alertstate="firing"}}[{days}d]))'
    found = prometheus.vector(beats, at)
    return min(1.0, float(found[0]["value"][1]) * interval / (days * _DAY)) if found else None


def _muted(stack: Stack, alerting: rules.Alerting) -> list[str]:
    muted = [
        f"{alert} is muted for {'all' if service == rules.EVERY else service}: {tuning.mute}"
        for alert, services in alerting.tuning.items()
        for service, tuning in services.items()
        if tuning.mute is not None
    ]
    entries = [(s.name, s.maintenance) for s in stack.catalog.services]
    entries += [(name, store.maintenance) for name, store in stack.catalog.dependencies.items()]
    return [*muted, *(f"{name} is under maintenance: {reason}" for name, reason in entries if reason)]


def _delivered(prometheus: api.Api, days: int, now: float) -> dict[str, float]:
    heartbeat = 'integration!="webhook"'
    sent = f"sum by (integration) (increase(alertmanager_notifications_total{{{heartbeat}}}[{days}d])) > 0"
    return {s["metric"]["integration"]: float(s["value"][1]) for s in prometheus.vector(sent, now)}
