"""What a Markdown document holds: its commands and its links."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# The second word of a fence: the command changes what runs; or it needs an account or a machine that no test has.
CHANGES = "changes"
OUTSIDE = "outside"


@dataclass(frozen=True)
class Command:
    """One command of a document, with continuation lines joined; `mark` is the fence's second word, if any."""

    text: str
    line: int
    mark: str


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with the variables that are given; others stay."""
    return re.sub(r"\$([A-Z_]+)", lambda match: variables.get(match[1], match[0]), text)


def query(text: str, variables: Mapping[str, str]) -> str:
    """The expression of a `make query Q=...`; empty for any other command."""
    if not text.startswith("make query"):
        return ""
    (expression,) = (word[2:] for word in shlex.split(filled(text, variables)) if word.startswith("Q="))
    return expression


def commands(path: Path) -> list[Command]:
    """Every command of the fenced `bash` blocks."""
    found = []
    for token in _tokens(path):
        words = token.info.split()
        if token.type == "fence" and words[:1] == ["bash"] and token.map:
            lines = enumerate(token.content.splitlines(), start=token.map[0] + 2)
            found += [Command(text, line, " ".join(words[1:])) for line, text in _joined(lines)]
    return found


def fences(path: Path) -> Iterator[tuple[str, str]]:
    """The language and the mark of each fence."""
    for token in _tokens(path):
        if token.type == "fence":
            language, _, mark = token.info.partition(" ")
            yield language, mark.strip()


def _joined(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    text = ""
    for number, line in lines:
        text += line.strip()
        if text.endswith("\\"):
            text = text[:-1]
            continue
        # A comment begins a line, or stands two blanks after a command.
        bare = re.sub(r"(^|\s{2,})#.*$", "", text).strip()
        if bare:
            yield number, bare
        text = ""


def exported(found: list[Command]) -> dict[str, str]:
    """The variables that the `export` lines of a document set."""
    words = [word for command in found if command.text.startswith("export ") for word in shlex.split(command.text)[1:]]
    return dict(word.split("=", 1) for word in words)


def links(path: Path) -> Iterator[str]:
    """Where each link and picture of a document leads, as written."""
    for token in _tokens(path):
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield str(target)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    tokens = _tokens(path)
    found: set[str] = set()
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(child.content for child in inline.children or [])
            found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return found


def broken(path: Path) -> Iterator[str]:
    """The links of a document that lead to no file or heading of the repository; others are not looked at."""
    for link in links(path):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = Path(os.path.normpath(path.parent / file)) if file else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            yield link


@cache
def _tokens(path: Path) -> list[Token]:
    """Read once: links and commands of every document are asked for many times."""
    return MarkdownIt("commonmark").enable("table").parse(path.read_text())
