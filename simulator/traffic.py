"""HTTP traffic: what a service's customers send, and how every request is counted."""

from __future__ import annotations

import logging
import math
from collections import Counter as Tally
from collections.abc import Collection
from dataclasses import dataclass

from simulator.chance import Chance, activity
from simulator.faults import FaultBook
from simulator.metrics import ContractMetrics

log = logging.getLogger("simulator.requests")

OTHER_ROUTE = "other"
INVALID_ROUTE = "/api/invalid"
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_LATENCY_SIGMA = 0.6
_CLIENT_ERROR_RATIO = 0.02
# A fifth of what an objective of 99.9 % allows.
_SERVER_ERROR_RATIO = 0.0002
# Below this rate one chance 5xx would be about 1 % of five minutes and so look like an incident.
_CHANCE_ERRORS_FROM_RPS = 5.0
_RATE_LIMITED_IN_FLOOD = 0.4
_DEPENDENCY_FAILURE_RATIO = {"database": 0.3}
_OTHER_DEPENDENCY_FAILURE_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Profile:
    """A service's usual traffic: requests/s at the busiest hour, median seconds, routes by weight."""

    rate: float
    median_seconds: float
    routes: dict[tuple[str, str], float]


PROFILES: dict[str, Profile] = {
    "gateway": Profile(
        40,
        0.015,
        {("GET", "/api/v1/markets"): 5, ("GET", "/api/v1/account"): 3, ("POST", "/api/v1/orders"): 2},
    ),
    "accounts": Profile(
        8,
        0.06,
        {("POST", "/api/login"): 4, ("POST", "/api/register"): 1, ("GET", "/api/sessions/{session}"): 5},
    ),
    "trading": Profile(
        25,
        0.005,
        {("POST", "/api/orders"): 6, ("GET", "/api/orders/{order}"): 3, ("DELETE", "/api/orders/{order}"): 1},
    ),
    "market_data": Profile(
        15,
        0.008,
        {
            ("GET", "/api/ticker/{market}"): 6,
            ("GET", "/api/book/{market}"): 3,
            ("GET", "/api/candles/{market}"): 1,
        },
    ),
    "wallet": Profile(
        4,
        0.04,
        {("GET", "/api/balances"): 6, ("POST", "/api/withdrawals"): 1, ("GET", "/api/deposits"): 3},
    ),
    "kyc": Profile(2, 0.08, {("POST", "/api/applications"): 1, ("GET", "/api/applications/{application}"): 4}),
    "chain_reference": Profile(2, 0.03, {("GET", "/api/heights"): 4, ("POST", "/api/transactions"): 1}),
    "blockchain_node": Profile(1, 0.006, {("POST", "/api/rpc"): 1}),
}
_PLAIN = Profile(3, 0.02, {("GET", "/api/status"): 1})


def profile_of(capabilities: Collection[str]) -> Profile:
    """The traffic of a service: the sum over its capabilities, or a plain one where none has any."""
    known = [PROFILES[name] for name in capabilities if name in PROFILES]
    if not known:
        return _PLAIN
    routes = {route: weight for profile in known for route, weight in profile.routes.items()}
    return Profile(sum(p.rate for p in known), max(p.median_seconds for p in known), routes)


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of the simulation: Unix time, seconds since the last step, faults in force."""

    now: float
    elapsed: float
    faults: FaultBook

    @property
    def activity(self) -> float:
        return activity(self.now)

    @property
    def idle(self) -> bool:
        """Whether no request can reach or leave the service."""
        return self.faults.any_active("no_traffic", "stop", "hang")


class HttpTraffic:
    """Counts requests, real and synthetic alike, and makes the synthetic ones."""

    def __init__(self, metrics: ContractMetrics, profile: Profile, chance: Chance) -> None:
        self._requests = metrics.counter("http_requests_total")
        self._seconds = metrics.histogram("http_request_duration_seconds")
        self._profile = profile
        self._chance = chance
        self._server_errors: Tally[str] = Tally()
        self._log_after = 0.0
        self.dependencies_down: tuple[str, ...] = ()
        for method, route in [*profile.routes, ("GET", INVALID_ROUTE), ("GET", OTHER_ROUTE)]:
            self._seconds.labels(method, route)
            # A series must exist before its first increase, or rate() does not see that increase.
            for status in ("200", "404", "500", "503"):
                self._requests.labels(method, route, status)

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; an unheard-of method is OTHER, so that labels stay bounded."""
        method = method if method in METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if status >= 500:
            self._server_errors[route] += 1

    def add(self, method: str, route: str, status: int, count: int) -> None:
        """Count requests that a fault sends beside the usual traffic."""
        for _ in range(count):
            self.record(method, route, status, self._chance.around(self._profile.median_seconds, _LATENCY_SIGMA))

    def tick(self, moment: Moment) -> None:
        """The requests of one step."""
        faults = moment.faults
        if not moment.idle:
            multiplier = faults.number("ddos", "multiplier", 1) * faults.number("order_flood", "multiplier", 1)
            mean = self._profile.rate * moment.activity * moment.elapsed
            self._send(self._chance.poisson(mean * multiplier), moment)
        self._report_server_errors()

    def _send(self, count: int, moment: Moment) -> None:
        routes = list(self._profile.routes)
        weights = list(self._profile.routes.values())
        for method, route in self._chance.choices(routes, weights, k=count):
            status = self.status(moment.faults)
            seconds = self._chance.around(self._profile.median_seconds, _LATENCY_SIGMA) + self.delay(moment.faults)
            self.record(method, route, status, seconds)
            if moment.now >= self._log_after:
                self._log_after = moment.now + self._chance.uniform(1, 2)
                self._log_request(method, route, status, seconds)

    def _log_request(self, method: str, route: str, status: int, seconds: float) -> None:
        fields = {"method": method, "route": route, "status": status, "duration_seconds": round(seconds, 4)}
        level = logging.ERROR if status >= 500 else logging.INFO
        log.log(level, "request", extra={**fields, "request_id": f"{self._chance.getrandbits(64):016x}"})

    def _report_server_errors(self) -> None:
        if self._server_errors.total() >= 3:
            fields = {"count": self._server_errors.total(), "routes": dict(self._server_errors)}
            log.error("server errors in the last second", extra=fields)
        self._server_errors.clear()

    def failure(self, faults: FaultBook) -> int:
        """500 or 503 where an injected fault or a lost dependency fails this request, else 0."""
        if self._chance.random() < faults.number("errors", "ratio", 0):
            return 500
        for name in self.dependencies_down:
            if self._chance.random() < _DEPENDENCY_FAILURE_RATIO.get(name, _OTHER_DEPENDENCY_FAILURE_RATIO):
                return 503
        return 0

    def status(self, faults: FaultBook) -> int:
        """The answer a synthetic request gets."""
        failed = self.failure(faults)
        if failed:
            return failed
        draw = self._chance.random()
        if faults.any_active("ddos") and draw < _RATE_LIMITED_IN_FLOOD:
            return 429
        if draw > 1 - _SERVER_ERROR_RATIO and self._profile.rate >= _CHANCE_ERRORS_FROM_RPS:
            return 500
        if draw < _CLIENT_ERROR_RATIO:
            return self._chance.choice((400, 401, 404))
        return 200

    def delay(self, faults: FaultBook) -> float:
        """Seconds that the latency fault adds to one request."""
        fault = faults.active("latency")
        if fault is None or self._chance.random() >= fault.number("share"):
            return 0.0
        return fault.number("seconds") * self._chance.uniform(1.0, 1.1)


def drift(now: float, period_seconds: float, phase: float) -> float:
    """A slow swing between -1 and 1, the same in every process at the same time."""
    return math.sin(2 * math.pi * (now / period_seconds + phase))
