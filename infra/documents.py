"""YAML by libyaml where it is there: each command reads and writes all rules; Python's own takes ten times as long."""

from collections.abc import Iterator
from typing import Any

import yaml

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(text: str) -> Any:
    """The one document of a text. Raises yaml.YAMLError."""
    return yaml.load(text, _LOADER)  # noqa: S506 - a safe one


def load_all(text: str) -> Iterator[Any]:
    """Every document of a text. Raises yaml.YAMLError."""
    return yaml.load_all(text, _LOADER)


def dump(*documents: Any, width: int = 80) -> str:
    """A text of plain values, their keys in the order given."""
    return str(yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=width))
