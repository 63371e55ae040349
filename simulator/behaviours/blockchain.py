"""Full nodes, and the independent source their heights are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.behaviours.base import World
from simulator.config import ConfigError
from simulator.traffic import Moment, drift

# Heights follow the wall clock from this Unix time, so that separate processes agree on them.
_ORIGIN = 1_764_000_000


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain with regular blocks; the height is the one at `_ORIGIN`."""

    block_seconds: int
    height_at_origin: int
    peers: int

    def height(self, now: float) -> int:
        return self.height_at_origin + int(now - _ORIGIN) // self.block_seconds

    def block_time(self, height: int) -> float:
        """Unix time of a block."""
        return _ORIGIN + (height - self.height_at_origin) * self.block_seconds


CHAINS = {"bitcoin": Chain(600, 925_000, 62), "ethereum": Chain(12, 23_870_000, 88)}
_ANY_CHAIN = Chain(15, 1_000_000, 40)


class BlockchainNode:
    def __init__(self, world: World) -> None:
        chain = world.simulate.get("chain")
        if not isinstance(chain, str):
            raise ConfigError("`simulate` must name the node's `chain`; add for instance chain: bitcoin.")
        self._name, self._chain = chain, CHAINS.get(chain, _ANY_CHAIN)
        self._height = world.metrics.gauge("blockchain_node_height")
        self._peers = world.metrics.gauge("blockchain_node_peers")
        self._last_block = world.metrics.gauge("blockchain_node_last_block_timestamp_seconds")

    def tick(self, moment: Moment) -> None:
        stalled = moment.faults.active("stalled_node")
        height = self._chain.height(moment.now)
        if stalled is not None:
            height = self._chain.height(stalled.since) - int(stalled.number("initial_lag_blocks"))
        self._height.labels(self._name).set(height)
        self._last_block.labels(self._name).set(self._chain.block_time(height))
        self._peers.labels(self._name).set(round(self._chain.peers * (1 + 0.06 * drift(moment.now, 1200, 0.4))))


class ChainReference:
    def __init__(self, world: World) -> None:
        chains = world.simulate.get("chains", list(CHAINS))
        if not isinstance(chains, list) or not all(isinstance(name, str) for name in chains):
            raise ConfigError("`simulate`: `chains` must be a list of chain names; got something else.")
        self._chains = {name: CHAINS.get(name, _ANY_CHAIN) for name in chains}
        self._height = world.metrics.gauge("blockchain_reference_height")

    def tick(self, moment: Moment) -> None:
        stalled = moment.faults.active("stalled_reference")
        now, lag = (moment.now, 0) if stalled is None else (stalled.since, int(stalled.number("initial_lag_blocks")))
        for name, chain in self._chains.items():
            self._height.labels(name).set(chain.height(now) - lag)
