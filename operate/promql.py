"""What a PromQL expression reads: the one thing about it that has to be known before it is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# One alternative for each thing whose inside must not be mistaken for a metric name.
_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<number>[0-9.][0-9a-zA-Z_.]*)
      | (?P<sign>=~|!~|!=|.)""",
    re.VERBOSE | re.DOTALL,
)
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "Inf", "NaN", "start", "end"}


@dataclass(frozen=True)
class Selector:
    """One metric an expression reads, from character `start` to before `end`; `equal` are its label="value" matchers.

    `exact` says that `equal` is everything that selects. `modifier` is what follows: "[" for a range, "offset",
    "@", or nothing.
    """

    name: str
    equal: dict[str, str]
    exact: bool
    modifier: str
    start: int
    end: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def selectors(expr: str) -> list[Selector]:
    """Every metric selected by name, in the order of the text; `{__name__=~...}` names none and is left out."""
    tokens = [
        _Token(str(match.lastgroup), match.group(), match.start(), match.end())
        for match in _TOKEN.finditer(expr)
        if match.lastgroup != "blank"
    ]
    found: list[Selector] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        following = tokens[place + 1].text if place + 1 < len(tokens) else ""
        if token.kind == "name" and token.text in _LABEL_LISTS and following == "(":
            place = _closing(tokens, place + 1, ")") + 1
        elif token.text == "[":
            place = _closing(tokens, place, "]") + 1
        elif token.text == "{" or _is_metric(token, following):
            selector, place = _selector(tokens, place)
            if selector is not None:
                found.append(selector)
        else:
            place += 1
    return found


def names(expr: str) -> set[str]:
    """The names of the metrics an expression reads."""
    return {selector.name for selector in selectors(expr)}


def substitute(expr: str, replacement: Callable[[Selector], str | None]) -> str:
    """The expression with another one in place of each selector that `replacement` gives one for."""
    for selector in reversed(selectors(expr)):
        other = replacement(selector)
        if other is not None:
            expr = f"{expr[: selector.start]}({other}){expr[selector.end :]}"
    return expr


def _is_metric(token: _Token, following: str) -> bool:
    if token.kind != "name" or token.text in _WORDS | _LABEL_LISTS:
        return False
    # A function's or an aggregation's name is followed by its arguments or by its grouping.
    return following != "(" and following not in ("by", "without")


def _selector(tokens: list[_Token], place: int) -> tuple[Selector | None, int]:
    first = tokens[place]
    name = first.text if first.kind == "name" else ""
    equal: dict[str, str] = {}
    exact = True
    end = place + 1 if name else place
    if end < len(tokens) and tokens[end].text == "{":
        closing = _closing(tokens, end, "}")
        inside = tokens[end + 1 : closing]
        for label, operator, value in zip(inside, inside[1:], inside[2:], strict=False):
            if label.kind == "name" and value.kind == "text":
                if operator.text == "=":
                    equal[label.text] = value.text[1:-1]
                else:
                    exact = False
        end = closing + 1
    following = tokens[end].text if end < len(tokens) else ""
    name = name or equal.pop("__name__", "")
    if not name:
        return None, end
    modifier = following if following in ("[", "offset", "@") else ""
    return Selector(name, equal, exact, modifier, first.start, tokens[end - 1].end), end


def _closing(tokens: list[_Token], place: int, sign: str) -> int:
    while place < len(tokens) - 1 and tokens[place].text != sign:
        place += 1
    return place
