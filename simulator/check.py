"""Whether a simulated service can start of its configuration and work, tried without a port or a dependency."""

from __future__ import annotations

import time

from simulator.behaviours.base import World
from simulator.behaviours.create import create_behaviours
from simulator.chance import Chance
from simulator.config import ConfigError, service_from
from simulator.fault_catalog import usable_faults
from simulator.faults import FaultBook
from simulator.metrics import ContractMetrics
from simulator.traffic import HttpTraffic, Moment, profile_of


def check(place: str, document: object) -> None:
    """Let the service of a configuration live one second. Raises ConfigError with what it cannot do."""
    config = service_from(place, document)
    try:
        metrics, chance = ContractMetrics(config.metrics, config.rename), Chance()
        traffic = HttpTraffic(metrics, profile_of(config.capabilities), chance)
        for dependency in config.dependencies:
            metrics.gauge("service_dependency_up").labels(dependency)
        metrics.gauge("service_build_info").labels(config.version)
        faults = FaultBook(usable_faults(config.capabilities, config.dependencies))
        moment = Moment(time.time(), 1.0, faults)
        world = World(metrics, traffic, chance, config.simulate)
        for part in (*create_behaviours(config.capabilities, world), traffic):
            part.tick(moment)
    except ValueError as error:
        # The client library's, of a name or of labels that are not what the simulator gives.
        raise ConfigError(f"{place}: {str(error).rstrip('.')}; correct the contract's metric.") from error
