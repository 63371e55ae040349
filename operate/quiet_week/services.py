"""The contract's metrics as the exchange's services show them on a normal day.

Levels are those of the simulator (simulator/behaviours), so that both describe the same exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from infra.catalog import Catalog, Service
from operate.quiet_week import shapes
from operate.quiet_week.shapes import (
    Durations,
    Labels,
    Level,
    Scene,
    Table,
    busy,
    counter,
    each,
    flow,
    gauge,
    histogram,
    several,
    some,
    started,
)
from operate.quiet_week.week import Array
from simulator.traffic import Profile, profile_of

MARKETS = {"BTC-USD": 0.5, "ETH-USD": 0.35, "ETH-BTC": 0.15}
ASSETS = {"BTC": 50.0, "ETH": 800.0, "USDT": 2_000_000.0}
_CHAINS = {"bitcoin": (600.0, 925_000), "ethereum": (12.0, 23_870_000)}
_CLIENT_ERRORS, _SERVER_ERRORS, _BURST_ERRORS, _FAULT_ERRORS = 0.02, 0.0005, 0.003, 0.2
_ORDERS = 12.0
_KYC, _KYC_WAIT = 0.02, 1200.0
_TRANSFER_SECONDS = 55.0


def table(catalog: Catalog, service: Service) -> Table:
    """The metrics of one catalog entry, by contract name."""
    profile = profile_of(service.capabilities)
    buckets = {name: metric.buckets for name, metric in catalog.metrics_of(service).items()}
    parts: dict[str, Table] = {
        "http": {**_http(service, profile, buckets.get("http_request_duration_seconds", ()))},
        "gateway": _gateway(),
        "accounts": _accounts(),
        "trading": _trading(buckets.get("matching_engine_latency_seconds", ())),
        "market_data": _market_data(),
        "wallet": _wallet(),
        "kyc": _kyc(),
        "blockchain_node": _node(str(service.simulate.get("chain", "bitcoin"))),
        "chain_reference": {"blockchain_reference_height": several(*(_height(name, 0) for name in _CHAINS))},
    }
    return {name: shape for part in service.capabilities for name, shape in parts.get(part, {}).items()}


def _http(service: Service, profile: Profile, buckets: tuple[float, ...]) -> Table:
    busiest = sorted(profile.routes, key=lambda route: -profile.routes[route])[:2]
    routes: tuple[Labels, ...] = tuple({"method": method, "route": route} for method, route in busiest)

    def errors(scene: Scene) -> Array:
        ratio = np.where(scene.week.burst(service.name), _BURST_ERRORS, _SERVER_ERRORS)
        faulty = scene.week.broken("errors") & (service.name == "api-gateway")
        return np.where(faulty, _FAULT_ERRORS, ratio)

    def part(status: str) -> Level:
        shares: dict[str, Callable[[Array], Array]] = {
            "200": lambda failed: 1 - _CLIENT_ERRORS - failed,
            "404": lambda failed: _CLIENT_ERRORS + 0 * failed,
        }
        share: Callable[[Array], Array] = shares.get(status, lambda failed: failed / 2)
        return lambda scene: profile.rate / len(routes) * scene.week.activity * share(errors(scene))

    # The night's backup takes the disk from everybody.
    median: Level = lambda scene: profile.median_seconds * (1 + 0.4 * scene.week.backup)  # noqa: E731
    return {
        "http_requests_total": several(
            *(
                counter(part(status), **route, status=status)
                for route in routes
                for status in ("200", "404", "500", "503")
            )
        ),
        **histogram("http_request_duration_seconds", buckets, Durations(busy(profile.rate), median, 0.6), routes),
        "service_dependency_up": each(gauge, "dependency", dict.fromkeys(service.dependencies, 1.0)),
        "service_build_info": _build_info,
        "process_start_time_seconds": started,
        "process_resident_memory_bytes": gauge(busy(90e6, 60e6), noise=0.01, whole=True),
        "process_cpu_seconds_total": flow(busy(0.12, 0.01)),
    }


def _build_info(scene: Scene) -> Iterator[tuple[Labels, Array]]:
    """A new version with every restart; a series of a version exists only while it runs."""
    edges = [0, *scene.restarts(), scene.week.times.size]
    for number, (first, last) in enumerate(pairwise(edges)):
        values = scene.constant(np.nan)
        values[first:last] = 1
        yield {"version": f"1.0.{number}"}, values


def _gateway() -> Table:
    return {
        "rate_limit_hits_total": each(counter, "policy", dict.fromkeys(("anonymous", "account", "orders"), busy(0.02))),
        "gateway_client_sources": gauge(busy(800), noise=0.05, whole=True),
        "gateway_blocked_requests_total": each(
            counter, "reason", {"blocklist": busy(0.03), "malformed": busy(0.015), "geo": busy(0.005)}
        ),
    }


def _accounts() -> Table:
    logins = {"bad_password": 0.7, "unknown_user": 0.15, "locked": 0.05, "second_factor": 0.1}
    return {
        "auth_registration_total": each(counter, "result", {"success": busy(0.141), "failure": busy(0.003)}),
        "auth_registration_step_total": each(
            counter, "step", {"started": busy(0.2), "email_verified": busy(0.16), "completed": busy(0.141)}
        ),
        "auth_login_total": several(
            counter(busy(1.44), result="success", reason="none"),
            *(counter(busy(0.06 * share), result="failure", reason=reason) for reason, share in logins.items()),
        ),
        "auth_suspicious_sources": gauge(0.0),
        "auth_active_users": several(
            gauge(12000.0, noise=0.002, whole=True, window="1d"), gauge(60000.0, noise=0.002, whole=True, window="30d")
        ),
        "auth_active_sessions": gauge(busy(3200), noise=0.02, whole=True),
    }


def _markets(kind: str, rate: float, **labels: str) -> shapes.Shape:
    make = {"counter": counter, "flow": flow}[kind]
    return several(*(make(busy(rate * share), market=market, **labels) for market, share in MARKETS.items()))


def _trading(buckets: tuple[float, ...]) -> Table:
    rejections = {"insufficient_funds": 0.6, "invalid_price": 0.2, "risk_limit": 0.15, "market_closed": 0.05}
    matched, trades = 0.7 * _ORDERS, 0.42 * _ORDERS
    latency: Table = histogram(
        "matching_engine_latency_seconds",
        buckets,
        Durations(busy(matched), 0.002, 0.35),
        tuple({"market": market} for market in MARKETS),
    )
    return {
        "orders_created_total": _markets("counter", 0.99 * _ORDERS),
        "orders_rejected_total": several(
            *(_markets("counter", 0.01 * _ORDERS * share, reason=reason) for reason, share in rejections.items())
        ),
        "orders_cancelled_total": _markets("counter", 0.15 * _ORDERS),
        "orders_matched_total": _markets("counter", matched),
        "orders_top_account_ratio": several(*(gauge(0.08, noise=0.15, market=market) for market in MARKETS)),
        "trades_executed_total": _markets("counter", trades),
        "trade_volume_usd_total": _markets("flow", trades * 1190),
        "trade_fees_usd_total": _markets("flow", trades * 2.4),
        **latency,
        "matching_engine_sequence": several(*(_sequence(market, 0) for market in MARKETS)),
        "matching_engine_queue_depth": several(*(some(busy(1.5), market=market) for market in MARKETS)),
    }


def _sequence(market: str, behind: int) -> shapes.Shape:
    """The engine's event number; what market data published is up to `behind` events older."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        week = scene.week
        rate = 1.57 * _ORDERS * MARKETS[market] * week.activity * week.step
        events = week.random("engine", market).poisson(rate).astype(np.float64)
        total = week.since_restart(events, week.restarts("trading-engine"))
        late = scene.random({"market": market}).integers(0, behind + 1, total.size) * (events > 0)
        yield {"market": market}, np.maximum(0.0, total - late)

    return series


def _last_event(market: str) -> shapes.Shape:
    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        times, busy_then = scene.week.times, scene.week.activity > 0
        age = scene.random({"market": market}).uniform(0, 2, times.size)
        latest = np.maximum.accumulate(np.where(busy_then, times - age, 0.0))
        yield {"market": market}, np.asarray(np.round(latest, 3), dtype=np.float64)

    return series


def _market_data() -> Table:
    return {
        "market_data_sequence": several(*(_sequence(market, 4) for market in MARKETS)),
        "market_data_sequence_gaps_total": each(gauge, "market", dict.fromkeys(MARKETS, 0.0)),
        "market_data_last_event_timestamp_seconds": several(*(_last_event(market) for market in MARKETS)),
    }


def _age(mean: Level, longest: float, **labels: str) -> shapes.Shape:
    """Age of the oldest of things that wait: near `longest` the more of them there are, 0 without any."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        waiting = shapes.of(mean, scene)
        draw = scene.random(labels).uniform(0, 1, waiting.size)
        age = np.where(waiting > 0.02, longest * draw ** (1 / np.maximum(waiting, 1)), 0.0)
        yield labels, np.asarray(np.round(age, 3), dtype=np.float64)

    return series


def _wallet() -> Table:
    found: Table = {}
    for kind, rate, plural, good in (
        ("withdrawal", 0.08, "withdrawals", "completed"),
        ("deposit", 0.1, "deposits", "credited"),
    ):
        found[f"{plural}_total"] = several(
            *(counter(busy(rate * 0.997), asset=asset, result=good) for asset in ASSETS),
            *(counter(busy(rate * 0.003), asset=asset, result="failed") for asset in ASSETS),
        )
        waiting = busy(rate * _TRANSFER_SECONDS)
        found[f"{plural}_pending"] = several(*(some(waiting, asset=asset) for asset in ASSETS))
        found[f"{kind}_oldest_pending_age_seconds"] = several(*(_age(waiting, 90, asset=asset) for asset in ASSETS))
        found[f"{kind}_amount_usd_total"] = several(*(flow(busy(rate * 3000), asset=asset) for asset in ASSETS))
    return {
        **found,
        "deposit_duplicate_credits_total": each(gauge, "asset", dict.fromkeys(ASSETS, 0.0)),
        "hot_wallet_floor": each(gauge, "asset", dict(ASSETS)),
        "hot_wallet_balance": several(*(_balance(asset) for asset in ASSETS)),
        "ledger_difference": several(*(_ledger(asset) for asset in ASSETS)),
    }


def _balance(asset: str) -> shapes.Shape:
    """Between two and three floors: customers draw on it by day, the treasury fills it up every six hours."""
    return gauge(lambda scene: ASSETS[asset] * (3 - (scene.week.times % 21600) / 21600), noise=0.002, asset=asset)


def _ledger(asset: str) -> shapes.Shape:
    return gauge(
        lambda scene: np.where(scene.week.broken("ledger_difference"), 0.5 * (asset == "BTC"), 0.0), asset=asset
    )


def _kyc() -> Table:
    def waiting(scene: Scene) -> Array:
        steps = round(_KYC_WAIT / scene.week.step)
        total = np.cumsum(scene.week.activity)
        earlier = np.concatenate([np.arange(-steps, 0) * scene.week.activity[0], total])[: total.size]
        return np.asarray(np.maximum(0.0, total - earlier) * scene.week.step * _KYC)

    def decided(share: float) -> Level:
        return lambda scene: share * _KYC * np.roll(scene.week.activity, round(_KYC_WAIT / scene.week.step))

    return {
        "kyc_submitted_total": counter(busy(_KYC)),
        "kyc_decisions_total": each(counter, "decision", {"approved": decided(0.92), "rejected": decided(0.08)}),
        "kyc_pending": some(waiting),
        "kyc_oldest_pending_age_seconds": _age(waiting, _KYC_WAIT),
    }


def _blocks(scene: Scene, chain: str) -> Array:
    """Unix times of the chain's blocks. Bitcoin's come by chance: an hour without one is no fault of the node."""
    every, _ = _CHAINS.get(chain, (15.0, 0))
    count = int((scene.week.end - scene.week.times[0]) / every * 1.5) + 100
    gaps = scene.week.random("blocks", chain).exponential(every, count) if every > 60 else np.full(count, every)
    return np.asarray(scene.week.times[0] - 3600 + np.cumsum(gaps))


def _height(chain: str, late: float) -> shapes.Shape:
    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        first = _CHAINS.get(chain, (15.0, 1_000_000))[1]
        yield (
            {"chain": chain},
            first + np.searchsorted(_blocks(scene, chain), scene.week.times - late).astype(np.float64),
        )

    return series


def _node(chain: str) -> Table:
    # A block reaches the exchange's node some seconds after the independent source.
    late = 8.0

    def last_block(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        blocks = _blocks(scene, chain)
        yield {"chain": chain}, blocks[np.searchsorted(blocks, scene.week.times - late) - 1]

    return {
        "blockchain_node_height": _height(chain, late),
        "blockchain_node_peers": gauge(62.0, noise=0.04, whole=True, chain=chain),
        "blockchain_node_last_block_timestamp_seconds": last_block,
    }
