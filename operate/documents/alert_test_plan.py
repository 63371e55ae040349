"""docs/ALERT_TEST_PLAN.md: how each alert is provoked on stack dev, and what must arrive where, how soon."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra import assembly, documents, rules
from infra.components import alertmanager
from infra.stack import Stack
from operate.documents import routes
from operate.documents.paragraphs import wrapped
from operate.documents.runbooks import source
from operate.drills import book
from operate.drills.book import Drill
from operate.replay import seconds

FILE = "docs/ALERT_TEST_PLAN.md"
CASES = "tests/rules/cases"
_INTRODUCTION = """\
# The test plan of the alerts

For each alert: how it is provoked on stack dev, how soon the message must be there, whom it reaches, and how the fault
is healed. `make documents` writes this file from the rules, the routes and `operate/drills/drills.yml`.

## Provoke one by hand

`make up` starts stack dev. Most faults are those of the simulated exchange: {faults} lists them with their parameters,
and shows which are in force. The commands below do the same.

What is told arrives in the notification inbox, {inbox}: it stands in for PagerDuty, Slack and e-mail. What fires
without being told is on {prometheus}/alerts, and what is silenced, with its cause, on {alertmanager}.

One fault at a time, or unrelated ones: several services of a team, a data store or a host that is down silence what
follows from them. Of a service under maintenance only what concerns money or intruders is told.

`make drill` does it for all of them: it provokes, waits for the messages, checks who got them and what they say, heals,
and waits until they are over; `make drill ALERT=Name` does it for one. It heals when it is stopped, too.

To heal every fault of the simulated exchange at once:

```bash changes
curl -X DELETE {faults}/api/faults
```

A stopped container comes back with `docker start`, a paused one with `docker unpause`. `make status` shows whether
everything is well again. An alert that looks back, or is held for a while, ends later than its fault: its runbook says
when it is over.

## What the times mean

"Told within" is the latest moment after the command at which the message is there: until the rule's expression holds
(a scrape, where nothing else is known), two evaluations of the rule's group, its `for`, and what Alertmanager waits to
gather a group. On a machine that is short of processors all of it is later. An info alert is not told by itself: it
stands in the digest of its team at {digest} (UTC), on Slack and by e-mail.

"History" is what Prometheus must have recorded before. A stack that has just been started does not show these.

## Test the rules without a stack

`make test-rules` proves every alert from both sides with promtool: it fires when it should, to the second, and stays
quiet below its threshold and without traffic. `make test-alerting` proves routes, inhibitions and messages with a real
Prometheus and Alertmanager. Both run without Docker.
"""


@dataclass(frozen=True)
class Alert:
    """One alert: the file and interval (seconds) of its rule, its drill, and the labels that it must carry."""

    name: str
    file: str
    interval: float
    rule: dict[str, Any]
    drill: Drill
    labels: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """The alerts of a stack, with Alertmanager's configuration."""

    stack: Stack

    @cached_property
    def config(self) -> dict[str, Any]:
        """Alertmanager's configuration as it is deployed."""
        return alertmanager.config(self.stack, pagerduty_is_real=False)

    @cached_property
    def alerts(self) -> list[Alert]:
        """Every alert, in the order of the drills. Raises InputError."""
        workloads = assembly.workloads(self.stack)
        found: dict[str, Alert] = {}
        known = book.load(self.stack.root)
        deployed = rules.deployed(self.stack, workloads)
        book.check(known, _names(deployed), {workload.name for workload in workloads}, self.stack)
        for file, document in deployed.items():
            for group in document["groups"]:
                interval = seconds(group.get("interval")) or self.stack.settings.scrape_interval_seconds
                for rule in (rule for rule in group["rules"] if "alert" in rule):
                    name = rule["alert"]
                    # One that the catalog generates comes once for each metric.
                    if name not in found:
                        labels = book.labels(known[name], name, rule, self.stack.catalog)
                        found[name] = Alert(name, file, interval, rule, known[name], labels)
        return [found[name] for name in known]

    @cached_property
    def cases(self) -> dict[str, str]:
        """The file that proves each alert with promtool."""
        return {
            alert: path.name
            for path in sorted((self.stack.root / CASES).glob("*.yml"))
            for alert in documents.load(path.read_text()) or {}
            if not alert.startswith(".")
        }

    def within(self, alert: Alert) -> float:
        """Seconds from the fault to the first message at the latest; without the wait for a digest."""
        wait = min((way.wait_seconds for way in self.ways(alert) if not way.digest), default=0)
        return alert.drill.takes + 2 * alert.interval + seconds(alert.rule.get("for")) + wait

    def ways(self, alert: Alert) -> list[routes.Way]:
        """The ways of the alert through the route tree."""
        return routes.ways(self.config, alert.labels)

    def silenced_by(self, alert: Alert) -> dict[str, list[str]]:
        """The alerts that silence this one, each with the services whose alert it is, "" where it has none."""
        found: dict[str, list[str]] = {}
        able = routes.silencing(self.config, alert.labels)
        for cause in self.alerts:
            # What maintenance silences the introduction says, for every alert at once.
            if cause.name in (alert.name, "ServiceUnderMaintenance"):
                continue
            for labels in self._variants(cause, alert):
                if routes.silences(able, labels, alert.labels):
                    found.setdefault(cause.name, []).append(labels.get("service", ""))
        return found

    def _variants(self, cause: Alert, alert: Alert) -> Iterator[dict[str, str]]:
        """The cause's labels as they would be for each service or dependency that can have it."""
        catalog, own = self.stack.catalog, cause.labels.get("service", "")
        needed = set(re.findall(r'capability="(\w+)"', str(cause.rule["expr"])))
        if own in catalog.by_name:
            for service in catalog.services:
                if needed <= set(service.capabilities):
                    yield {**cause.labels, "service": service.name, "team": service.team}
        elif own in catalog.dependencies:
            for name, dependency in catalog.dependencies.items():
                yield {**cause.labels, "service": name, "team": dependency.team}
        elif not own and "team" not in cause.rule["labels"]:
            # Several services at once, of a team that has several.
            if sum(service.team == alert.labels["team"] for service in catalog.services) > 1:
                yield {**cause.labels, "team": alert.labels["team"]}
        else:
            yield cause.labels


def _names(deployed: Mapping[str, rules.Document]) -> set[str]:
    every = (rule for document in deployed.values() for group in document["groups"] for rule in group["rules"])
    return {rule["alert"] for rule in every if "alert" in rule}


def text(stack: Stack) -> str:
    """The whole document. Raises InputError."""
    plan, settings = Plan(stack), stack.settings
    introduction = _INTRODUCTION.format(
        faults=stack.link(settings.faults_port),
        inbox=stack.link(settings.inbox_port),
        prometheus=stack.link(settings.prometheus_port),
        alertmanager=stack.link(settings.alertmanager_port),
        digest=settings.digest_time,
    )
    parts = [introduction]
    for file in dict.fromkeys(alert.file for alert in plan.alerts):
        parts.append(f"## {_title(stack, file)}\n")
        parts += [_entry(plan, alert) for alert in plan.alerts if alert.file == file]
    return wrapped("\n".join(parts))


def _title(stack: Stack, file: str) -> str:
    by_hand = source(file, stack.root).endswith(f"/{file}")
    return file if by_hand else "Rules that follow from the catalog"


def _entry(plan: Plan, alert: Alert) -> str:
    drill = alert.drill
    links = [f"[runbook](runbooks/{alert.name}.md)", f"[rule](../{source(alert.file, plan.stack.root)})"]
    if alert.name in plan.cases:
        links.append(f"[cases](../{CASES}/{plan.cases[alert.name]})")
    sentences = [*_told(plan, alert), *_silence(plan, alert)]
    lines = [f"### {alert.name}\n", f"{_subject(alert)}. {' '.join(sentences)} See {', '.join(links)}.\n"]
    if drill.made_up:
        lines += ["```bash changes", f"make drill ALERT={alert.name}", "```\n"]
    else:
        heal = drill.healing(plan.stack)
        lines += ["```bash changes", drill.command(plan.stack), *(["# to heal it:", heal] if heal else []), "```\n"]
    return "\n".join(lines)


def _subject(alert: Alert) -> str:
    severity = {"none": "heartbeat"}.get(alert.labels["severity"], alert.labels["severity"])
    service = f" of {alert.labels['service']}" if "service" in alert.labels else ""
    return f"{severity.capitalize()}{service}, team {alert.labels['team']}"


def _told(plan: Plan, alert: Alert) -> Iterator[str]:
    drill, ways = alert.drill, plan.ways(alert)
    channels = ", ".join(dict.fromkeys(channel for way in ways for channel in way.channels))
    if drill.expect.untold:
        yield f"Fires within {_span(plan.within(alert))} and is not told: {drill.expect.untold}. Else: {channels}."
    elif all(way.digest for way in ways):
        yield f"Fires within {_span(plan.within(alert))}; in the digest: {channels}."
    else:
        yield f"Told within {_span(plan.within(alert))}: {channels}."
    if drill.history:
        yield f"History: {_span(drill.history)}."
    if drill.series:
        yield "Its series are generated beside those that are scraped."
    if drill.past:
        yield "What it compares with is generated where Prometheus has recorded less."


def _silence(plan: Plan, alert: Alert) -> Iterator[str]:
    if alert.drill.expect.silences:
        yield f"Silences {', '.join(alert.drill.expect.silences)}."
    causes = []
    for name, services in plan.silenced_by(alert).items():
        others = [service for service in services if service and service != alert.labels.get("service")]
        whose = [*(["its own"] if len(others) < len(services) else []), *others]
        causes.append(f"{name} (of {', '.join(whose)})" if others else name)
    if causes:
        yield f"Silenced by {', '.join(causes)}."


def _span(amount: float) -> str:
    """Seconds in words, rounded up to what somebody with a watch can tell."""
    whole = math.ceil(amount / 5) * 5
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{math.ceil(minutes / 6) / 10:g} hours"
