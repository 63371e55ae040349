"""What the documents say to type: the commands that only look, as the two live stacks run them."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.settings import ROOT
from tests.markdown import CHANGES, OUTSIDE, Command, commands, exported, filled, query

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUNBOOKS = ROOT / "docs/runbooks"
PLAN = ROOT / "docs/ALERT_TEST_PLAN.md"
# The variables that each stack has its own values of.
OWN = ("STACK", "POD", "NODE", "HOST", "STORES")
# What `make capacity` says before the stack's first full hour is over; its answers are tests/day_two's matter.
YOUNG = "has no history of anything that is looked at"
# What a command that only looks starts with.
_INSIDE = r"(psql|rabbitmqctl (list_|status)|wget -q -O - |amtool (.* )?(query|show|routes test)\b)"
LOOKS = re.compile(
    r"export |make (query|status|check-service|review|capacity)\b"
    rf"|docker (ps|logs|inspect|stats --no-stream|system df|exec \S+ {_INSIDE})"
    r"|kubectl (-n \S+ )?(get|describe|logs|top|version|auth can-i|config current-context|rollout status)\b"
    rf"|kubectl -n \S+ exec \S+ (-c \S+ )?-- ({_INSIDE}|sh -c \"\$AMTOOL (alert|silence) query\b)"
    r"|curl -s(?!.* -X)"
)


@dataclass(frozen=True)
class Look:
    """A command that only looks, as it is written, and the variables that its document sets, but for those of OWN."""

    text: str
    page: str
    variables: Mapping[str, str]

    def environment(self, **own: str) -> dict[str, str]:
        """What the shell that it is typed in has, on a stack."""
        return {**os.environ, **self.variables, **own}

    def query(self, **own: str) -> str:
        """The expression of a `make query` on a stack."""
        return query(self.text, {**self.variables, **own})


def changes(page: str, *starts: str) -> list[Look]:
    """The commands of a document that change something and start with one of the words."""
    variables = exported(commands(ROOT / page))
    marked = [command for command in commands(ROOT / page) if command.mark == CHANGES]
    return [Look(each.text, page, variables) for each in marked if each.text.startswith(starts)]


def unmarked(page: Path) -> list[Command]:
    """The commands of a document that carry no mark."""
    return [command for command in commands(page) if not command.mark]


def looks(*starts: str) -> list[Look]:
    """Each command of the documents that only looks and starts with one of the words, once."""
    found: dict[str, Look] = {}
    for page in DOCUMENTS:
        variables = {name: value for name, value in exported(commands(page)).items() if name not in OWN}
        for command in unmarked(page):
            if command.text.startswith(tuple(f"{start} " for start in starts)) or command.text in starts:
                look = Look(command.text, page.relative_to(ROOT).as_posix(), variables)
                found.setdefault(filled(command.text, variables), look)
    return list(found.values())


def changing() -> Iterator[tuple[str, Command]]:
    """Each command of the documents that changes something, with its place.

    But for what a person does in an incident, and for the plan of alerts, which tests/unit/test_drills.py holds.
    """
    for page in DOCUMENTS:
        if page.parent == RUNBOOKS or page == PLAN:
            continue
        for command in commands(page):
            if command.mark and command.mark != OUTSIDE:
                yield f"{page.relative_to(ROOT)}:{command.line}", command
