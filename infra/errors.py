"""The one error a person may cause, and how a broken file or value becomes a sentence."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra import documents


class InputError(Exception):
    """Bad input: one sentence that names the place and the remedy. Nothing has been touched."""


def first_failure(place: str, error: ValidationError, base: tuple[str | int, ...] = ()) -> str:
    """Say the first failure of `error` as "place: key: what is wrong", with the value where it helps."""
    failure = error.errors(include_url=False)[0]
    steps = (*base, *(s for s in failure["loc"] if s != "function-after"))
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    if failure["type"] == "extra_forbidden":
        return f"{place}: {path}: unknown key; remove it or correct its spelling."
    message = failure["msg"].removeprefix("Value error, ")
    if failure["type"] == "missing":
        return f"{place}: {path}: missing; add it."
    if failure["type"] == "value_error":
        return f"{place}: {path}: {message}" if path else f"{place}: {message}"
    return f"{place}: {path}: is {failure['input']!r}; {message[0].lower()}{message[1:]}."


def read_yaml(path: Path, root: Path) -> Any:
    """What a YAML file below the project's root says. Raises InputError where it is missing or no YAML."""
    place = path.relative_to(root)
    try:
        return documents.load(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{place}: missing; restore it from git.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{place}: not valid YAML{line}; correct it.") from None
