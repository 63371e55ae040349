"""Colours of panels, from the very thresholds the alerts compare with."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from grafana_foundation_sdk.models import dashboard as models

from infra.errors import InputError
from infra.rules import EVERY, FOLDER, THRESHOLDS, Alerting

# Okabe and Ito's palette: told apart with every kind of colour vision, on dark and on light.
GOOD, WARNING, CRITICAL, NEUTRAL = "#009E73", "#E69F00", "#D55E00", "#56B4E9"

# Grafana colours a value that equals a step; an alert on `> 0` is quiet at 0.
_JUST_ABOVE_ZERO = 1e-9


@dataclass(frozen=True)
class Limits:
    """Where a value turns from good to warning to critical, None when there is no such alert.

    `below` says that small values are the bad ones. `special` are the services whose limits differ:
    they colour the series whose legend begins with the service.
    """

    warning: float | None = None
    critical: float | None = None
    below: bool = False
    special: dict[str, "Limits"] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return self.warning is not None or self.critical is not None

    def steps(self) -> list[models.Threshold]:
        """Grafana's steps, the lowest first; each holds from its value on."""
        pairs = [(self.warning, WARNING), (self.critical, CRITICAL)]
        found = [(value, colour) for value, colour in pairs if value is not None]
        if not self.below:
            return [
                models.Threshold(None, GOOD),
                *(models.Threshold(value or _JUST_ABOVE_ZERO, colour) for value, colour in sorted(found)),
            ]
        values = sorted(value for value, _ in found)
        colours = [colour for _, colour in sorted(found)]
        return [
            models.Threshold(value, colour) for value, colour in zip([None, *values], [*colours, GOOD], strict=True)
        ]

    def lines(self) -> list[models.Threshold]:
        """The steps for lines drawn at them: each in the colour of what lies beyond it, on whichever side that is."""
        if not self.below:
            return self.steps()
        pairs = [(self.critical, CRITICAL), (self.warning, WARNING)]
        return [models.Threshold(None, GOOD), *(models.Threshold(v, colour) for v, colour in pairs if v is not None)]

    def colour(self, value: float) -> str:
        """The colour a value has."""
        return [step.color for step in self.steps() if step.value is None or step.value <= value][-1]


# For values whose alert compares with nothing: something is there, or it is not.
NONE_EXPECTED = Limits(critical=1)
SOME_EXPECTED = Limits(critical=1, below=True)
NOTHING = Limits()


def of(
    alerting: Alerting,
    warning: str | None = None,
    critical: str | None = None,
    *,
    below: bool = False,
    services: Iterable[str] = (),
) -> Limits:
    """The thresholds of a warning and of a critical alert, by name.

    `services` are those whose values a panel shows without naming them: where they are one service, its own
    threshold is the panel's. Raises InputError for an alert that has no threshold.
    """
    shown = list(services)
    tuned = {
        service
        for alert in (warning, critical)
        for service, tuning in alerting.tuning.get(alert or "", {}).items()
        if service != EVERY and tuning.threshold is not None
    }

    def one(service: str) -> Limits:
        return Limits(_threshold(alerting, warning, service), _threshold(alerting, critical, service), below)

    base = one(shown[0] if len(shown) == 1 else EVERY)
    return Limits(base.warning, base.critical, below, {service: one(service) for service in sorted(tuned)})


def in_rule(alerting: Alerting, alert: str) -> float:
    """The number that the rule of an alert compares with last, where its threshold is about something else.

    Raises InputError where the rule is gone, or compares with no number.
    """
    expr = next((str(rule["expr"]) for _, rule in alerting.alerts if rule["alert"] == alert), "")
    compared = re.findall(r"[<>]=? *(\d+(?:\.\d+)?)", expr)
    if not compared:
        raise InputError(
            f"{FOLDER}: {alert}: no such alert compares with a number, and a dashboard takes its colours from that; "
            "restore it, or take the alert out of infra/dashboards."
        )
    return float(compared[-1])


def _threshold(alerting: Alerting, alert: str | None, service: str) -> float | None:
    if alert is None:
        return None
    tuning = alerting.tuning.get(alert, {})
    for subject in (service, EVERY):
        value = tuning[subject].threshold if subject in tuning else None
        if value is not None:
            return value
    if alert not in alerting.thresholds:
        raise InputError(
            f"{THRESHOLDS}: {alert}: missing, and a dashboard takes its colours from it; restore it, or take the alert "
            "out of infra/dashboards."
        )
    return alerting.thresholds[alert].threshold
