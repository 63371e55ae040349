"""Faults of the exchange itself: matching, events, wallets and chains."""

import time
from functools import partial

import pytest

from simulator.behaviours.market_data import MarketData
from simulator.behaviours.trading import Trading
from simulator.engine_feed import EngineEvents
from tests.unit.loopback import Running, Start

NOON = 1764072000.0


def test_a_stuck_withdrawal_grows_older_in_real_time(start: Start) -> None:
    service = start(capabilities=["http", "wallet"])
    service.inject("stuck_withdrawals", asset="BTC", initial_age_seconds=100)
    first = service.total("withdrawal_oldest_pending_age_seconds", asset="BTC")
    service.steps(600)
    assert 598 < service.total("withdrawal_oldest_pending_age_seconds", asset="BTC") - first < 605


def test_a_drained_hot_wallet_is_below_its_floor_and_duplicates_are_counted_at_once(start: Start) -> None:
    service = start(capabilities=["http", "wallet"])

    def ratio(asset: str) -> float:
        return service.total("hot_wallet_balance", asset=asset) / service.total("hot_wallet_floor", asset=asset)

    assert min(ratio(asset) for asset in ("BTC", "ETH", "USDT")) > 2
    service.inject("hot_wallet_drain", asset="ETH", ratio_of_floor=0.4)
    assert (round(ratio("ETH"), 6), ratio("BTC") > 2) == (0.4, True)
    service.inject("duplicate_credit", asset="USDT")
    assert service.total("deposit_duplicate_credits_total", asset="USDT") == 1


def test_stalled_matching_accepts_orders_and_matches_none_until_healed(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    service.steps(5)
    service.inject("stalled_matching")
    sequence, depth = service.total("matching_engine_sequence"), service.total("matching_engine_queue_depth")
    matched = service.total("orders_matched_total")
    assert service.growth(30, "orders_created_total") > 30
    assert service.total("matching_engine_sequence") == sequence
    assert service.total("orders_matched_total") == matched
    assert service.total("matching_engine_queue_depth") > depth + 30
    service.heal("stalled_matching")
    service.steps(10)
    assert service.total("matching_engine_sequence") > sequence + 30
    assert service.total("matching_engine_queue_depth") < 30


def test_matching_faults_change_latency_and_match_ratio(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    name = "matching_engine_latency_seconds"
    assert service.growth(60, f"{name}_bucket", le="0.1") == pytest.approx(service.total(f"{name}_count"), rel=0.05)
    service.inject("slow_matching", seconds=2)
    assert service.growth(20, f"{name}_bucket", le="0.1") == 0
    service.heal("slow_matching")
    service.inject("low_match_rate", ratio=0.1)
    created, matched = service.total("orders_created_total"), service.total("orders_matched_total")
    service.steps(60)
    share = (service.total("orders_matched_total") - matched) / (service.total("orders_created_total") - created)
    assert share < 0.25


def test_market_data_notes_a_gap_but_not_an_engine_restart(start: Start) -> None:
    service = start(capabilities=["http", "market_data"])
    (market_data,) = (each for each in service.service.behaviours if isinstance(each, MarketData))
    for events in (
        EngineEvents("BTC-USD", 1.0, 0, 10, NOON),
        EngineEvents("BTC-USD", 1.0, 10, 12, NOON),
        EngineEvents("BTC-USD", 1.0, 10, 14, NOON),  # sent again, since its receipt came late
        EngineEvents("BTC-USD", 1.0, 14, 15, NOON),
        EngineEvents("BTC-USD", 2.0, 0, 4, NOON),
    ):
        service.loop.call(partial(market_data.accept, events))
    assert service.total("market_data_sequence", market="BTC-USD") == 4
    assert service.total("market_data_sequence_gaps_total") == 0
    service.loop.call(partial(market_data.accept, EngineEvents("BTC-USD", 2.0, 9, 11, NOON)))
    assert service.total("market_data_sequence_gaps_total", market="BTC-USD") == 1


def test_a_lost_event_shows_in_what_the_engine_publishes(start: Start) -> None:
    service = start(capabilities=["http", "trading"])
    (feed,) = (each.feed for each in service.service.behaviours if isinstance(each, Trading))
    service.steps(20)
    for events in service.loop.call(feed.waiting):
        service.loop.call(partial(feed.published, events))
    last = service.total("matching_engine_sequence", market="BTC-USD")
    service.inject("sequence_gap", events=7, every_seconds=3600)
    service.steps(10)
    run = next(events for events in service.loop.call(feed.waiting) if events.market == "BTC-USD")
    assert run.previous == last + 7


def lag(reference: Running, node: Running) -> float:
    """By how many blocks the Ethereum node is behind the independent source, a second later."""
    reference.steps(1)
    node.steps(1)
    return reference.total("blockchain_reference_height", chain="ethereum") - node.total("blockchain_node_height")


def test_nodes_and_the_independent_source_agree_until_a_node_stalls(start: Start) -> None:
    reference = start(capabilities=["http", "chain_reference"])
    node = start(capabilities=["http", "blockchain_node"], simulate={"chain": "ethereum"})

    assert abs(lag(reference, node)) <= 1
    # A step is a second ahead of the clock.
    assert -1 <= time.time() - node.total("blockchain_node_last_block_timestamp_seconds") < 13
    node.inject("stalled_node", initial_lag_blocks=50)
    assert 50 <= lag(reference, node) <= 51
    node.heal("stalled_node")
    assert abs(lag(reference, node)) <= 1


def test_a_source_that_stalls_falls_behind_the_nodes(start: Start) -> None:
    reference = start(capabilities=["http", "chain_reference"])
    node = start(capabilities=["http", "blockchain_node"], simulate={"chain": "ethereum"})

    assert abs(lag(reference, node)) <= 1
    reference.inject("stalled_reference", initial_lag_blocks=50)
    assert 49 <= -lag(reference, node) <= 51
    reference.steps(120)
    node.steps(120)
    assert -lag(reference, node) >= 58
    reference.heal("stalled_reference")
    node.steps(1)
    assert abs(lag(reference, node)) <= 10


def test_registrations_that_nobody_finishes_are_still_begun(start: Start) -> None:
    service = start(capabilities=["http", "accounts"])
    assert service.growth(120, "auth_registration_step_total", step="completed") > 0
    service.inject("no_registrations")
    assert service.growth(120, "auth_registration_step_total", step="started") > 0
    assert service.growth(120, "auth_registration_step_total", step="completed") == 0
    assert service.growth(120, "auth_registration_total") == 0
    service.heal("no_registrations")
    assert service.growth(120, "auth_registration_step_total", step="completed") > 0


def test_customers_who_stay_away_are_missing_from_the_day_not_from_the_month(start: Start) -> None:
    service = start(capabilities=["http", "accounts"])
    day, month = (service.total("auth_active_users", window=window) for window in ("1d", "30d"))
    service.inject("lost_users", ratio=0.6)
    service.steps(1)
    assert service.total("auth_active_users", window="1d") == pytest.approx(0.4 * day, rel=0.01)
    assert service.total("auth_active_users", window="30d") == pytest.approx(month, rel=0.01)
    service.heal("lost_users")
    service.steps(1)
    assert service.total("auth_active_users", window="1d") == pytest.approx(day, rel=0.01)
