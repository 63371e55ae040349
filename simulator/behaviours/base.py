"""What every capability's behaviour is given, and what it must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from simulator.chance import Chance
from simulator.metrics import ContractMetrics
from simulator.traffic import HttpTraffic, Moment


@dataclass(frozen=True, slots=True)
class World:
    metrics: ContractMetrics
    traffic: HttpTraffic
    chance: Chance
    simulate: Mapping[str, object]


class Behaviour(Protocol):
    """Moves the metrics of one capability."""

    def tick(self, moment: Moment) -> None: ...
