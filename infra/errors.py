"""The one error a person may cause, and how a validation failure becomes a sentence."""

from pydantic import ValidationError


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
