"""The faults a simulated service knows."""

from __future__ import annotations

from collections.abc import Collection

from simulator.faults import FaultSpec, Parameter

ASSETS = ("BTC", "ETH", "USDT")


def _ratio(default: float, description: str) -> Parameter:
    return Parameter("ratio", description, default)


def _asset(default: str) -> Parameter:
    return Parameter("asset", "Asset concerned.", default, choices=ASSETS)


_COUNT_MAX = 1e6
_WEEK = 604800.0

SERVICE_FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec("stop", "The service's port stops listening: connections are refused."),
    FaultSpec("crash", "The process ends with exit status 1."),
    FaultSpec("hang", "Connections are accepted and nothing is answered."),
    FaultSpec("health_hang", "Only /health gives no answer."),
    FaultSpec("no_traffic", "Customers send nothing."),
    FaultSpec(
        "clock_backwards",
        "Each scrape gets a sample that is older than the one before it, as from a clock that runs backwards.",
    ),
    FaultSpec("errors", "Requests end in 500.", (_ratio(0.2, "Share of requests that fail."),)),
    FaultSpec(
        "latency",
        "Requests take longer.",
        (
            Parameter("seconds", "Time added to a slow request.", 3.0, 0.01, 25),
            Parameter("share", "Share of requests that are slow.", 0.2),
        ),
    ),
    FaultSpec(
        "cache_misses",
        "Look-ups in Redis find nothing.",
        (
            _ratio(0.9, "Share of look-ups that miss."),
            Parameter("per_second", "Look-ups a second.", 50, 1, 500),
        ),
        needs="redis",
    ),
    FaultSpec(
        "no_consumer",
        "The service's queue is published to and not consumed.",
        (Parameter("per_second", "Messages published a second.", 50, 1, 500),),
        needs="rabbitmq",
    ),
    FaultSpec(
        "ddos",
        "A flood of requests from many addresses.",
        (
            Parameter("multiplier", "Times the usual traffic.", 20, 1, 50),
            Parameter("sources", "Distinct client addresses.", 5000, 1, _COUNT_MAX),
        ),
        needs="gateway",
    ),
    FaultSpec(
        "rate_limit_storm",
        "Customers run into their rate limits.",
        (Parameter("per_second", "Requests refused a second.", 50, 0.1, 1000),),
        needs="gateway",
    ),
    FaultSpec(
        "login_attack",
        "Someone tries passwords.",
        (
            Parameter("per_second", "Failed sign-ins a second.", 20, 0.1, 500),
            Parameter("sources", "Addresses that attack.", 25, 1, _COUNT_MAX),
        ),
        needs="accounts",
    ),
    FaultSpec("registration_failures", "Registrations fail.", (_ratio(0.6, "Share that fails."),), needs="accounts"),
    FaultSpec("no_registrations", "Registrations are begun and never finished.", needs="accounts"),
    FaultSpec("lost_users", "Fewer customers signed in.", (_ratio(0.5, "Share that stays away."),), needs="accounts"),
    FaultSpec(
        "stalled_matching",
        "Orders are accepted and nothing is matched; the process looks healthy.",
        needs="trading",
    ),
    FaultSpec(
        "slow_matching",
        "Matching takes longer.",
        (Parameter("seconds", "Median time to match.", 0.5, 0.001, 30),),
        needs="trading",
    ),
    FaultSpec("order_rejections", "Orders are refused.", (_ratio(0.3, "Share refused."),), needs="trading"),
    FaultSpec("low_match_rate", "Few orders match.", (_ratio(0.2, "Share matched."),), needs="trading"),
    FaultSpec(
        "order_flood",
        "One account floods the book.",
        (
            Parameter("multiplier", "Times the usual orders.", 10, 1, 50),
            Parameter("top_account_ratio", "Share of the busiest account.", 0.9),
        ),
        needs="trading",
    ),
    FaultSpec(
        "sequence_gap",
        "The engine skips events in what it publishes.",
        (
            Parameter("events", "Events lost each time.", 5, 1, 100000),
            Parameter("every_seconds", "Time between losses.", 20, 1, 3600),
        ),
        needs="trading",
    ),
    FaultSpec(
        "stuck_withdrawals",
        "Withdrawals of an asset wait and do not end.",
        (
            _asset("BTC"),
            Parameter("count", "Withdrawals waiting at once.", 40, 1, _COUNT_MAX),
            Parameter("initial_age_seconds", "Age the oldest already has.", 0, 0, _WEEK),
        ),
        needs="wallet",
    ),
    FaultSpec("withdrawal_failures", "Withdrawals fail.", (_ratio(0.4, "Share that fails."),), needs="wallet"),
    FaultSpec(
        "deposit_backlog",
        "Deposits of an asset are not credited.",
        (
            _asset("BTC"),
            Parameter("count", "Deposits waiting at once.", 200, 1, _COUNT_MAX),
            Parameter("age_seconds", "Age the oldest already has.", 1800, 0, _WEEK),
        ),
        needs="wallet",
    ),
    FaultSpec(
        "hot_wallet_drain",
        "A hot wallet runs low.",
        (_asset("ETH"), Parameter("ratio_of_floor", "Balance over its floor.", 0.5, 0, 10)),
        needs="wallet",
    ),
    FaultSpec(
        "ledger_difference",
        "Assets held and owed disagree.",
        (_asset("BTC"), Parameter("amount", "Held minus owed, in units of the asset.", -0.75, -1e6, 1e6)),
        needs="wallet",
    ),
    FaultSpec(
        "duplicate_credit",
        "A deposit is credited twice, at once and again each minute.",
        (_asset("USDT"),),
        needs="wallet",
    ),
    FaultSpec(
        "kyc_backlog",
        "Applications wait and are not decided.",
        (
            Parameter("count", "Applications waiting.", 400, 1, _COUNT_MAX),
            Parameter("age_seconds", "Age the oldest already has.", 86400, 0, 10 * _WEEK),
        ),
        needs="kyc",
    ),
    FaultSpec(
        "low_kyc_approval",
        "Few applications are approved.",
        (
            _ratio(0.3, "Share approved."),
            Parameter("per_second", "Applications decided a second beside the usual.", 0.5, 0, 50),
        ),
        needs="kyc",
    ),
    FaultSpec(
        "stalled_node",
        "The node's height stands still.",
        (Parameter("initial_lag_blocks", "Blocks it is already behind.", 0, 0, 1e5),),
        needs="blockchain_node",
    ),
    FaultSpec(
        "stalled_reference",
        "The independent height stands still.",
        (Parameter("initial_lag_blocks", "Blocks it is already behind.", 20, 0, 1e5),),
        needs="chain_reference",
    ),
)


def usable_faults(capabilities: Collection[str], dependencies: Collection[str]) -> list[FaultSpec]:
    """The faults that a service with these capabilities and dependencies can have."""
    present = {"", *capabilities, *dependencies}
    return [spec for spec in SERVICE_FAULTS if spec.needs in present]
