"""Markdown wrapped as the house writes it, after names and numbers have been filled in."""

import re
import textwrap

WIDTH = 120
# Headings, tables, lists and comments keep their lines.
_KEPT = re.compile(r"[#|<-]|\d+\. ")


def wrapped(text: str) -> str:
    """The text with each plain paragraph wrapped anew; fenced blocks and whatever has a form of its own stay."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _paragraphs(part) for part in parts)


def _paragraphs(text: str) -> str:
    return "\n\n".join(_one(paragraph) for paragraph in text.split("\n\n"))


def _one(paragraph: str) -> str:
    inner = paragraph.strip("\n")
    if not inner or _KEPT.match(inner):
        return paragraph
    filled = textwrap.fill(" ".join(inner.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
    return paragraph.replace(inner, filled)
