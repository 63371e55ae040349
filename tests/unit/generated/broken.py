"""Breaks a valid YAML document in the ways people, editors, merges and disks do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from infra import documents

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Path_ = tuple[str | int, ...]

LAUGHS = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n".encode()
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
# What stands in a file instead of everything it held.
WHOLES = (
    *(b"", b"\n", b"null", b"~: 1", b"[]", b"{}", b"42", b"- 1\n- 2", b"text", b"true", b"---\na: 1\n---\nb: 2\n"),
    *(b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"caf\xe9: 1", "a: ü".encode("utf-16"), b"\t- a", b"%YAML 9.9\n---\na: 1"),
    *(b"a: &a [*a]", b"a: &a {b: *a}", b"<<: *nobody", b"<<: 1", b"? [1, 2]\n: 3", b"? {a: 1}\n: 3", LAUGHS),
    *(b"!!python/object/apply:os.system ['exit 3']", b"!!python/name:os.system", b"!unknown a", b"!!set {a, b}"),
    *(
        b"!!int x",
        b"!!float x",
        b"!!bool x",
        b"!!timestamp x",
        b"!!binary '*'",
        b"!!omap [a]",
        b"a: 2024-13-45",
        b"a: =",
    ),
    *(b"[" * 5000, b"{a: " * 5000, b"- " * 5000, b"a: " + b"9" * 5000, b"a: 0x" + b"f" * 9000, b"a: '" + b"x" * 99999),
)
# What stands in place of one value.
VALUES: tuple[Any, ...] = (
    *(None, "", " ", True, False, 0, -1, 1.5, 10**30, -(10**30), 1e308, float("nan"), float("inf"), -float("inf")),
    *([], {}, [[]], [None], {"a": None}, [{}], {1: 2}, {None: 1}, {True: 1}, ["a", 1], [[["a"]]], {"a": {"b": ["c"]}}),
    *(
        "x" * 20_000,
        "a\nb",
        "a\tb",
        "\x00",
        "\x1b[31mred",
        "\u202etxt",
        "\U0001f4a5",
        "\ud7ff",
        "\u017fervice",
        "a b",
        "a.b",
    ),
    *(
        '"',
        "'",
        "\\",
        "`id`",
        "$(id)",
        "${HOME}",
        "$$",
        "%s",
        "{}",
        "{{ x }}",
        "{{",
        "{% if %}",
        "{0}",
        "<b>",
        "a|b",
        ".*",
    ),
    *(
        "../../../etc/passwd",
        "/etc/passwd",
        "-",
        "--help",
        "~",
        "null",
        "0",
        "-1",
        "1e9",
        "nan",
        "NaN",
        "inf",
        "9" * 5000,
    ),
    *("http://", "http://[", "http://a:b", "://", "a:0", ":443", "[::1]:443", "a@b", "#", "# a", "*", "&a", "!a", "@a"),
)
# What is put into the text at one place.
SPLINTERS = (
    *(b"\x00", b"\xff", b"\xc3", b"\xe2\x80\xae", b"\x1b", b"\r", b"\n", b"\t", b"\n\t", b" ", b"  "),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b":",
        b": ",
        b"- ",
        b"#",
        b"|",
        b">",
        b"?",
        b"%",
        b"@",
        b"`",
        b",",
        b"=",
        b"~",
    ),
    *(b"&a ", b"*a", b"!!int ", b"!!bool ", b"!!binary ", b"!!python/object:os.system ", b"!x ", b"<<: ", b"\n---\n"),
    *(
        b"\n...\n",
        b"<<<<<<< HEAD\n",
        b"=======\n",
        b">>>>>>> main\n",
        b"2024-13-45",
        b"0o9",
        b"0x",
        b"1_0",
        b".nan",
        b".inf",
    ),
)


def places(document: Any, at: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in a document, its own included."""
    yield at
    items: Iterable[tuple[Any, Any]] = document.items() if isinstance(document, dict) else ()
    items = enumerate(document) if isinstance(document, list) else items
    for key, value in items:
        yield from places(value, (*at, key))


def _parent(document: Any, at: Path_) -> Any:
    for step in at[:-1]:
        document = document[step]
    return document


def _swapped(value: Any) -> Any:
    """A list for a mapping, a mapping for a list, and either around a value."""
    if isinstance(value, dict):
        return [{key: item} for key, item in value.items()]
    if isinstance(value, list):
        return dict(enumerate(value))
    return [value]


def _renamed(holder: Any, key: Any, new: Any) -> None:
    if isinstance(holder, dict):
        items = [(new if each == key else each, value) for each, value in holder.items()]
        holder.clear()
        holder.update(items)
    else:
        holder.append(copy.deepcopy(holder[key]))


@st.composite
def _of_document(draw: st.DrawFn, document: Any, found: list[Path_]) -> bytes:
    changed = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        at = draw(st.sampled_from(found))
        way = draw(st.sampled_from(("value", "value", "value", "gone", "more", "name", "swap")))
        try:
            holder, value = _parent(changed, at), changed
            for step in at:
                value = value[step]
        except (KeyError, IndexError, TypeError):
            continue  # the first change took this place away
        if at and not isinstance(holder, dict | list):
            continue  # or put a text there, which has places too
        if not at:
            changed = draw(st.sampled_from(VALUES)) if way == "value" else _swapped(changed)
        elif way == "value":
            holder[at[-1]] = draw(st.sampled_from(VALUES) | st.text(max_size=30) | st.integers() | st.floats())
        elif way == "gone":
            del holder[at[-1]]
        elif way == "more" and isinstance(value, dict):
            value[draw(st.sampled_from(("unknown", "Unknown", "", 1, None, True, 1.5)) | st.text(max_size=9))] = 1
        elif way == "more" and isinstance(value, list):
            value.append(draw(st.sampled_from((None, 1, {}, [], "unknown", *value[:3]))))
        elif way == "name":
            _renamed(holder, at[-1], draw(st.sampled_from(("unknown", "", 1, None, False, "a b", '"'))))
        else:
            holder[at[-1]] = _swapped(value)
    return str(yaml.dump(changed, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)).encode()


@st.composite
def _of_text(draw: st.DrawFn, text: bytes) -> bytes:
    way = draw(st.sampled_from(("cut", "splinter", "splinter", "line gone", "line twice", "lines turned", "twice")))
    if way == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if way == "splinter":
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.sampled_from(SPLINTERS) | st.binary(min_size=1, max_size=4)) + text[at:]
    lines = text.splitlines(keepends=True)
    if way == "twice" or not lines:
        return text + text
    at = draw(st.integers(0, len(lines) - 1))
    if way == "line gone":
        del lines[at]
    elif way == "line twice":
        lines.insert(at, lines[at])
    else:
        lines[at - 1], lines[at] = lines[at], lines[at - 1]
    return b"".join(lines)


def of(text: bytes) -> st.SearchStrategy[bytes]:
    """Broken forms of a YAML text."""
    document = documents.load(text.decode())
    found = list(places(document))
    return st.one_of(
        _of_document(document, found), _of_document(document, found), _of_text(text), st.sampled_from(WHOLES)
    )


def of_words(text: bytes) -> st.SearchStrategy[bytes]:
    """Broken forms of a text that is no YAML."""
    return _of_text(text) | st.sampled_from(WHOLES)


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _nowhere(path: Path) -> None:
    path.symlink_to("nobody-has-this")


# What stands at a file's place and is no file.
INSTEAD: dict[str, Callable[[Path], None]] = {
    "nothing": lambda _path: None,
    "a directory": _directory,
    "a link to itself": _loop,
    "a link to nothing": _nowhere,
}
