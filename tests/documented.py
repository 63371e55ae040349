"""What the documents say to type: the commands that only look, as the two live stacks run them."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.settings import ROOT
from tests.markdown import OUTSIDE, Command, commands, exported

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUNBOOKS = ROOT / "docs/runbooks"
# The variables that each stack has its own values of.
OWN = ("STACK", "POD", "NODE", "HOST", "STORES")
# What a command that only looks starts with.
LOOKS = re.compile(
    r"export |make (query|status|preview|check-service|policies|help)\b"
    r"|docker (ps|logs|inspect|stats --no-stream|exec \S+ (psql|rabbitmqctl (list_|status)|amtool .*(query|show)))"
    r"|kubectl (-n \S+ )?(get|describe|logs|top|exec \S+ (-c \S+ )?-- (psql|rabbitmqctl (list_|status)|amtool .*query))"
    r"|curl -[sG]"
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
        words = shlex.split(filled(self.text, {**self.variables, **own}))
        return next(word[2:] for word in words if word.startswith("Q="))


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with the variables that are given; others stay."""
    return re.sub(r"\$([A-Z_]+)", lambda match: variables.get(match[1], match[0]), text)


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
    """Each command of the documents that changes something, the runbooks' aside, with its place."""
    for page in DOCUMENTS:
        if page.parent == RUNBOOKS:
            continue
        for command in commands(page):
            if command.mark and command.mark != OUTSIDE:
                yield f"{page.relative_to(ROOT)}:{command.line}", command
