"""What was decided about a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from operate.rebaseline.cases import Case, Levels

KEPT, LIMIT, LOOSER, TIGHTER = "kept", "limit", "looser", "tighter"


@dataclass(frozen=True)
class Count:
    """Firings: how many, for how many minutes in all, and how many of them were noise."""

    times: int
    minutes: float
    noise: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of one threshold of one service; `service` is EVERY where it is the default.

    `proposed` is None where `today` stays; `evidence` is one sentence.
    """

    service: str
    kind: str
    today: float
    proposed: float | None
    evidence: str
    now: Count
    then: Count

    def withdrawn(self, evidence: str) -> Verdict:
        """The same without its proposal, for the reason given."""
        return replace(self, kind=KEPT, proposed=None, evidence=evidence, then=self.now)


def in_order(verdicts: Mapping[str, list[Verdict]], cases: Mapping[str, Case]) -> dict[str, list[Verdict]]:
    """The verdicts without those that would take a milder alert beyond the more severe one of the same quantity."""
    found = {alert: list(of) for alert, of in verdicts.items()}
    for severe in cases.values():
        for mild in (case for case in cases.values() if severe.outranks(case)):
            for case in (mild, severe):
                found[case.alert] = [
                    verdict.withdrawn(
                        f"{short(verdict.proposed)} would cross the threshold of "
                        f"{(severe if case is mild else mild).alert}: change both by hand."
                    )
                    if verdict.proposed is not None and _crossed(found, mild, severe, verdict.service)
                    else verdict
                    for verdict in found[case.alert]
                ]
    return found


def _crossed(verdicts: Mapping[str, list[Verdict]], mild: Case, severe: Case, service: str) -> bool:
    one, other = (changed(case.levels, verdicts[case.alert]).of(service) for case in (mild, severe))
    return one >= other if mild.above else one <= other


def changed(levels: Levels, verdicts: Iterable[Verdict]) -> Levels:
    """The thresholds with what is proposed."""
    for verdict in verdicts:
        if verdict.proposed is not None:
            levels = levels.with_(verdict.service, verdict.proposed)
    return levels


def rounded(value: float, up: bool, digits: int) -> float:
    """To so many significant digits, away from what is usual."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    steps = round(value / step, 9)
    return float(f"{(math.ceil(steps) if up else math.floor(steps)) * step:.12g}")


def short(value: float) -> str:
    """Four digits at most."""
    return f"{value:.4g}"
