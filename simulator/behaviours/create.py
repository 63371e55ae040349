"""The behaviours of a service, from its capabilities."""

from __future__ import annotations

from collections.abc import Callable, Collection

from simulator.behaviours.accounts import Accounts
from simulator.behaviours.base import Behaviour, World
from simulator.behaviours.blockchain import BlockchainNode, ChainReference
from simulator.behaviours.gateway import Gateway
from simulator.behaviours.kyc import Kyc
from simulator.behaviours.market_data import MarketData
from simulator.behaviours.trading import Trading
from simulator.behaviours.wallet import Wallet

_BEHAVIOURS: dict[str, Callable[[World], Behaviour]] = {
    "gateway": Gateway,
    "accounts": Accounts,
    "trading": Trading,
    "market_data": MarketData,
    "wallet": Wallet,
    "kyc": Kyc,
    "blockchain_node": BlockchainNode,
    "chain_reference": ChainReference,
}


def create_behaviours(capabilities: Collection[str], world: World) -> list[Behaviour]:
    """One behaviour a capability; a capability the simulator does not know keeps its metrics at 0."""
    return [_BEHAVIOURS[name](world) for name in capabilities if name in _BEHAVIOURS]
