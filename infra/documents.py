"""YAML by libyaml where it is there: each command reads and writes all rules; Python's own takes ten times as long."""

from collections.abc import Iterator
from typing import Any

import yaml

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Dumper(_DUMPER):  # type: ignore[misc]
    """Writes texts of several lines as literal blocks: a reviewer reads them, and their changes, as they are."""


def _literal(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _literal)


def load(text: str) -> Any:
    """The one document of a text. Raises yaml.YAMLError."""
    return yaml.load(text, _LOADER)  # noqa: S506 - a safe one


def load_all(text: str) -> Iterator[Any]:
    """Every document of a text. Raises yaml.YAMLError."""
    return yaml.load_all(text, _LOADER)


def dump(*documents: Any, width: int = 80) -> str:
    """A text of plain values, their keys in the order given."""
    return str(yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=width))
