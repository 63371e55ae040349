"""The /health answer, in the form the specification gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from infra.catalog import Catalog, Service
from operate.contract.answers import Answer, Finding

STATES = ("ok", "degraded")
DEPENDENCY_STATES = ("ok", "down")
# Clocks may differ by that; a time that is older was not made for this answer.
SKEW_SECONDS = 300


def check(known: Catalog, service: Service, answer: Answer) -> Iterator[Finding]:
    """Each part of the answer."""
    place = service.health_path
    if answer.status != HTTPStatus.OK:
        yield Finding(place, f"HTTP {answer.status}", "answer 200 as long as the service can do its work")
        return
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        yield Finding(
            place, f"no JSON object: {answer.body[:40]!r}", "answer with the JSON of docs/METRICS_CONTRACT.md"
        )
        return
    yield Finding(place, f"HTTP {answer.status} after {answer.seconds:.2f} s")
    status = body.get("status")
    fine = status in STATES
    yield Finding(f"{place} status", repr(status), "" if fine else f"one of {', '.join(STATES)}")
    yield _timestamp(f"{place} timestamp", body.get("timestamp"))
    version = body.get("version")
    told = isinstance(version, str) and bool(version)
    yield Finding(f"{place} version", repr(version), "" if told else "the running version, as a string")
    wanted = set(known.called_by(service)) if service.name in known.by_name else None
    yield _dependencies(f"{place} dependencies", body.get("dependencies"), wanted)


def _timestamp(what: str, value: Any) -> Finding:
    remedy = "the time of the answer in UTC, as 2025-11-30T10:30:00Z"
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return Finding(what, repr(value), remedy)
    if moment.tzinfo is None:
        return Finding(what, f"{value!r}, of no time zone", remedy)
    age = abs((datetime.now(UTC) - moment).total_seconds())
    return Finding(what, repr(value), "" if age < SKEW_SECONDS else f"{remedy}; this is {age:.0f} s away from now")


def _dependencies(what: str, value: Any, wanted: set[str] | None) -> Finding:
    """Without a catalog entry, `wanted` is None: any names will do."""
    if not isinstance(value, dict):
        names = ", ".join(sorted(wanted or ())) or "each dependency"
        return Finding(what, repr(value), f"an object with a state for {names}")
    states = {name: state for name, state in value.items() if state not in DEPENDENCY_STATES}
    if states:
        name, state = next(iter(states.items()))
        return Finding(what, f"{name}: {state!r}", f"each state is one of {', '.join(DEPENDENCY_STATES)}")
    if wanted is None:
        return Finding(what, ", ".join(value) or "none")
    if missing := wanted - value.keys():
        return Finding(what, ", ".join(value) or "none", f"also the state of {', '.join(sorted(missing))}")
    if more := value.keys() - wanted:
        return Finding(
            what,
            ", ".join(value),
            f"{', '.join(sorted(more))} is not among the dependencies of its catalog entry: add it",
        )
    return Finding(what, ", ".join(value) or "none")
