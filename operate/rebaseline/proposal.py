"""Which thresholds ought to change, and why. The method is told in operate/rebaseline/__init__.py."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from infra.rules import EVERY
from operate.rebaseline.cases import Case, Levels
from operate.rebaseline.distribution import FEWEST_DAYS, daily, once_a_year, pooled
from operate.rebaseline.firings import LATER, Firings, Observed, Span, key_of_labels, overlap
from operate.rebaseline.source import Key
from operate.rebaseline.verdict import KEPT, LIMIT, LOOSER, TIGHTER, Count, Verdict, rounded, short
from operate.replay import Episode

# More firings a week than these, without anything behind them, and people stop to read the alert.
_NOISY = {"critical": 1.0, "warning": 2.0, "info": 7.0}
_FEWEST_FIRINGS = 3
# Noise is told of for less than this, in seconds ...
_SHORT = 1800.0
# ... is less than so many times as far from usual as the threshold ...
_NEAR = 2.0
# ... and no critical alert of the same service comes so soon before or after it, in seconds.
BEFORE, AFTER = 300.0, 1800.0
# How much further from usual than the noise the new threshold lies.
_MARGIN = 0.2
# Too loose: so many times as far from usual as the yearly extreme. The proposal comes half way, at most so near to it.
_LOOSE, _HALF, _ROOM = 10.0, 0.5, 3.0
# Where both comparisons have to be beyond the threshold, these are tried.
_FACTORS = (1.25, 1.5, 1.75)
# A week has weekends in it; less says nothing about them.
_FEWEST_WEEKS = 1.0


@dataclass
class Judge:
    """Decides one case. `critical` are the times at which critical alerts fired, by service and alert.

    `echoes` are the alerts that say the same as this one and so prove nothing about it.
    """

    case: Case
    observed: Sequence[Observed]
    firings: Firings
    span: Span
    critical: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
    echoes: frozenset[str]
    _noise: dict[tuple[Key, float], bool] = field(default_factory=dict)

    @property
    def services(self) -> list[str]:
        """Whose series the rule compares."""
        seen = {series.labels.get("service", "") for each in self.observed for series in each.sampled}
        return sorted(seen | {episode.labels.get("service", "") for episode in self.firings.at(self.case.levels)})

    def count(self, levels: Levels, service: str | None = None) -> Count:
        """The firings at these thresholds; noise is judged at today's."""
        found = self._episodes(levels, service)
        return Count(
            len(found), sum(self._seconds(e) for e in found) / 60, sum(map(self._is_noise, self._as_today(found)))
        )

    def verdicts(self) -> list[Verdict]:
        """One for each service whose threshold ought to change; where none ought to, one for all of them."""
        case = self.case
        if case.limit:
            return [self.kept(EVERY, f"a limit: {case.limit}.", LIMIT)]
        if not self.services:
            return [self.kept(EVERY, "nothing of what it compares is in the history.")]
        if EVERY in case.muted:
            return [self.kept(EVERY, "muted.")]
        if self.span.weeks < _FEWEST_WEEKS:
            return [self.kept(EVERY, "less than a week of history says nothing about weekends.")]
        looked = [self._of_service(service) for service in self.services if service not in case.muted]
        told = [verdict for verdict in looked if verdict.proposed is not None or verdict.evidence]
        if told:
            return self._as_one(told)
        tighter = self._tighter()
        return [tighter or self.kept(EVERY, self._fine())]

    def _fine(self) -> str:
        count = self.count(self.case.levels)
        if not count.times:
            return "never fired."
        if not count.noise:
            return f"every one of {count.times} firings was long, far out, or followed by a critical alert."
        return f"{count.noise} of {count.times} firings came to nothing: too few to change it."

    def kept(self, service: str, evidence: str, kind: str = KEPT) -> Verdict:
        """Today's threshold stays, for the reason given."""
        now = self.count(self.case.levels, None if service == EVERY else service)
        return Verdict(service, kind, self.case.levels.of(service), None, evidence, now, now)

    def _as_one(self, told: list[Verdict]) -> list[Verdict]:
        """One verdict for all where every service that has no threshold of its own is too noisy."""
        case = self.case
        common = [s for s in self.services if s not in case.levels.by_service and s not in case.muted]
        moved = [verdict for verdict in told if verdict.proposed is not None and verdict.service in common]
        if len(common) < 2 or len(moved) < len(common):
            return told
        furthest = (max if case.above else min)(verdict.proposed for verdict in moved if verdict.proposed is not None)
        levels = case.levels.with_(EVERY, furthest)
        if not all(self._still_told(levels, service) for service in common):
            return told
        evidence = f"each of {len(common)} services: {' '.join(f'{v.service} {v.evidence}' for v in moved)}"
        one = Verdict(
            EVERY, LOOSER, case.levels.default, furthest, evidence, self.count(case.levels), self.count(levels)
        )
        return [one, *(verdict for verdict in told if verdict.service not in common)]

    def _episodes(self, levels: Levels, service: str | None) -> list[Episode]:
        return [e for e in self.firings.at(levels) if service is None or e.labels.get("service", "") == service]

    def _as_today(self, found: Iterable[Episode]) -> list[Episode]:
        """The episodes of today's thresholds that these are parts of."""
        today = self.firings.at(self.case.levels)
        return [next((t for t in today if t.labels == e.labels and overlap(t, e)), e) for e in found]

    def _seconds(self, episode: Episode) -> float:
        return (self.span.end if episode.end is None else episode.end) - (episode.start or 0.0)

    def _median(self, service: str) -> float:
        values = pooled(
            s.values for each in self.observed[:1] for s in each.sampled if s.labels.get("service", "") == service
        )
        return float(np.median(values)) if values.size else math.nan

    def _is_noise(self, episode: Episode) -> bool:
        which = key_of_labels(episode.labels), episode.since
        if which not in self._noise:
            self._noise[which] = self._judge(episode)
        return self._noise[which]

    def _judge(self, episode: Episode) -> bool:
        if self._seconds(episode) >= _SHORT or self._followed(episode):
            return False
        service = episode.labels.get("service", "")
        today, median = self.case.levels.of(service), self._median(service)
        further = median + _NEAR * (today - median)
        if self.firings.whole is not None:
            found = self.firings.at(self.case.levels.with_(service, further))
            return not any(e.labels == episode.labels and overlap(e, episode) for e in found)
        reach = self.firings.reach(episode, self.case.levels)
        return reach is not None and (reach < further) == self.case.above

    def _followed(self, episode: Episode) -> bool:
        start = (episode.start or 0.0) - BEFORE
        end = (self.span.end if episode.end is None else episode.end) + AFTER
        others = self.critical.get(episode.labels.get("service", ""), {})
        return any(
            first <= end and last >= start
            for alert, spells in others.items()
            if alert not in self.echoes
            for first, last in spells
        )

    def _of_service(self, service: str) -> Verdict:
        found = self._episodes(self.case.levels, service)
        noise = [episode for episode in found if self._is_noise(episode)]
        allowed = _NOISY[self.case.severity] * self.span.weeks
        if len(noise) < _FEWEST_FIRINGS or len(noise) <= allowed or 2 * len(noise) < len(found):
            return self.kept(service, "")
        real = [episode for episode in found if not self._is_noise(episode)]
        said = f"{len(noise)} of {len(found)} firings were short, near the threshold, and nothing came of them"
        proposed = self._looser(service, noise, real)
        if proposed is None:
            return self.kept(
                service, f"{said}, but no threshold tells them from real ones: a longer `for`, or a repair."
            )
        levels = self.case.levels.with_(service, proposed)
        now, then = self.count(self.case.levels, service), self.count(levels, service)
        still = "the real one" if len(real) == 1 else f"each of the {len(real)} real ones"
        told = f", {still} still would" if real else ""
        evidence = f"{said}; at {short(proposed)} {then.noise or 'none'} of them would have fired{told}."
        return Verdict(service, LOOSER, self.case.levels.of(service), proposed, evidence, now, then)

    def _looser(self, service: str, noise: list[Episode], real: list[Episode]) -> float | None:
        """A threshold that hides the noise and nothing else, None where there is none."""
        today, median, above = self.case.levels.of(service), self._median(service), self.case.above
        if self.firings.whole is not None:
            candidates = [median + factor * (today - median) for factor in _FACTORS]
        else:
            limit = math.inf if above else -math.inf
            losses = [loss for e in real if (loss := self.firings.loses(e, self.case.levels)) is not None]
            loss = (min if above else max)([limit, *losses])
            reaches = [reach for e in noise if (reach := self.firings.reach(e, self.case.levels)) is not None]
            hidden = [reach for reach in reaches if reach != loss and (reach < loss) == above]
            if not hidden:
                return None
            reach = (max if above else min)(hidden)
            candidates = [reach + _MARGIN * (reach - median), (reach + loss) / 2 if math.isfinite(loss) else reach]
        for candidate in candidates:
            for digits in (2, 3, 4):
                value = rounded(candidate, above, digits)
                levels = self.case.levels.with_(service, value)
                left = sum(map(self._is_noise, self._as_today(self._episodes(levels, service))))
                quiet = left <= min(_NOISY[self.case.severity] * self.span.weeks, len(noise) / 2)
                if self._possible(value) and quiet and self._still_told(levels, service):
                    return value
        return None

    def _possible(self, value: float) -> bool:
        return not self.case.unit.startswith("ratio") or 0 < value < 1

    def _still_told(self, levels: Levels, service: str) -> bool:
        """Whether every real incident of a service is told of, at most LATER after it is today."""
        then = self._episodes(levels, service)
        return all(
            any(
                other.labels == episode.labels
                and overlap(other, episode)
                and (other.start or 0.0) <= (episode.start or 0.0) + LATER
                for other in then
            )
            for episode in self._episodes(self.case.levels, service)
            if not self._is_noise(episode)
        )

    def _tighter(self) -> Verdict | None:
        """A nearer threshold for all that have none of their own, where today's is far beyond what a year brings."""
        case = self.case
        common = [s for s in self.services if s not in case.levels.by_service and s not in case.muted]
        if (
            case.symptom
            or case.severity == "critical"
            or self.firings.whole is not None
            or self.firings.at(case.levels)
            or not common
        ):
            return None
        sign = 1 if case.above else -1
        today, wanted, said = case.levels.default, [], ""
        for service in common:
            median = self._median(service)
            extremes = [daily(s.times, s.values, case.above) for each in self.observed for s in each.of(service)]
            if min(map(len, extremes)) < FEWEST_DAYS:
                return None
            # What never moves, an idle queue for one, stays where it is.
            levels = [level if (level := once_a_year(e, case.above)) is not None else float(e[0]) for e in extremes]
            level = (max if case.above else min)(levels)
            far, year = sign * (today - median), sign * (level - median)
            if far < _LOOSE * year or far <= 0:
                return None
            if year > 0:
                wanted.append(median + sign * max(_HALF * far, _ROOM * year))
                said = f"{service} is expected to reach {short(level)} once a year, and {short(median)} is usual"
        if not wanted:
            return None
        proposed = rounded((max if case.above else min)(wanted), case.above, 2)
        whom = common[0] if len(common) == 1 else EVERY
        others = "" if len(common) == 1 else f" and {len(common) - 1} more likewise"
        evidence = f"never fired in {self.span.days:.0f} days; {said}{others}; this is half way, with room beyond that."
        none = Count(0, 0.0, 0)
        return Verdict(whom, TIGHTER, today, proposed, evidence, none, none)
