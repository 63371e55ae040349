"""Silences of Alertmanager: what they cover, and which of them was somebody's answer to an alert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.errors import InputError
from operate.api import Api
from operate.review.episodes import Episode, Labels


@dataclass(frozen=True)
class Silence:
    """In force from `start` to `end`, Unix seconds."""

    start: float
    end: float
    author: str
    comment: str
    matchers: tuple[dict[str, Any], ...]
    environment: str

    def covers(self, labels: Labels) -> bool:
        """Whether all matchers fit; a label that is missing is empty, an expression fits the whole value.

        Every alert of a stack gets the label `environment` on its way to Alertmanager.
        """
        seen = labels | {"environment": self.environment}
        return all(_fits(matcher, seen.get(matcher["name"], "")) for matcher in self.matchers)

    @property
    def subject(self) -> str:
        """Its matchers as amtool writes them."""
        return " ".join(f'{each["name"]}{_sign(each)}"{each["value"]}"' for each in self.matchers)


def _sign(matcher: dict[str, Any]) -> str:
    equal = matcher.get("isEqual", True)
    if matcher["isRegex"]:
        return "=~" if equal else "!~"
    return "=" if equal else "!="


def _fits(matcher: dict[str, Any], value: str) -> bool:
    found: bool = re.fullmatch(matcher["value"], value) is not None if matcher["isRegex"] else matcher["value"] == value
    return found is bool(matcher.get("isEqual", True))


def read(api: Api, environment: str) -> list[Silence]:
    """Every silence that Alertmanager still knows, by its start: it forgets one five days after its end.

    Raises InputError.
    """
    answer = api.ask("/api/v2/silences")
    if not isinstance(answer, list):
        raise InputError(f"{api.name} answers, but not as one; {api.remedy}.")
    found = [
        Silence(
            _unix(entry["startsAt"]),
            _unix(entry["endsAt"]),
            entry["createdBy"],
            entry["comment"],
            tuple(entry["matchers"]),
            environment,
        )
        for entry in answer
    ]
    return sorted(found, key=lambda silence: silence.start)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def acknowledged(episode: Episode, silences: Sequence[Silence]) -> Silence | None:
    """The first silence that was made while the alert fired and covers it."""
    return next(
        (
            silence
            for silence in silences
            if silence.start >= episode.start
            and (episode.end is None or silence.start < episode.end)
            and silence.covers(episode.labels)
        ),
        None,
    )


def silenced(episode: Episode, silences: Sequence[Silence]) -> bool:
    """Whether a silence was in force when the alert began to fire, so that nobody was told."""
    return any(s.start < episode.start < s.end and s.covers(episode.labels) for s in silences)
