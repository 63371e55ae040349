"""`make check-service` against a real service, and against the same one with each thing spoiled that it must find."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from operate.__main__ import main
from simulator.web_common import utc_now
from tests.unit.loopback import loop_thread, services

SERVICE = "wallet-service"
DEPENDENCIES = ("database", "redis", "rabbitmq")
Edit = Callable[[str], str]


@dataclass(frozen=True)
class Pages:
    metrics: str
    health: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """What a service that keeps the contract answers: a simulated one's pages, as if it had dependencies."""
    with loop_thread() as loop, services(loop, tmp_path_factory.mktemp("service")) as start:
        running = start(capabilities=["http", "wallet"])
        running.steps(30)
        told = "".join(f'service_dependency_up{{dependency="{name}"}} 1.0\n' for name in DEPENDENCIES)
        head = "# TYPE service_dependency_up gauge\n"
        metrics = running.page().replace(head, head + told)
        assert told in metrics
    states = dict.fromkeys(DEPENDENCIES, "ok")
    health = {"status": "ok", "timestamp": "NOW", "version": "1.0.0", "dependencies": states}
    return Pages(metrics, json.dumps(health))


@contextmanager
def serving(pages: Pages, status: int = 200) -> Iterator[str]:
    """A server with these pages; NOW becomes the time of the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = pages.health.replace("NOW", utc_now()) if self.path == "/health" else pages.metrics
            self.send_response(status if self.path == "/health" else 200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@dataclass(frozen=True)
class Said:
    """How the command ended, with the blanks of its table folded."""

    status: int
    out: str
    err: str


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(url: str, *arguments: str, service: str = SERVICE) -> Said:
        status = main(["check-service", "--url", url, "--service", service, *arguments])
        captured = capsys.readouterr()
        return Said(status, " ".join(captured.out.split()), captured.err)

    return run


Check = Callable[..., Said]


def test_a_service_that_keeps_the_contract(whole: Pages, check: Check) -> None:
    with serving(whole) as url:
        said = check(url)
    assert said.status == 0, said
    assert "wallet-service keeps the contract" in said.out


def without(name: str) -> Edit:
    return lambda text: "".join(line for line in text.splitlines(True) if not re.match(rf"(# \w+ )?{name}\b", line))


def renamed(name: str, other: str) -> Edit:
    return lambda text: re.sub(rf"\b{name}(?=\b|_bucket|_sum|_count)", other, text)


def replaced(pattern: str, by: str) -> Edit:
    def edit(text: str) -> str:
        done, count = re.subn(pattern, by, text, flags=re.MULTILINE)
        assert count, f"{pattern} is not in the page"
        return done

    return edit


def many(text: str) -> str:
    series = "".join(f'deposits_total{{asset="A{number}",result="credited"}} 1\n' for number in range(1001))
    return replaced(r"^(# TYPE deposits_total counter\n)", rf"\1{series}")(text)


# What is done to the metrics, and what the table must say of it, blanks aside.
SPOILED: list[tuple[str, Edit, tuple[str, ...]]] = [
    ("a metric is missing", without("hot_wallet_floor"), ("hot_wallet_floor wrong missing", "expose it as a gauge")),
    (
        "it has another name",
        renamed("http_requests_total", "wallet_http_requests_total"),
        ("missing; there is wallet_http_requests_total", "wallet_http_requests_total: http_requests_total"),
    ),
    (
        "a histogram has another name",
        renamed("http_request_duration_seconds", "wallet_http_request_duration_seconds"),
        ("wallet_http_request_duration_seconds: http_request_duration_seconds",),
    ),
    (
        "its other name is of another unit",
        renamed("http_request_duration_seconds", "http_request_duration_milliseconds"),
        ("is in milliseconds", "a rename would not mend it"),
    ),
    (
        "it is of another type",
        replaced("^# TYPE withdrawals_pending gauge", "# TYPE withdrawals_pending counter"),
        ("withdrawals_pending wrong",),
    ),
    (
        "it has no series yet",
        replaced(r"^ledger_difference\{.*\n", ""),
        ("without a series", "with 0", "labels asset"),
    ),
    ("a label is missing", replaced(r',route="[^"]*"', ""), ("add the label route",)),
    ("a bucket is missing", replaced(r'^.*le="0.25".*\n', ""), ("add buckets at 0.25",)),
    (
        "milliseconds in a histogram",
        replaced(r"^(http_request_duration_seconds_sum\S*) .*", r"\1 1e9"),
        ("look like milliseconds",),
    ),
    (
        "milliseconds in a time",
        replaced(r"^process_start_time_seconds .*", "process_start_time_seconds 1764000000000"),
        ("no Unix time in seconds",),
    ),
    ("a label with addresses", replaced('status="200"', 'status="10.0.0.1"'), ("is an address",)),
    ("a label with customers", replaced('asset="BTC"', 'asset="someone@example.com"'), ("is an e-mail address",)),
    ("a raw path", replaced('route="[^"]*"', 'route="/orders/12345"'), ("is a number in a path",)),
    ("too many series", many, ("deposits_total alone has", "its label asset has")),
    (
        "a dependency is not told of",
        replaced(r'^service_dependency_up\{dependency="redis"\}.*\n', ""),
        ("also of redis",),
    ),
    ("not the format", lambda _: "<html>", ("client library",)),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in SPOILED], ids=[case[0] for case in SPOILED])
def test_finds_what_is_wrong_with_the_metrics(whole: Pages, check: Check, spoil: Edit, words: tuple[str, ...]) -> None:
    with serving(Pages(spoil(whole.metrics), whole.health)) as url:
        said = check(url)
    assert said.status == 1, said
    assert all(word in said.out for word in words), said.out
    assert re.search(r"\d+ of \d+ checks fail", said.out)


HEALTH: list[tuple[str, Edit, str]] = [
    ("no JSON", lambda _: "OK", "no JSON object"),
    ("another status", replaced('"status": "ok"', '"status": "UP"'), "one of ok, degraded"),
    ("no version", replaced('"version": "1.0.0", ', ""), "the running version"),
    ("an old time", replaced("NOW", "2025-11-30T10:30:00Z"), "away from now"),
    ("a time of no zone", replaced("NOW", "2025-11-30T10:30:00"), "of no time zone"),
    ("a dependency is missing", replaced('"redis": "ok", ', ""), "also the state of redis"),
    ("a dependency too many", replaced('"redis": "ok"', '"redis": "ok", "kafka": "ok"'), "kafka is not among"),
    ("another state", replaced('"redis": "ok"', '"redis": true'), "each state is one of ok, down"),
]


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in HEALTH], ids=[case[0] for case in HEALTH])
def test_finds_what_is_wrong_with_health(whole: Pages, check: Check, spoil: Edit, words: str) -> None:
    with serving(Pages(whole.metrics, spoil(whole.health))) as url:
        said = check(url)
    assert said.status == 1, said
    assert words in said.out


def test_a_health_that_fails(whole: Pages, check: Check) -> None:
    with serving(whole, status=500) as url:
        said = check(url)
    assert said.status == 1
    assert "HTTP 500" in said.out


def test_a_service_the_catalog_does_not_know(whole: Pages, check: Check) -> None:
    with serving(whole) as url:
        unknown = check(url, service="staking-service")
        told = check(url, "--capabilities", "http,wallet", service="staking-service")
    assert unknown.status == 2
    assert "add its entry, or say what it can do with CAPABILITIES=" in unknown.err
    assert told.status == 0, told


def test_nothing_answers(check: Check) -> None:
    said = check("http://127.0.0.1:1")
    assert said.status == 2
    assert "start the service, or correct URL" in said.err


def test_the_catalogs_own_renames_are_taken(whole: Pages, check: Check) -> None:
    spoken = renamed("http_requests_total", "trade_engine_http_requests_total")(whole.metrics)
    with serving(Pages(spoken, whole.health)) as url:
        said = check(url, service="trading-engine")
    assert "http_requests_total ok counter" in said.out
