"""How each alert is provoked on stack dev: drills.yml, held against the rules and what there is to break."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from infra.catalog import METRIC, Catalog
from infra.errors import InputError, first_failure, quoted, read_yaml
from infra.settings import ROOT
from infra.stack import Stack
from infra.targets.docker import name_of
from simulator.faults import FaultBook, FaultError, FaultSpec

FILE = "operate/drills/drills.yml"
# A scrape, and its time-out.
SCRAPE_SECONDS = 20
MEANS = ("fault", "stop", "pause", "run", "series")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Expect(_Model):
    """What an alert does that follows neither from its rule nor from the fault.

    `silences`: alerts that fire meanwhile and notify nobody. `untold`: why this one notifies nobody. `lost`: channels
    that begin so cannot tell it, because they are what is broken.
    """

    service: str | None = None
    team: str | None = None
    silences: tuple[str, ...] = ()
    untold: str | None = Field(default=None, min_length=1)
    lost: str | None = Field(default=None, min_length=1)


class StandIn(_Model):
    """A series that Prometheus records while the drill lasts, beside what it scrapes: `expr` with the labels."""

    metric: str = Field(pattern=METRIC)
    expr: str = "vector(1)"
    labels: dict[str, str] = {}


class Past(_Model):
    """A series of which Prometheus gets samples for the time before, unless it has recorded some itself.

    `value` at the first moment, changing by `per_day`; `since`, `until`: seconds before now, `every` seconds apart.
    """

    metric: str = Field(pattern=METRIC)
    labels: dict[str, str]
    value: float
    per_day: float = 0
    since: int = Field(ge=1)
    until: int = Field(default=0, ge=0)
    every: int = Field(default=60, ge=15)

    @model_validator(mode="after")
    def _since_before_until(self) -> Past:
        if self.since <= self.until:
            raise ValueError(f"since is {self.since} and until {self.until} seconds ago; give an earlier `since`.")
        return self


class Drill(_Model):
    """How one alert is provoked, by one of `fault`, `stop`, `pause`, `run`, `series`.

    `takes`: seconds from the fault until the rule's expression holds, before its `for`. `history`: seconds that
    Prometheus must have recorded before. `lasts`: seconds after the healing until the alert ends. `alone`: nothing else
    can be drilled meanwhile; `apart`: these alerts cannot. A `run` without `heal` ends by itself. `every`: seconds
    between two evaluations of the series, those of all rules if not given.
    """

    fault: str | None = Field(default=None, pattern=r"^[a-z0-9-]+/[a-z_]+$")
    parameters: dict[str, int | float | str] = Field(default={}, alias="with")
    stop: tuple[str, ...] = ()
    pause: tuple[str, ...] = ()
    run: str | None = Field(default=None, min_length=1)
    series: tuple[StandIn, ...] = ()
    every: int | None = Field(default=None, ge=1)
    past: tuple[Past, ...] = ()
    heal: str | None = Field(default=None, min_length=1)
    takes: int = Field(default=SCRAPE_SECONDS, ge=1, le=86400)
    history: int = Field(default=0, ge=0)
    lasts: int = Field(default=900, ge=1)
    alone: bool = False
    apart: tuple[str, ...] = ()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _one_means(self) -> Drill:
        given = [name for name in MEANS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"has {' and '.join(given) or 'no means'}; give exactly one of {', '.join(MEANS)}.")
        for key, owner, there in (
            ("with", "fault", bool(self.parameters)),
            ("heal", "run", self.heal is not None),
            ("every", "series", self.every is not None),
        ):
            if there and given != [owner]:
                raise ValueError(f"`{key}` belongs to `{owner}`; remove it.")
        return self

    @property
    def broken(self) -> str:
        """The service whose fault it is, or whose container is stopped alone; empty where it is not one's."""
        if self.fault is not None:
            return self.fault.partition("/")[0]
        touched = self.stop or self.pause
        return touched[0] if len(touched) == 1 else ""

    @property
    def ends_by_itself(self) -> bool:
        """Whether there is nothing to heal."""
        return self.run is not None and self.heal is None

    @property
    def redeploys(self) -> bool:
        """Whether it deploys the stack anew, by which Docker exchanges Prometheus' container."""
        return self.run is not None and "make up" in self.run

    @property
    def made_up(self) -> bool:
        """Whether generated samples are part of it, which `make drill` gives to Prometheus and takes away again."""
        return bool(self.series or self.past)

    def command(self, stack: Stack) -> str:
        """The shell command that provokes the alert; empty where it needs generated samples."""
        if self.made_up:
            return ""
        if self.fault is not None:
            body = f" -d '{json.dumps(self.parameters)}'" if self.parameters else ""
            return f"curl -X PUT{body} {self._address(stack)}"
        return self.run or self._docker(stack, "stop" if self.stop else "pause")

    def healing(self, stack: Stack) -> str:
        """The command that puts it right; empty where it ends by itself or provoking it has no command."""
        if self.series:
            return ""
        if self.fault is not None:
            return f"curl -X DELETE {self._address(stack)}"
        return self.heal or self._docker(stack, "start" if self.stop else "unpause")

    def _address(self, stack: Stack) -> str:
        return f"{stack.link(stack.settings.faults_port)}/api/faults/{self.fault}"

    def _docker(self, stack: Stack, verb: str) -> str:
        names = " ".join(name_of(stack.name, component) for component in self.stop or self.pause)
        return f"docker {verb} {names}" if names else ""


def load(root: Path = ROOT) -> dict[str, Drill]:
    """The drills by alert. Raises InputError."""
    try:
        return TypeAdapter(dict[str, Drill]).validate_python(read_yaml(root / FILE, root))
    except ValidationError as error:
        raise InputError(first_failure(FILE, error)) from None


def check(drills: Mapping[str, Drill], alerts: Collection[str], components: Collection[str], stack: Stack) -> None:
    """That every alert has a drill, and that what the drills name is there. Raises InputError."""
    for alert in alerts:
        if alert not in drills:
            raise InputError(f"{FILE}: {alert} has no drill; say how it is provoked; `series` can be of anything.")
    for alert, drill in drills.items():
        place = f"{FILE}: {alert}"
        if alert not in alerts:
            raise InputError(f"{place}: there is no such alert; remove the entry or correct its name.")
        for name in (*drill.stop, *drill.pause):
            if name not in components:
                raise InputError(
                    f"{place}: stack {stack.name} has no component {quoted(name)}; `make status` lists them."
                )
        for key, names in (("silences", drill.expect.silences), ("apart", drill.apart)):
            for name in names:
                if name not in alerts:
                    raise InputError(f"{place}: {key}: there is no alert {quoted(name)}; correct its name.")
        if drill.fault is not None:
            check_fault(place, drill, stack.catalog)
        _check_owner(place, drill, stack.catalog)


def check_fault(place: str, drill: Drill, catalog: Catalog) -> None:
    """That the service has the fault and takes its parameters. Raises InputError."""
    service, _, name = str(drill.fault).partition("/")
    known = _faults(catalog)
    if service not in known:
        raise InputError(f"{place}: there is no service {quoted(service)} to break; use one of {', '.join(known)}.")
    try:
        FaultBook(known[service]).parse(name, dict(drill.parameters))
    except FaultError as error:
        raise InputError(f"{place}: {error}") from None


def _faults(catalog: Catalog) -> dict[str, list[FaultSpec]]:
    """The faults of each service of the simulated exchange, and of what stands behind all of them."""
    # Their drivers take a second to import, which every other command would pay for.
    from simulator.certificate import CERTIFICATE_FAULTS  # noqa: PLC0415
    from simulator.control import INFRASTRUCTURE  # noqa: PLC0415
    from simulator.fault_catalog import usable_faults  # noqa: PLC0415
    from simulator.host import HOST_FAULTS  # noqa: PLC0415
    from simulator.infrastructure import REAL_FAULTS  # noqa: PLC0415

    stores = {*catalog.dependencies, "database_replica"}
    return {
        **{entry.name: usable_faults(entry.capabilities, catalog.called_by(entry)) for entry in catalog.services},
        INFRASTRUCTURE: [*(spec for spec in REAL_FAULTS if spec.needs in stores), *HOST_FAULTS, *CERTIFICATE_FAULTS],
    }


def _check_owner(place: str, drill: Drill, catalog: Catalog) -> None:
    expect = drill.expect
    if expect.team is not None and expect.team not in catalog.teams:
        raise InputError(
            f"{place}: team: unknown team {quoted(expect.team)}; known: {', '.join(sorted(catalog.teams))}."
        )
    subjects: dict[str, Any] = {**catalog.by_name, **catalog.dependencies}
    if expect.service is None and expect.team is None and drill.broken not in subjects:
        raise InputError(f"{place}: whose alert it is does not follow; add `expect: {{service: ...}}`.")


def labels(drill: Drill, alert: str, rule: Mapping[str, Any], catalog: Catalog) -> dict[str, str]:
    """The labels that the alert of a drill must carry: those of the rule, `service` where it has one, and `team`."""
    own: dict[str, str] = dict(rule.get("labels", {}))
    service = drill.expect.service or ("" if drill.expect.team else drill.broken)
    subjects: dict[str, Any] = {**catalog.by_name, **catalog.dependencies}
    team = drill.expect.team or own.get("team") or (subjects[service].team if service in subjects else "platform")
    return {"alertname": alert, **own, **({"service": service} if service else {}), "team": team}
