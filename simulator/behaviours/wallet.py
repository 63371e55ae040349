"""Deposits, withdrawals, hot wallets and the ledger."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from simulator.behaviours.base import World
from simulator.fault_catalog import ASSETS
from simulator.faults import FaultBook
from simulator.traffic import Moment, drift

_FLOORS = {"BTC": 50.0, "ETH": 800.0, "USDT": 2_000_000.0}
_MEDIAN_USD = {"BTC": 4000.0, "ETH": 1500.0, "USDT": 900.0}
_WITHDRAWALS_PER_SECOND = 0.08
_DEPOSITS_PER_SECOND = 0.1
_FAILED_RATIO = 0.003
_DUPLICATE_EVERY_SECONDS = 60.0
_DRAIN_PER_SECOND = 50


@dataclass(slots=True)
class _Line:
    """Transfers that wait: when each was requested and when it is due, oldest first (Unix seconds)."""

    transfers: deque[tuple[float, float]] = field(default_factory=deque)

    def take_due(self, now: float, most: int) -> int:
        taken = 0
        while self.transfers and self.transfers[0][1] <= now and taken < most:
            self.transfers.popleft()
            taken += 1
        return taken

    def oldest_age(self, now: float) -> float:
        return now - self.transfers[0][0] if self.transfers else 0.0


class Wallet:
    def __init__(self, world: World) -> None:
        self._world = world
        metrics = world.metrics
        self._ended = {
            "withdrawal": metrics.counter("withdrawals_total"),
            "deposit": metrics.counter("deposits_total"),
        }
        self._pending = {
            "withdrawal": metrics.gauge("withdrawals_pending"),
            "deposit": metrics.gauge("deposits_pending"),
        }
        self._age = {
            "withdrawal": metrics.gauge("withdrawal_oldest_pending_age_seconds"),
            "deposit": metrics.gauge("deposit_oldest_pending_age_seconds"),
        }
        self._amount = {
            "withdrawal": metrics.counter("withdrawal_amount_usd_total"),
            "deposit": metrics.counter("deposit_amount_usd_total"),
        }
        self._duplicates = metrics.counter("deposit_duplicate_credits_total")
        self._balance = metrics.gauge("hot_wallet_balance")
        self._floor = metrics.gauge("hot_wallet_floor")
        self._difference = metrics.gauge("ledger_difference")
        self._lines = {(kind, asset): _Line() for kind in self._ended for asset in ASSETS}
        self._next_duplicate = 0.0
        for asset in ASSETS:
            self._duplicates.labels(asset)
            self._floor.labels(asset).set(_FLOORS[asset])
            for kind, good in (("withdrawal", "completed"), ("deposit", "credited")):
                self._ended[kind].labels(asset, good)
                self._ended[kind].labels(asset, "failed")
                self._amount[kind].labels(asset)

    def tick(self, moment: Moment) -> None:
        for number, asset in enumerate(ASSETS):
            self._treasury(moment, asset, number)
            self._move(moment, "withdrawal", asset)
            self._move(moment, "deposit", asset)
        self._credit_twice(moment)

    def _treasury(self, moment: Moment, asset: str, number: int) -> None:
        usual = _FLOORS[asset] * (3 + 0.3 * drift(moment.now, 3600, number / 3))
        drain = _of_asset(moment.faults, "hot_wallet_drain", asset, "ratio_of_floor")
        self._balance.labels(asset).set(usual if drain is None else _FLOORS[asset] * drain)
        self._difference.labels(asset).set(_of_asset(moment.faults, "ledger_difference", asset, "amount") or 0.0)

    def _move(self, moment: Moment, kind: str, asset: str) -> None:
        chance, line, now = self._world.chance, self._lines[kind, asset], moment.now
        rate = _WITHDRAWALS_PER_SECOND if kind == "withdrawal" else _DEPOSITS_PER_SECOND
        arrived = 0 if moment.idle else chance.poisson(rate * moment.activity * moment.elapsed)
        for _ in range(arrived):
            line.transfers.append((now, now + chance.uniform(20, 90)))
        fault = "stuck_withdrawals" if kind == "withdrawal" else "deposit_backlog"
        count = _of_asset(moment.faults, fault, asset, "count")
        age = line.oldest_age(now)
        if count is None:
            self._end(moment, kind, asset, line.take_due(now, int(_DRAIN_PER_SECOND * moment.elapsed) + 1))
            age = line.oldest_age(now)
        else:
            active = moment.faults.active(fault)
            if active is not None:
                given = "initial_age_seconds" if kind == "withdrawal" else "age_seconds"
                age = max(age, active.number(given) + now - active.since)
        self._pending[kind].labels(asset).set(len(line.transfers) + (count or 0))
        self._age[kind].labels(asset).set(age)

    def _end(self, moment: Moment, kind: str, asset: str, count: int) -> None:
        chance = self._world.chance
        ratio, good = _FAILED_RATIO, "credited"
        if kind == "withdrawal":
            ratio, good = moment.faults.number("withdrawal_failures", "ratio", _FAILED_RATIO), "completed"
        failed = chance.part(count, ratio)
        self._ended[kind].labels(asset, good).inc(count - failed)
        self._ended[kind].labels(asset, "failed").inc(failed)
        self._amount[kind].labels(asset).inc(sum(chance.around(_MEDIAN_USD[asset], 1.0) for _ in range(count - failed)))

    def _credit_twice(self, moment: Moment) -> None:
        fault = moment.faults.active("duplicate_credit")
        if fault is None:
            self._next_duplicate = 0.0
        elif moment.now >= self._next_duplicate:
            self._next_duplicate = moment.now + _DUPLICATE_EVERY_SECONDS
            self._duplicates.labels(fault.text("asset")).inc()


def _of_asset(faults: FaultBook, name: str, asset: str, parameter: str) -> float | None:
    """A parameter of a fault where it is active for this asset, else None."""
    fault = faults.active(name)
    return fault.number(parameter) if fault is not None and fault.text("asset") == asset else None
