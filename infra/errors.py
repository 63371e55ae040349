"""The one error a person may cause, and how a broken file or value becomes a sentence."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra import documents

_SHOWN = 120
_MARKS = ("function-after", "[key]")


class InputError(Exception):
    """Bad input: one sentence that names the place and the remedy. Nothing has been touched."""


def one_line(text: str) -> str:
    """A text with what would break its line, or colour a terminal, written as Python writes it."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shown(value: object) -> str:
    """A value as a sentence can hold it: one line, and of a long one the beginning."""
    text = one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text)} characters)"


def quoted(value: object) -> str:
    """What a person gave, in quotes where it is text, as `shown` shows it."""
    return shown(repr(value))


def first_failure(place: str, error: ValidationError, base: tuple[str | int, ...] = ()) -> str:
    """Say the first failure of `error` as "place: key: what is wrong", with the value where it helps."""
    failure = error.errors(include_url=False)[0]
    # pydantic's own marks of where it was: a check of the whole, a mapping's key.
    steps = (*base, *(shown(s) if isinstance(s, str) else s for s in failure["loc"] if s not in _MARKS))
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    if failure["type"] == "extra_forbidden":
        return f"{place}: {path}: unknown key; remove it or correct its spelling."
    message = failure["msg"].removeprefix("Value error, ")
    if failure["type"] == "missing":
        return f"{place}: {path}: missing; add it."
    if failure["type"] == "value_error":
        return f"{place}: {path}: {message}" if path else f"{place}: {message}"
    return f"{place}: {path}: is {quoted(failure['input'])}; {message[0].lower()}{message[1:]}."


def read_text(path: Path, root: Path) -> str:
    """The text of a file below the project's root. Raises InputError where it is missing or no text."""
    place = path.relative_to(root)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{place}: missing; restore it from git.") from None
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror}); restore it from git.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{place}: is no UTF-8 text at line {line}; save it as that.") from None


def read_yaml(path: Path, root: Path) -> Any:
    """What a YAML file below the project's root says. Raises InputError where it is missing or no YAML."""
    place = path.relative_to(root)
    try:
        return documents.load(read_text(path, root))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{place}: not valid YAML{line} ({shown(problem)}); correct it.") from None


def read_mapping(path: Path, root: Path) -> dict[str, Any]:
    """What a YAML file says that is a mapping of names. Raises InputError where it is not."""
    found = read_yaml(path, root)
    if not isinstance(found, dict):
        raise InputError(f"{path.relative_to(root)}: is not a mapping; see the version in git.")
    odd = [key for key in found if not isinstance(key, str)]
    if odd:
        place = path.relative_to(root)
        raise InputError(f"{place}: the key {shown(odd[0])} is no text; put it in quotes, or remove it.")
    return found
