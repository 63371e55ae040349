"""Requests as bytes, so that also those can be sent that no client library would send."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.unit.loopback import LOOPBACK

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "X")
# Spellings of a name within a path.
ODD = (
    *(
        "",
        "x",
        "..",
        ".",
        "%2e%2e",
        "%00",
        "%0a",
        "%ff",
        "%25",
        "%",
        "a%2fb",
        "%F0%9F%92%A5",
        "a b".replace(" ", "%20"),
    ),
    *("-1", "0", "null", "x" * 3000, "'", "%22", "%3Cscript%3E", "{name}", "*", ";", "a;b", "~", "constructor"),
)
HEADERS = (
    *(
        ("Content-Type", kind)
        for kind in ("text/plain", "application/json; charset=nobody", "x", "", "a/b; charset=", "*/*")
    ),
    *(("Content-Encoding", coding) for coding in ("gzip", "deflate", "br", "zstd", "nobody")),
    *(("Accept", "nobody/none"), ("Accept-Encoding", "nobody"), ("Cookie", "a=b; c"), ("Range", "bytes=9-1")),
    *(("Expect", "nothing"), ("If-Match", "*"), ("X-Odd", "\xff"), ("Authorization", "Basic !"), ("Host", "a b")),
    *(("Upgrade", "websocket"), ("Connection", "upgrade"), ("X-Long", "x" * 7000)),
)
_NUMBERS = st.integers() | st.floats() | st.sampled_from((10**400, -1, 1e308, 0.1))
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.text(max_size=20)
_VALUES = st.recursive(
    _LEAVES,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=8), some, max_size=3),
    max_leaves=8,
)
_NO_JSON = (
    *(
        b"",
        b" ",
        b"{",
        b"}",
        b"{a}",
        b"{'a': 1}",
        b"nul",
        b"\xff",
        b"\x00",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
    ),
    *(
        b"[" * 20_000,
        b'{"a":' * 20_000,
        b"9" * 5000,
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b"a=b&c=d",
    ),
    *(b"NaN", b"Infinity", b'{"ratio": NaN}', b'{"alerts": [NaN]}', b'{"a": "' + b"x" * 70_000 + b'"}'),
)


@dataclass(frozen=True)
class Request:
    """One request; its Content-Length is always right."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A status, the media type without its parameters, and the body."""

    status: int
    kind: str
    body: bytes


def bodies(valid: tuple[Any, ...]) -> st.SearchStrategy[bytes]:
    """Valid bodies, those with some value exchanged or some key more, and what is no JSON."""
    objects = [each for each in valid if isinstance(each, dict)]

    def changed(parts: tuple[dict[str, Any], str, Any]) -> Any:
        whole, key, value = parts
        return {**whole, key: value}

    keys = sorted({key for each in objects for key in each})
    mutated = st.tuples(st.sampled_from(objects), st.sampled_from(keys) | st.text(max_size=8), _VALUES).map(changed)
    return (st.sampled_from(valid) | mutated | mutated | _VALUES).map(_json) | st.sampled_from(_NO_JSON)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def requests_for(paths: tuple[str, ...], names: tuple[str, ...], valid: tuple[Any, ...]) -> st.SearchStrategy[Request]:
    """Requests to paths whose `*` stands for a name, known or odd."""
    spelled = st.sampled_from(names) | st.sampled_from(names) | st.sampled_from(ODD)

    @st.composite
    def request(draw: st.DrawFn) -> Request:
        path = draw(st.sampled_from(paths))
        while "*" in path:
            path = path.replace("*", draw(spelled).replace("*", "%2A"), 1)
        method = draw(st.sampled_from(("PUT", "PUT", "POST", "POST", "DELETE", "GET", *METHODS)))
        headers = draw(st.just(()) | st.sampled_from(HEADERS).map(lambda header: (header,)))
        return Request(method, path, draw(bodies(valid)), headers)

    return request()


def send(port: int, request: Request, seconds: float = 20.0) -> Answer:
    """The answer to a request. Raises OSError where none comes in time, ValueError where it is no HTTP."""
    lines = [f"{request.method} {request.path} HTTP/1.1"]
    lines += [] if any(name == "Host" for name, _ in request.headers) else [f"Host: {LOOPBACK}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    lines += [f"Content-Length: {len(request.body)}", "Connection: close", "", ""]
    with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
        connection.settimeout(seconds)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            connection.sendall("\r\n".join(lines).encode("latin-1") + request.body)
        received = b""
        while block := _block(connection):
            received += block
    return _parsed(received)


def _block(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def _parsed(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), fields.get("content-type", "").partition(";")[0], body)
