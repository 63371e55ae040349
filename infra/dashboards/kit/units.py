"""How values are written: Grafana's name of a unit, and decimals."""

from typing import NamedTuple


class Unit(NamedTuple):
    """`name` as in Grafana's list of units."""

    name: str
    decimals: int


COUNT = Unit("locale", 0)  # 1,250; "short" would make "1 K" of it
NUMBER = Unit("short", 2)
RATIO = Unit("percentunit", 1)  # of 0 to 1
FINE_RATIO = Unit("percentunit", 2)
SECONDS = Unit("s", 1)
FINE_SECONDS = Unit("s", 2)
DAYS = Unit("suffix: days", 0)  # "d" turns 90 of them into 13 weeks
BYTES = Unit("bytes", 1)
BYTES_PER_SECOND = Unit("Bps", 1)
REQUESTS = Unit("reqps", 1)
PER_SECOND = Unit("suffix: /s", 2)
PER_MINUTE = Unit("suffix: /min", 1)
TIMES = Unit("x", 1)
DOLLARS = Unit("currencyUSD", 1)
FINE_DOLLARS = Unit("currencyUSD", 2)  # "$1.25 M"
BASIS_POINTS = Unit("suffix: bp", 2)
PER_HOUR = Unit("suffix: /h", 1)
SMALLEST_UNITS = Unit("none", 6)  # of an asset: the smallest that LedgerDifference tells apart
STATE = Unit("none", 0)
