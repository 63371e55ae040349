"""How values are written: Grafana's name of a unit, and decimals."""

from typing import NamedTuple


class Unit(NamedTuple):
    """`name` as in Grafana's list of units."""

    name: str
    decimals: int


COUNT = Unit("short", 0)
NUMBER = Unit("short", 2)
RATIO = Unit("percentunit", 1)  # of 0 to 1
FINE_RATIO = Unit("percentunit", 2)
SECONDS = Unit("s", 1)
FINE_SECONDS = Unit("s", 2)
DAYS = Unit("d", 0)
BYTES = Unit("bytes", 1)
BYTES_PER_SECOND = Unit("Bps", 1)
REQUESTS = Unit("reqps", 1)
PER_SECOND = Unit("cps", 2)
PER_MINUTE = Unit("cpm", 1)
TIMES = Unit("x", 1)
DOLLARS = Unit("currencyUSD", 0)
STATE = Unit("none", 0)
