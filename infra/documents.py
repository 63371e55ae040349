"""YAML by libyaml where it is there: each command reads and writes all rules; Python's own takes ten times as long."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


# Values of a document with its aliases written out; the largest here, all rules of Prometheus, has 6,000.
_MOST = 200_000
_BITS = 63


class _Loader(_LOADER):  # type: ignore[misc]
    """Refuses what YAML forbids and its library lets pass: of a key that stands twice, one would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class Dumper(_DUMPER):  # type: ignore[misc]
    """Writes texts of several lines as literal blocks: a reviewer reads them, and their changes, as they are."""


def _literal(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _literal)


def load(text: str) -> Any:
    """The one document of a text. Raises yaml.YAMLError."""
    with _as_yaml_errors():
        return _finite(yaml.load(text, _Loader))  # noqa: S506 - a safe one


def load_all(text: str) -> Iterator[Any]:
    """Every document of a text. Raises yaml.YAMLError."""
    with _as_yaml_errors():
        yield from yaml.load_all(text, _Loader)


@contextmanager
def _as_yaml_errors() -> Iterator[None]:
    """The library lets Python's own errors through: for a date without such a day, a tag whose value is none."""
    try:
        yield
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise yaml.YAMLError("a value that is not what its tag says") from None


def _finite(document: Any) -> Any:
    """The document, unless aliases make it endless, or so large that what walks through it comes to no end.

    Nor any number beyond 64 bits: Go's programs read none, and Python writes none of 4,300 digits.
    """
    rest, count = [document], 0
    while rest:
        value = rest.pop()
        rest += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        count += 1
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise yaml.YAMLError("a whole number that is longer than 64 bits")
        if count > _MOST:
            raise yaml.YAMLError(f"more than {_MOST} values with its aliases")
    return document


def dump(*documents: Any, width: int = 80) -> str:
    """A text of plain values, their keys in the order given."""
    return str(yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=width))
