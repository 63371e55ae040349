"""The interfaces of the simulated exchange and of the inbox answer any request, and a refusal changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given

from simulator.config import ControlConfig, Secrets
from simulator.control import Control
from simulator.inbox.server import Inbox
from tests.conftest import Tried
from tests.unit.generated.trying import hold_to_one_sentence, tries
from tests.unit.generated.wire import Answer, Request, requests_for, send
from tests.unit.inbox_client import PAGERDUTY, SLACK, WEBHOOK
from tests.unit.loopback import LOOPBACK, LoopThread, Running, Start

State = Callable[[], Any]

# `crash` ends the process, which here is the test's own.
FAULTS = ("errors", "latency", "no_traffic", "health_hang", "stalled_matching", "disk_full", "high_cpu", "host_down")
PARAMETERS: tuple[Any, ...] = (
    {},
    {"ratio": 0.5},
    {"seconds": 1, "share": 0.5},
    {"available_ratio": 0.1},
    {"multiplier": 2},
)
BEHAVIOUR: Any = {"channel": "slack", "mode": "ok"}
MESSAGES: tuple[Any, ...] = (SLACK, PAGERDUTY, WEBHOOK, BEHAVIOUR, {"text": "a"})


@pytest.fixture
def service(start: Start) -> Running:
    return start(capabilities=["http", "trading"])


@pytest.fixture
def front(loop: LoopThread, service: Running, tmp_path: Path) -> Iterator[int]:
    """The port of the faults' front over one service."""
    addresses = {"trading-engine": service.url}

    async def create() -> Control:
        config = ControlConfig(0, 0, 0, "1.0.0", {"trading-engine": service.control}, addresses, {})
        control = Control(config, Secrets(tmp_path), LOOPBACK)
        await control.start()
        return control

    control = loop.run(create())
    yield control.main.port
    loop.run(control.stop())


@pytest.fixture
def inbox(loop: LoopThread, tmp_path: Path) -> Iterator[int]:
    """The port of an inbox."""

    async def create() -> Inbox:
        opened = Inbox(tmp_path / "inbox", 0, 0, host=LOOPBACK)
        await opened.start()
        return opened

    opened = loop.run(create())
    yield opened.web.port
    loop.run(opened.stop())


def asked(port: int, path: str) -> Any:
    return requests.get(f"http://{LOOPBACK}:{port}{path}", timeout=20).json()


def faults_of(port: int) -> State:
    """Which faults are in force, with their parameters."""

    def state() -> Any:
        every = asked(port, "/api/faults")
        return {
            service: {name: fault["parameters"] for name, fault in each["active"].items()}
            for service, each in every.items()
        }

    return state


def kept_by(port: int) -> State:
    """What an inbox has, and how its channels behave."""

    def state() -> Any:
        beats = [beat["name"] for beat in asked(port, "/api/heartbeats")["heartbeats"]]
        return asked(port, "/api/notifications/count"), asked(port, "/api/behaviour"), beats

    return state


def judge(request: Request, answer: Answer, intended: tuple[int, ...] = ()) -> str:
    """Raise AssertionError unless the request was served, or refused in one sentence."""
    if answer.status < 400 or answer.status in intended:
        return "served"
    assert answer.status < 500, f"{answer.status} {answer.body[:300]!r}"
    if answer.status in (400, 417) and answer.kind == "text/plain":
        return "refused as no HTTP"  # by the server's parser, before any handler
    if request.method != "HEAD":
        assert answer.kind == "application/json", f"{answer.status} {answer.kind} {answer.body[:300]!r}"
        hold_to_one_sentence(json.loads(answer.body)["error"])
    return "refused in one sentence"


def attempt(port: int, request: Request, state: State, tally: Counter[str]) -> None:
    """Send one request; what it is refused must not change anything."""
    before = state()
    outcome = judge(request, send(port, request))
    if outcome != "served":
        assert state() == before
    tally[outcome] += 1


def test_the_front_of_the_faults(front: int, tried: Tried) -> None:
    tally, state = Counter[str](), faults_of(front)
    paths = (
        "/api/faults/*/*",
        "/api/faults/*/*",
        "/api/faults/*/*",
        "/api/faults",
        "/",
        "/*",
        "/api/*",
        "/health",
        "/metrics",
    )

    @tries(60)
    @given(requests_for(paths, ("trading-engine", "infrastructure", *FAULTS), PARAMETERS))
    @example(Request("PUT", f"/api/faults/trading-engine/{'x' * 3000}"))
    @example(Request("PUT", "/api/faults/trading-engine/errors", b'{"ratio": 1' + b"0" * 400 + b"}"))
    def try_each(request: Request) -> None:
        attempt(front, request, state, tally)
        requests.delete(f"http://{LOOPBACK}:{front}/api/faults", timeout=20)

    try_each()
    tried("requests", tally)


def test_a_service_and_its_faults(service: Running, front: int, tried: Tried) -> None:
    tally, state = Counter[str](), faults_of(front)
    control = int(service.control.rpartition(":")[2])

    @tries(30)
    @given(requests_for(("/faults/*", "/faults/*", "/faults", "/*"), FAULTS, PARAMETERS))
    def try_each(request: Request) -> None:
        attempt(control, request, state, tally)
        requests.delete(f"{service.control}/faults", timeout=20)

    try_each()
    tried("requests", tally)


def test_a_service_behind_the_front(service: Running, front: int, tried: Tried) -> None:
    tally, state = Counter[str](), faults_of(front)
    main = int(service.url.rpartition(":")[2])
    own = ("/api/orders", "/api/orders/*", "/api/book/*", "/health", "/metrics", "/*")

    @tries(30)
    @given(requests_for(own, ("x", "BTC-USD"), ({"market": "BTC-USD", "side": "buy"},)))
    @example(Request("POST", "/api/orders", b"{}", (("Content-Type", "application/json; charset=nobody"),)))
    def try_each(request: Request) -> None:
        attempt(main, request, state, tally)
        through = Request(request.method, f"/services/trading-engine{request.path}", request.body, request.headers)
        attempt(front, through, state, tally)

    try_each()
    tried("requests", tally)


def test_the_inbox(inbox: int, tried: Tried) -> None:
    tally, state = Counter[str](), kept_by(inbox)
    paths = (
        *(
            "/slack",
            "/pagerduty/v2/enqueue",
            "/webhook",
            "/webhook/*",
            "/heartbeat/*",
            "/api/behaviour",
            "/api/behaviour",
        ),
        *(
            "/api/notifications",
            "/api/notifications/count",
            "/api/heartbeats",
            "/",
            "/content",
            "/health",
            "/metrics",
            "/*",
        ),
        *(f"/api/notifications?{key}=*" for key in ("channel", "status", "alertname", "since", "limit", "unknown")),
    )
    names = ("slack", "firing", "10", "2025-11-30T10:30:00Z", "1e400", "9" * 400, "nan", "watchdog", "0001-01-01")

    @tries(60)
    @given(requests_for(paths, names, MESSAGES))
    @example(Request("PUT", "/api/behaviour", b'{"channel": [], "mode": {}}'))
    def try_each(request: Request) -> None:
        attempt(inbox, request, state, tally)
        requests.put(f"http://{LOOPBACK}:{inbox}/api/behaviour", json=BEHAVIOUR, timeout=20)
        for path in ("/", "/content", "/api/notifications"):
            assert send(inbox, Request("GET", path)).status == 200, "what was kept can be shown no more"
        requests.delete(f"http://{LOOPBACK}:{inbox}/api/notifications", timeout=20)

    try_each()
    tried("requests", tally)
