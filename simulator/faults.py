"""What can be broken, with which parameters, and what is broken now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as brief

log = logging.getLogger(__name__)

Value = float | str

_LARGEST = 1e300


class FaultError(Exception):
    """A fault cannot be injected or healed as asked; `status` is the HTTP answer that fits."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number between `minimum` and `maximum`, or a text (one of `choices`, where there are any)."""

    name: str
    description: str
    default: Value
    minimum: float = 0.0
    maximum: float = 1.0
    choices: tuple[str, ...] = ()

    def parse(self, fault: str, value: object) -> Value:
        """The value as its type. Raises FaultError (400)."""
        if isinstance(self.default, str):
            return self._parse_text(fault, value)
        # A whole number of hundreds of digits is no float.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            raise FaultError(400, f"{fault}: `{self.name}` must be a number; got {brief(value)}.")
        if not self.minimum <= value <= self.maximum:
            raise FaultError(
                400,
                f"{fault}: `{self.name}` is {value:g}; use a number from {self.minimum:g} to {self.maximum:g}.",
            )
        return float(value)

    def _parse_text(self, fault: str, value: object) -> str:
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            remedy = f"one of {', '.join(self.choices)}" if self.choices else "a text"
            raise FaultError(400, f"{fault}: `{self.name}` is {brief(value)}; use {remedy}.")
        return value

    def describe(self) -> dict[str, object]:
        described: dict[str, object] = {"description": self.description, "default": self.default}
        if self.choices:
            described["choices"] = list(self.choices)
        elif not isinstance(self.default, str):
            described.update(minimum=self.minimum, maximum=self.maximum)
        return described


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault; `needs` is the capability or dependency it breaks, empty where every service has it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    needs: str = ""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault in force; `since` is the Unix time of its injection."""

    name: str
    parameters: Mapping[str, Value]
    since: float = field(default_factory=time.time)

    def number(self, parameter: str) -> float:
        return float(self.parameters[parameter])

    def text(self, parameter: str) -> str:
        return str(self.parameters[parameter])

    def describe(self) -> dict[str, object]:
        return {"parameters": dict(self.parameters), "since": self.since}


class FaultBook:
    """The faults of one service: which there are, and which are active."""

    def __init__(self, specs: Iterable[FaultSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._active: dict[str, ActiveFault] = {}
        self.on_change: Callable[[str], None] = lambda _name: None

    def spec(self, name: str) -> FaultSpec:
        """Raises FaultError (404) that lists the faults there are."""
        if name not in self._specs:
            raise FaultError(404, f"There is no fault {brief(name)} here; use one of {', '.join(self._specs)}.")
        return self._specs[name]

    def parse(self, name: str, given: object) -> dict[str, Value]:
        """All parameters of a fault, defaults included. Raises FaultError (404 or 400)."""
        spec = self.spec(name)
        if not isinstance(given, dict):
            raise FaultError(400, f"{name}: parameters must be a JSON object; send {{}} for the defaults.")
        known = {parameter.name: parameter for parameter in spec.parameters}
        for key in given:
            if key not in known:
                valid = ", ".join(known) or "none, it takes no parameters"
                raise FaultError(400, f"{name}: there is no parameter {brief(key)}; valid ones: {valid}.")
        return {key: known[key].parse(name, given.get(key, known[key].default)) for key in known}

    def inject(self, name: str, given: object) -> ActiveFault:
        """Put a fault in force, or change its parameters. Raises FaultError (404 or 400)."""
        fault = ActiveFault(name, self.parse(name, given))
        self._active[name] = fault
        log.warning("fault injected", extra={"fault": name, "parameters": dict(fault.parameters)})
        self.on_change(name)
        return fault

    def heal(self, name: str) -> bool:
        """End a fault; False when it was not active. Raises FaultError (404)."""
        self.spec(name)
        if self._active.pop(name, None) is None:
            return False
        log.warning("fault healed", extra={"fault": name})
        self.on_change(name)
        return True

    def active(self, name: str) -> ActiveFault | None:
        return self._active.get(name)

    def any_active(self, *names: str) -> bool:
        return any(name in self._active for name in names)

    def number(self, name: str, parameter: str, otherwise: float) -> float:
        """A parameter of a fault while it is active, else `otherwise`."""
        fault = self._active.get(name)
        return otherwise if fault is None else fault.number(parameter)

    def active_names(self) -> list[str]:
        return list(self._active)

    def describe(self) -> dict[str, object]:
        return {
            "available": {
                spec.name: {
                    "description": spec.description,
                    "parameters": {parameter.name: parameter.describe() for parameter in spec.parameters},
                }
                for spec in self._specs.values()
            },
            "active": {name: fault.describe() for name, fault in self._active.items()},
        }
