"""Registration, sign-in and sessions."""

from __future__ import annotations

from simulator.behaviours.base import World
from simulator.traffic import Moment, drift

_FAILURES = {"bad_password": 0.7, "unknown_user": 0.15, "locked": 0.05, "second_factor": 0.1}
_ATTACK_FAILURES = {"bad_password": 0.6, "unknown_user": 0.35, "locked": 0.05}
_LOGINS_PER_SECOND = 1.5
_LOGIN_FAILURE_RATIO = 0.04
_REGISTRATIONS_PER_SECOND = 0.2
_REGISTRATION_FAILURE_RATIO = 0.02


class Accounts:
    def __init__(self, world: World) -> None:
        self._world = world
        metrics = world.metrics
        self._registrations = metrics.counter("auth_registration_total")
        self._steps = metrics.counter("auth_registration_step_total")
        self._logins = metrics.counter("auth_login_total")
        self._suspicious = metrics.gauge("auth_suspicious_sources")
        self._users = metrics.gauge("auth_active_users")
        self._sessions = metrics.gauge("auth_active_sessions")
        for result in ("success", "failure"):
            self._registrations.labels(result)
        for step in ("started", "email_verified", "completed"):
            self._steps.labels(step)
        self._logins.labels("success", "none")
        for reason in _FAILURES:
            self._logins.labels("failure", reason)

    def tick(self, moment: Moment) -> None:
        stay = 1 - moment.faults.number("lost_users", "ratio", 0)
        self._users.labels("1d").set(round(stay * 12000 * (1 + 0.03 * drift(moment.now, 7 * 86400, 0.1))))
        self._users.labels("30d").set(round(60000 * (1 + 0.02 * drift(moment.now, 30 * 86400, 0.6))))
        attack = moment.faults.active("login_attack")
        self._suspicious.set(attack.number("sources") if attack else 0)
        self._sessions.set(round(3200 * moment.activity * (1 + 0.02 * drift(moment.now, 1800, 0.3))))
        if moment.idle:
            return
        self._register(moment)
        self._sign_in(moment)
        if attack:
            self._attack(attack.number("per_second") * moment.elapsed)

    def _register(self, moment: Moment) -> None:
        chance = self._world.chance
        started = chance.poisson(_REGISTRATIONS_PER_SECOND * moment.activity * moment.elapsed)
        verified = chance.part(started, 0.8)
        finished = 0 if moment.faults.active("no_registrations") else chance.part(verified, 0.9)
        ratio = moment.faults.number("registration_failures", "ratio", _REGISTRATION_FAILURE_RATIO)
        failed = chance.part(finished, ratio)
        self._steps.labels("started").inc(started)
        self._steps.labels("email_verified").inc(verified)
        self._steps.labels("completed").inc(finished - failed)
        self._registrations.labels("success").inc(finished - failed)
        self._registrations.labels("failure").inc(failed)

    def _sign_in(self, moment: Moment) -> None:
        chance = self._world.chance
        tried = chance.poisson(_LOGINS_PER_SECOND * moment.activity * moment.elapsed)
        failed = chance.part(tried, _LOGIN_FAILURE_RATIO)
        self._logins.labels("success", "none").inc(tried - failed)
        for reason, count in chance.split(failed, _FAILURES).items():
            self._logins.labels("failure", reason).inc(count)

    def _attack(self, mean: float) -> None:
        tried = self._world.chance.poisson(mean)
        for reason, count in self._world.chance.split(tried, _ATTACK_FAILURES).items():
            self._logins.labels("failure", reason).inc(count)
        self._world.traffic.add("POST", "/api/login", 401, tried)
