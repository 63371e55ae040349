"""The course of drills: provokes what may be provoked at the same time, watches, heals, and keeps what it measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from infra.errors import InputError, quoted
from operate.documents.alert_test_plan import Alert, Plan
from operate.drills import watch
from operate.drills.ledger import Ledger
from operate.drills.schedule import Schedule
from operate.drills.sites import DrillError, Site, end_commands
from operate.drills.watch import Watch

# Seconds between two looks: what the measured times are exact to.
LOOK = 1.0
# A message that comes later than the plan says is late; one that is not there after this much more is missing.
_PATIENCE = (1.5, 90.0)
# How long a silenced alert, or one of the digest, is watched for a message that must not come.
_SETTLES = 20.0
# Two rounds of a group of warnings: the message that it is over comes within one.
_OVER = 660.0
# Alertmanager tells news of a group no sooner than this after the last.
_GROUP = {True: 20.0, False: 310.0}
# What ends later than this after the healing is not waited for.
_WAITED_FOR = 1800
# What waits longer than this for something else to end is given up.
_GIVEN_UP = 3600.0
_HEART = 120.0
# Seconds that a drill which wants to be alone may take longer than planned, until it is healed and over.
_SPARE = 300.0


@dataclass
class Trial:
    """One drill: Unix times of what happened, 0 where it has not, and the verdict once it is over."""

    alert: Alert
    broke: float = 0.0
    fired: float = 0.0
    told: dict[str, float] = field(default_factory=dict)
    healed: float = 0.0
    ended: float = 0.0
    over: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    # None where nothing was tried.
    good: bool | None = None
    wrong: list[str] = field(default_factory=list)
    work: Future[None] | None = None

    @property
    def seconds(self) -> dict[str, float | None]:
        """Seconds from the fault to firing and to the last channel, and from the healing to the last message of it."""
        notified = max(self.told.values(), default=0.0)
        ended = max(self.over.values(), default=self.ended)
        return {
            "fire": self.fired - self.broke if self.fired else None,
            "notify": notified - self.broke if notified else None,
            "resolve": ended - self.healed if ended else None,
        }


class Course:
    """Runs the drills of `alerts`; `say` gets a line for whatever happens."""

    def __init__(self, plan: Plan, site: Site, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._plan, self._site, self._ledger, self._say = plan, site, ledger, say
        self._watch = Watch(site)
        self._schedule = Schedule(plan)
        self._active: list[Trial] = []

    def run(self, alerts: Iterable[Alert]) -> list[Trial]:
        """Every drill with its verdict. Whatever ends it early, what is broken is healed; the others stay without."""
        trials = [Trial(alert) for alert in alerts]
        waiting, began = list(trials), time.time()
        self._active, self._pool = [], ThreadPoolExecutor(8)
        try:
            while waiting or self._active:
                self._watch.look()
                for trial in list(self._active):
                    self._follow(trial)
                self._active = [trial for trial in self._active if not trial.verdict]
                for trial in list(waiting):
                    if self._may_begin(trial, began):
                        waiting.remove(trial)
                        self._begin(trial)
                    elif trial.verdict:
                        waiting.remove(trial)
                    elif trial.alert.drill.alone:
                        break  # what comes after it would only make it wait longer
                time.sleep(LOOK)
        except KeyboardInterrupt:
            self._say("interrupted: healing what is broken")
            end_commands()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            for name, words in self._ledger.heal_all(self._site):
                self._say(f"{name} could not be healed: {words}")
        return trials

    def _may_begin(self, trial: Trial, began: float) -> bool:
        alert, drill = trial.alert, trial.alert.drill
        if any(self._apart(trial, other) for other in self._active):
            return False
        reason = ""
        if alert.labels["severity"] == "none":
            return True  # it always fires
        if self._watch.active(alert):
            reason = "it fires already"
            if drill.lasts > _WAITED_FOR:
                self._close(trial, f"not run: {reason}, as it does for long after its fault", good=None)
                return False
        elif self._watch.fired_since(alert, _GROUP[alert.labels["severity"] == "critical"]):
            reason = "one of its group fired just now, and news of a group wait"
        elif cause := self._schedule.silenced_now(alert, self._watch.alerts):
            reason = f"{cause} fires and silences it"
        elif drill.history and not self._watch.recorded(drill.history):
            reason = f"it compares with {drill.history} s before, of which Prometheus has recorded nothing"
        if reason and time.time() - began > _GIVEN_UP and not self._active:
            self._close(trial, f"not run: {reason}", good=None)
        return not reason

    def _apart(self, trial: Trial, active: Trial) -> bool:
        """Whether the drill has to wait for the one that runs."""
        if self._schedule.apart(trial.alert, active.alert):
            return True
        if active.ended:
            return False  # only a message is waited for
        working = active.work is not None and not active.work.done()
        if active.alert.drill.alone:
            return working or not active.healed  # what it broke is well again, though its alert may still fire
        if trial.alert.drill.alone and working:
            return True  # it is being provoked or healed, which may need what this one breaks
        if not trial.alert.drill.alone or active.healed:
            return False
        # What is far from its own message does not mind.
        left = self._plan.within(active.alert) - (time.time() - active.broke)
        return left < self._plan.within(trial.alert) + _SPARE

    def _begin(self, trial: Trial) -> None:
        alert = trial.alert
        self._say(f"{alert.name}: {self._how(alert)}")
        self._ledger.broken(alert.name, alert.drill)
        trial.broke = time.time()
        trial.work = self._pool.submit(self._provoke, trial)
        self._active.append(trial)

    def _provoke(self, trial: Trial) -> None:
        # Where dozens begin at once some wait for their turn: nothing of theirs is broken yet.
        trial.broke = time.time()
        self._site.provoke(trial.alert.name, trial.alert.drill)

    def _how(self, alert: Alert) -> str:
        drill = alert.drill
        if drill.fault:
            return f"fault {drill.fault}"
        if drill.series:
            return f"series {', '.join(dict.fromkeys(stand_in.metric for stand_in in drill.series))}"
        touched = drill.stop or drill.pause
        return f"{'stop' if drill.stop else 'pause'} {', '.join(touched)}" if touched else "run its command"

    def _follow(self, trial: Trial) -> None:
        now = time.time()
        if trial.work is not None and trial.work.done() and (failure := trial.work.exception()):
            self._failed(trial, failure)
            return
        if trial.alert.labels["severity"] == "none":
            self._follow_heart(trial, now)
        elif not trial.healed:
            self._follow_fault(trial, now)
        else:
            self._follow_healing(trial, now)

    def _failed(self, trial: Trial, failure: BaseException) -> None:
        if not isinstance(failure, DrillError):
            raise failure
        if trial.healed:
            self._close(trial, "; ".join([*trial.wrong, f"could not be healed: {failure}"]))
        else:
            trial.wrong.append(f"could not be provoked: {failure}")
            self._heal(trial)

    def _follow_heart(self, trial: Trial, now: float) -> None:
        if self._watch.fires(trial.alert) and (age := self._watch.heart()) < now - trial.broke:
            trial.fired = trial.broke
            trial.told["the receiver of the heartbeat"] = now - age
            self._heal(trial)
            self._close(trial, "beats", good=True)
        elif now - trial.broke > _HEART:
            self._close(trial, "the heart does not beat")

    def _follow_fault(self, trial: Trial, now: float) -> None:
        alert = trial.alert
        if not trial.fired and self._watch.fires(alert):
            trial.fired = now
            self._say(f"{alert.name}: fires after {now - trial.broke:.0f} s")
        told = self._watch.told(alert, trial.broke)
        for channel, message in told.items():
            if channel not in trial.told:
                trial.told[channel] = message.at
                trial.wrong += (f"{channel}: {words}" for words in watch.faults(message, alert))
        patience, more = _PATIENCE
        limit = self._plan.within(alert) * patience + more
        expected = self._expected(alert)
        if expected and set(expected) <= trial.told.keys():
            last = max(trial.told.values())
            self._say(f"{alert.name}: told after {last - trial.broke:.0f} s: {', '.join(expected)}")
            self._heal(trial)
        elif not expected and trial.fired and now - trial.fired > _SETTLES:
            self._quiet(trial)
            self._heal(trial)
        elif now - trial.broke > limit:
            missing = [channel for channel in expected if channel not in trial.told]
            if not trial.fired:
                trial.wrong.append(f"did not fire within {limit:.0f} s")
            else:
                trial.wrong.append(f"not told within {limit:.0f} s: {', '.join(missing)}")
            self._say(f"{alert.name}: {trial.wrong[-1]}")
            self._heal(trial)

    def _quiet(self, trial: Trial) -> None:
        """An alert that is silenced, or waits for the digest: Alertmanager must have it so."""
        alert = trial.alert
        if trial.told:
            trial.wrong.append(f"told although nobody should be: {', '.join(trial.told)}")
        held = self._watch.in_alertmanager(alert)
        if held is None:
            return  # Alertmanager itself is what is down
        if not held:
            trial.wrong.append("fires, and Alertmanager does not know it")
        elif alert.drill.expect.untold and not any(found["status"]["inhibitedBy"] for found in held):
            trial.wrong.append("fires, and nothing silences it")
        elif not alert.drill.expect.untold and not any(
            receiver["name"].endswith("-digest") for found in held for receiver in found["receivers"]
        ):
            trial.wrong.append("fires, and no digest has it")

    def _expected(self, alert: Alert) -> list[str]:
        """The channels that must get a message of their own."""
        if alert.drill.expect.untold:
            return []
        channels = (channel for way in self._plan.ways(alert) if not way.digest for channel in way.channels)
        lost = alert.drill.expect.lost
        return [channel for channel in dict.fromkeys(channels) if not (lost and channel.startswith(lost))]

    def _heal(self, trial: Trial) -> None:
        trial.healed = time.time()
        name = trial.alert.name
        trial.work = self._pool.submit(self._ledger.heal, name, self._site)

    def _follow_healing(self, trial: Trial, now: float) -> None:
        alert = trial.alert
        if trial.work is None or not trial.work.done():
            return
        if alert.drill.lasts > _WAITED_FOR:
            self._judge(trial)
            return
        if not trial.ended and not self._watch.active(alert):
            trial.ended = now
            self._say(f"{alert.name}: over {now - trial.healed:.0f} s after the healing")
        for channel, message in self._watch.told(alert, trial.healed, firing=False).items():
            trial.over.setdefault(channel, message.at)
        # The event that ends a page names no alert but in its title.
        wanted = {channel for channel in trial.told if not channel.startswith("PagerDuty")}
        if trial.ended and (wanted <= trial.over.keys() or now - trial.ended > _OVER):
            if wanted - trial.over.keys():
                trial.wrong.append(f"nobody was told that it is over: {', '.join(wanted - trial.over.keys())}")
            self._judge(trial)
        elif not trial.ended and now - trial.healed > alert.drill.lasts + _PATIENCE[1]:
            trial.wrong.append(f"not over {now - trial.healed:.0f} s after the healing")
            self._judge(trial)

    def _judge(self, trial: Trial) -> None:
        alert, bound = trial.alert, self._plan.within(trial.alert)
        for name in alert.drill.expect.silences:
            for message in self._watch.messages:
                if message.firing and trial.broke <= message.at <= trial.healed and _names(message, name, alert):
                    trial.wrong.append(f"{name} was told beside it")
                    break
        notify = trial.seconds["notify"]
        if trial.wrong:
            self._close(trial, "; ".join(dict.fromkeys(trial.wrong)))
        elif notify is None:
            quiet = "silenced as planned" if alert.drill.expect.untold else "in the digest"
            self._close(trial, f"fires, {quiet}", good=True)
        elif notify > bound:
            self._close(trial, f"late: told after {notify:.0f} s, planned {bound:.0f}")
        else:
            self._close(trial, "as planned", good=True)

    def _close(self, trial: Trial, verdict: str, good: bool | None = False) -> None:
        trial.verdict, trial.good = verdict, good
        self._say(f"{trial.alert.name}: {'FAILED: ' if good is False else ''}{verdict}")


def _names(message: watch.Message, name: str, cause: Alert) -> bool:
    """Whether the message tells of what the cause silences."""
    service = cause.labels.get("service", "")
    return any(entry["alertname"] == name and entry.get("service", "") == service for entry in message.alerts)


def chosen(plan: Plan, names: str) -> list[Alert]:
    """The alerts of a list of names with commas; all for an empty one. Raises InputError for an unknown one."""
    known = {alert.name: alert for alert in plan.alerts}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no alert {quoted(name)}; docs/ALERT_TEST_PLAN.md lists them all.")
    return [known[name] for name in dict.fromkeys(wanted)] if wanted else list(known.values())
