"""In words: which alerts and thresholds two sides have differently."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.rules import EVERY
from operate.preview.sides import Side

Rule = dict[str, Any]


@dataclass(frozen=True)
class Alerts:
    """What one side says about its alerts.

    `rules` by alert and labels; `thresholds` by alert and service, EVERY standing for those not named; `muted` with the
    reason, likewise.
    """

    rules: dict[str, dict[str, Rule]]
    thresholds: dict[str, dict[str, str]]
    muted: dict[str, dict[str, str]]


def changes(before: Side, after: Side, units: Mapping[str, str]) -> list[str]:
    """A sentence for each difference, by the alert's name; `units` are those of the thresholds."""
    old, new = _of(before), _of(after)
    found: list[str] = []
    for name in sorted(old.rules.keys() | new.rules.keys()):
        if name not in old.rules:
            rule = next(iter(new.rules[name].values()))
            waits = f", after {rule['for']}" if "for" in rule else ""
            found.append(
                f"new: **{name}** ({rule['labels']['severity']}{waits}): {_plain(rule['annotations']['summary'])}"
            )
        elif name not in new.rules:
            found.append(f"gone: **{name}**; nothing tells of this any more")
        else:
            # A mute wraps the expression, and is told as what it is.
            muted = old.muted.get(name) != new.muted.get(name)
            found += [f"**{name}**: {words}" for words in _of_alert(old.rules[name], new.rules[name], muted)]
    return [*found, *_thresholds(old, new, units), *_mutes(old, new)]


def _of(side: Side) -> Alerts:
    found = Alerts({}, {}, {})
    for document in side.rules.values():
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            labels = rule.get("labels", {})
            if "alert" in rule:
                # One of the catalog comes once for each metric; one of a file once for each severity, at most.
                found.rules.setdefault(rule["alert"], {})[labels.get("metric", "")] = rule
            elif rule["record"] == "alert:threshold":
                found.thresholds[labels["alert"]] = _by_service(str(rule["expr"]))
            elif rule["record"] == "catalog:alert:muted":
                found.muted.setdefault(labels["muted"], {})[labels["service"]] = labels["reason"]
    return found


def _by_service(expr: str) -> dict[str, str]:
    """The values in an expression of `alert:threshold`, as infra/rules.py writes them."""
    tuned = {service: value for value, service in re.findall(r'vector\(([^)]+)\), "service", "([^"]+)"', expr)}
    return tuned | {EVERY: expr.rpartition(" + ")[2]}


def _of_alert(old: dict[str, Rule], new: dict[str, Rule], muted: bool) -> Iterator[str]:
    if added := sorted(new.keys() - old.keys()):
        yield f"also for {', '.join(added)}"
    if removed := sorted(old.keys() - new.keys()):
        yield f"no longer for {', '.join(removed)}"
    # What all of them have differently is said once.
    yield from dict.fromkeys(words for key in old if key in new for words in _of_rule(old[key], new[key], muted))


def _of_rule(before: Rule, after: Rule, muted: bool) -> Iterator[str]:
    for key in ("for", "keep_firing_for"):
        if before.get(key) != after.get(key):
            yield f"`{key}` {before.get(key, 'none')} → {after.get(key, 'none')}"
    for label in sorted(before["labels"].keys() | after["labels"].keys()):
        one, other = (rule["labels"].get(label, "none") for rule in (before, after))
        if one != other:
            yield f"{label} {one} → {other}"
    if before["expr"] != after["expr"] and not muted:
        yield "its expression changes, as the lines below show"
    if before["annotations"] != after["annotations"]:
        yield f"what it says changes: {', '.join(_differing(before['annotations'], after['annotations']))}"


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _plain(summary: str) -> str:
    """A summary without its template's syntax."""
    return re.sub(r"{{[^}]*\.(\w+)[^}]*}}", r"<\1>", summary)


def _thresholds(old: Alerts, new: Alerts, units: Mapping[str, str]) -> Iterator[str]:
    for alert in sorted(old.thresholds.keys() & new.thresholds.keys()):
        before, after = old.thresholds[alert], new.thresholds[alert]
        for service in sorted(before.keys() | after.keys()):
            one, other = (side.get(service, side[EVERY]) for side in (before, after))
            if one != other:
                whom = "all services" if service == EVERY else service
                yield f"**{alert}**: threshold {float(one):g} → {float(other):g} {units.get(alert, '')} for {whom}"


def _mutes(old: Alerts, new: Alerts) -> Iterator[str]:
    for alert in sorted(old.muted.keys() | new.muted.keys()):
        before, after = old.muted.get(alert, {}), new.muted.get(alert, {})
        for service in sorted(before.keys() | after.keys()):
            whom = "all services" if service == EVERY else service
            if service not in before:
                yield f"**{alert}**: muted for {whom}: {after[service]}"
            elif service not in after:
                yield f"**{alert}**: no longer muted for {whom}"
