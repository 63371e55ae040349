"""Whom an alert reaches, and what silences it: Alertmanager's configuration, read as Alertmanager reads it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operate.replay import seconds

Labels = Mapping[str, str]

_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
_INHERITED = ("receiver", "group_wait", "group_interval", "active_time_intervals")


@dataclass(frozen=True)
class Way:
    """One way of an alert: the receiver's channels in words, seconds until its first message, or only in the digest.

    What is new of a group that was told goes in rounds of so many seconds.
    """

    channels: tuple[str, ...]
    wait_seconds: int
    round_seconds: int
    digest: bool


def ways(config: Mapping[str, Any], labels: Labels) -> list[Way]:
    """Every way that an alert takes through the route tree."""
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    return [
        Way(
            tuple(_channels(receivers[route["receiver"]])),
            int(seconds(route["group_wait"])),
            int(seconds(route["group_interval"])),
            "digest" in route.get("active_time_intervals", ()),
        )
        for route in _matched(config["route"], labels, {})
    ]


def _matched(route: Mapping[str, Any], labels: Labels, above: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The routes that take the alert: the deepest that match, one of each level unless it says `continue`."""
    own = {**above, **{key: route[key] for key in _INHERITED if key in route}}
    taken = False
    for child in route.get("routes", ()):
        if _fits(child.get("matchers", ()), labels):
            taken = True
            yield from _matched(child, labels, own)
            if not child.get("continue"):
                return
    if not taken:
        yield own


def _channels(receiver: Mapping[str, Any]) -> Iterator[str]:
    for page in receiver.get("pagerduty_configs", ()):
        yield f"PagerDuty for {page['group']}"
    for slack in receiver.get("slack_configs", ()):
        yield f"Slack {slack['channel']}"
    for mail in receiver.get("email_configs", ()):
        yield f"e-mail to {mail['to']}"
    for _ in receiver.get("webhook_configs", ()):
        yield "the receiver of the heartbeat"


def silencing(config: Mapping[str, Any], other: Labels) -> list[Mapping[str, Any]]:
    """The inhibit rules that can silence the alert."""
    return [rule for rule in config["inhibit_rules"] if _fits(rule["target_matchers"], other)]


def silences(rules: Iterable[Mapping[str, Any]], cause: Labels, other: Labels) -> bool:
    """Whether the one alert silences the other while both fire, by the rules that can silence it."""
    return any(_inhibits(rule, cause, other) for rule in rules)


def _inhibits(rule: Mapping[str, Any], cause: Labels, other: Labels) -> bool:
    source, target = rule["source_matchers"], rule["target_matchers"]
    if not _fits(source, cause):
        return False
    # What is on both sides of a rule is not silenced by another of that kind.
    if _fits(target, cause) and _fits(source, other):
        return False
    return all(cause.get(name, "") == other.get(name, "") for name in rule.get("equal", ()))


def _fits(matchers: Iterable[str], labels: Labels) -> bool:
    return all(_holds(matcher, labels) for matcher in matchers)


def _holds(matcher: str, labels: Labels) -> bool:
    name, operator, wanted = _parsed(matcher)
    value = labels.get(name, "")
    fits = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
    return fits != operator.startswith("!")


@functools.cache
def _parsed(matcher: str) -> tuple[str, str, str]:
    match = _MATCHER.fullmatch(matcher)
    if match is None:
        raise ValueError(f"{matcher!r} is no matcher of Alertmanager")
    return match[1], match[2], match[3]
