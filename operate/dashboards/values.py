"""How Grafana writes a value: unit, decimals, the text of a state, the colour of its threshold.

The units are those of infra/dashboards/units.py; the rules are of packages/grafana-data (valueFormats, field).
"""

from __future__ import annotations

import math
import re
from typing import Any

_COUNTS = ("", "K", "M", "B", "T")
# Grafana's name: what stands before the value, the factor from suffix to suffix, and what stands behind all of them.
_SCALED = {
    "short": ("", 1000, ("", " K", " Mil", " Bil", " Tri"), ""),
    "bytes": ("", 1024, (" B", " KiB", " MiB", " GiB", " TiB", " PiB"), ""),
    "Bps": ("", 1000, (" ", " k", " M", " G", " T", " P"), "B/s"),
    "currencyUSD": ("$", 1000, _COUNTS, ""),
    "reqps": ("", 1000, _COUNTS, " req/s"),
}
_SECONDS = (
    (1e-6, 1e-9, " ns"),
    (1e-3, 1e-6, " µs"),
    (1, 1e-3, " ms"),
    (60, 1, " s"),
    (3600, 60, " min"),
    (86400, 3600, " hour"),
    (604800, 86400, " day"),
    (31536000, 604800, " week"),
    (math.inf, 31556900, " year"),
)


def written(value: float, unit: str, decimals: int) -> str:
    """A value in one of Grafana's units; what Grafana does not know either is written behind the value."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    if unit == "locale":
        # As many decimals at most.
        whole, _, rest = f"{value:,.{decimals}f}".partition(".")
        return f"{whole}.{rest}".rstrip("0").rstrip(".") if rest else whole
    if unit in _SCALED:
        prefix, factor, suffixes, each = _SCALED[unit]
        return prefix + _scaled(value, decimals, factor, suffixes) + each
    if unit == "s":
        unit_seconds, suffix = next((f, s) for below, f, s in _SECONDS if abs(value) < below)
        return _fixed(value / unit_seconds, decimals) + suffix if value else "0 s"
    if unit in ("percent", "percentunit"):
        return f"{_fixed(value * (100 if unit == 'percentunit' else 1), decimals)}%"
    suffix = unit.removeprefix("suffix:").strip()
    return f"{_fixed(value, decimals)} {suffix}" if suffix not in ("", "none") else _fixed(value, decimals)


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _scaled(value: float, decimals: int, factor: int, suffixes: tuple[str, ...]) -> str:
    power = math.floor(math.log(abs(value), factor) + 1e-9) if value else 0
    power = min(max(power, 0), len(suffixes) - 1)
    return _fixed(value / factor**power, decimals) + suffixes[power]


class Field:
    """What a panel says of one of its series or columns, by name: the defaults and the overrides that match."""

    def __init__(self, panel: dict[str, Any], name: str) -> None:
        config = panel["fieldConfig"]
        self._config: dict[str, Any] = dict(config["defaults"])
        for override in config.get("overrides", []):
            if _matches(override["matcher"], name):
                self._config.update({each["id"]: each["value"] for each in override["properties"]})

    @property
    def unit(self) -> str:
        """Grafana's name of it."""
        return str(self._config.get("unit", ""))

    @property
    def absent(self) -> str:
        """What stands in the place of a value that is not there."""
        return str(self._config.get("noValue", "No data"))

    @property
    def minimum(self) -> float | None:
        """Where the axis begins, None where the values decide."""
        return self._config.get("min")

    @property
    def maximum(self) -> float | None:
        """Where the axis or bar ends, None where the values decide."""
        return self._config.get("max")

    @property
    def on_ground(self) -> bool:
        """Whether a table colours the ground of the cell."""
        return bool(self._config.get("custom.cellOptions", {}).get("type") == "color-background")

    @property
    def steps(self) -> list[tuple[float, str]]:
        """The thresholds, lowest first: from which value on which colour."""
        steps = self._config.get("thresholds", {}).get("steps", [])
        return [(-math.inf if step.get("value") is None else step["value"], step["color"]) for step in steps]

    @property
    def states(self) -> dict[float, dict[str, str]]:
        """`text`, and `color` where it has one, of each value that stands for a state."""
        return {
            float(value): result
            for mapping in self._config.get("mappings", [])
            if mapping["type"] == "value"
            for value, result in mapping["options"].items()
        }

    def text(self, value: float | None, decimals: int | None = None) -> str:
        """The value as a reader sees it."""
        if value is None:
            return self.absent
        if value in self.states:
            return self.states[value]["text"]
        return written(value, self.unit, self._config.get("decimals", 2) if decimals is None else decimals)

    def colour(self, value: float | None) -> str:
        """The colour of the state, or of the highest step that the value reaches; without a value, of the lowest."""
        state = self.states.get(value, {}).get("color") if value is not None else None
        reached = [colour for at, colour in self.steps if at == -math.inf or (value is not None and value >= at)]
        return state or (reached[-1] if reached else "transparent")

    def ticks(self, low: float, high: float) -> list[tuple[float, str]]:
        """Round values between two, about five of them, as an axis writes them."""
        base = 1.0
        if self.unit == "bytes":
            base = 1024.0 ** max(0, math.floor(math.log(max(abs(high), 1), 1024)))
        elif self.unit == "s":
            base = next(f for below, f, _ in _SECONDS if abs(high) < below or below is math.inf)
        rough = (high - low) / base / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999) * base
        values = [step * n for n in range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)]
        exact = [_figure(written(value, self.unit, 6)) for value in values]
        for decimals in range(6):
            texts = [written(value, self.unit, decimals) for value in values]
            if [_figure(text) for text in texts] == exact:
                break
        return list(zip(values, texts, strict=True))


def _figure(text: str) -> float:
    found = re.search(r"-?[\d.]+", text)
    return float(found[0]) if found else math.nan


def _matches(matcher: dict[str, Any], name: str) -> bool:
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), name) is not None
    return bool(matcher["id"] == "byName" and matcher["options"] == name)
