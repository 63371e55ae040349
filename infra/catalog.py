"""The catalog of services and the metrics contract, checked against each other."""

from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from infra.errors import InputError, first_failure, quoted, read_mapping, shown
from infra.settings import ROOT
from infra.tuning import Tuning

NAME = r"^[a-z][a-z0-9-]{1,40}$"
METRIC = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"

_Name = Annotated[str, Field(pattern=NAME)]
_Metric = Annotated[str, Field(pattern=METRIC)]
# Two underscores in front are Prometheus' own.
_Label = Annotated[str, Field(pattern=r"^([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]*$")]
_Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
_Url = Annotated[str, Field(pattern=r"^/[^\s?#]*$")]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise ValueError(f"has {quoted(twice[0])} twice; remove one of them.")
    return values


def _ascending(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if list(bounds) != sorted(set(bounds)):
        raise ValueError("must ascend, each bound once; put them in order.")
    return bounds


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Model):
    """One metric of the contract."""

    type: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: Annotated[tuple[_Label, ...], AfterValidator(_each_once)]
    help: str
    buckets: Annotated[tuple[FiniteFloat, ...], AfterValidator(_ascending)] = ()

    @model_validator(mode="after")
    def _buckets_of_a_histogram(self) -> "Metric":
        if bool(self.buckets) != (self.type == "histogram"):
            raise ValueError("`buckets` are a histogram's, which needs them; no other type has any.")
        return self


class Capability(_Model):
    """What a service can do, and the metrics it must expose because of it."""

    description: str
    metrics: dict[_Metric, Metric]


class Team(_Model):
    """Where a team is reached."""

    slack_channel: str = Field(pattern="^#")
    email: str = Field(pattern="^[^@ ]+@[^@ ]+$")


class Dependency(_Model):
    """What services depend on besides each other: a data store, or a host that is no cluster's.

    `hosts`: first the one that is written to, then replicas. For `kind: host` they are the `instance`
    labels of the host's node exporter, and there is no port.
    """

    team: str
    kind: Literal["postgres", "redis", "rabbitmq", "host"]
    hosts: Annotated[tuple[_Address, ...], Field(min_length=1), AfterValidator(_each_once)]
    port: int | None = Field(default=None, ge=1, le=65535)
    alerts: dict[str, Tuning] = {}
    maintenance: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _port_of_a_store(self) -> "Dependency":
        if (self.port is None) != (self.kind == "host"):
            raise ValueError("`port` is the data store's; a dependency of `kind: host` has none, every other needs it.")
        return self


class Service(_Model):
    """One service of the exchange. `host` is where it answers, when that is not its name.

    On Kubernetes `namespace` is where its pods run, when that is not the setting exchangeNamespace, and `pods`
    a label selector for them, when they do not carry `app.kubernetes.io/name: <name>`.
    """

    name: str = Field(pattern=NAME)
    description: str
    port: int = Field(ge=1, le=65535)
    team: str
    tier: Literal["critical", "standard"]
    capabilities: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_each_once)]
    dependencies: Annotated[tuple[str, ...], AfterValidator(_each_once)] = ()
    host: _Address | None = None
    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    pods: str | None = Field(default=None, min_length=1)
    metrics_path: _Url = "/metrics"
    health_path: _Url = "/health"
    rename: dict[_Metric, str] = {}
    simulate: dict[str, Any] = {}
    # Share of requests that must not fail, over 30 days; the error-budget alerts watch it.
    slo: float | None = Field(default=None, ge=0.9, lt=1)
    alerts: dict[str, Tuning] = {}
    # The reason of a planned maintenance; while it stands here, the service's alerts notify nobody.
    maintenance: str | None = Field(default=None, min_length=1)


class Catalog(_Model):
    """configs/services.yaml with configs/contract.yaml."""

    teams: dict[_Name, Team]
    dependencies: dict[_Name, Dependency]
    services: tuple[Service, ...]
    contract: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], Capability]

    def host_service(self, instance: str) -> str:
        """The `service` label of a host's metrics: the dependency it stands for, else "host"."""
        owners = [name for name, d in self.dependencies.items() if d.kind == "host" and instance in d.hosts]
        return owners[0] if owners else "host"

    @cached_property
    def by_name(self) -> dict[str, Service]:
        """Services by name."""
        return {service.name: service for service in self.services}

    def called_by(self, service: Service) -> list[str]:
        """The dependencies a service calls, and so reports about; a host it merely runs on."""
        hosts = {name for name, dependency in self.dependencies.items() if dependency.kind == "host"}
        return [name for name in service.dependencies if name not in hosts]

    def metrics_of(self, service: Service) -> dict[str, Metric]:
        """The contract's metrics this service must expose, by contract name."""
        return {
            name: metric
            for capability in service.capabilities
            for name, metric in self.contract[capability].metrics.items()
        }


def load(root: Path = ROOT) -> Catalog:
    """Read and check both files. Raises InputError naming file, entry and remedy."""
    contract_path, services_path = root / "configs/contract.yaml", root / "configs/services.yaml"
    contract = read_mapping(contract_path, root)
    raw = read_mapping(services_path, root)
    place = str(services_path.relative_to(root))
    if set(contract) != {"capabilities"}:
        raise InputError("configs/contract.yaml: the only top-level key is `capabilities`; move the rest below it.")
    entries = raw.get("services")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and "name" in entry:
            _check_entry(entry, f"{place}: services[{index}] ({shown(entry['name'])})")
    try:
        catalog = Catalog.model_validate({**raw, "contract": contract["capabilities"]})
    except ValidationError as error:
        in_contract = error.errors()[0]["loc"][:1] == ("contract",)
        raise InputError(first_failure("configs/contract.yaml" if in_contract else place, error)) from None
    _check_relations(catalog, place)
    return catalog


def _check_entry(entry: dict[str, Any], place: str) -> None:
    try:
        Service.model_validate(entry)
    except ValidationError as error:
        raise InputError(first_failure(place, error)) from None


def _check_relations(catalog: Catalog, place: str) -> None:
    seen: set[str] = set()
    for index, service in enumerate(catalog.services):
        at = f"{place}: services[{index}] ({service.name})"
        if service.name in seen:
            raise InputError(f"{at}: name: a service of that name stands above; rename or remove one of them.")
        seen.add(service.name)
        if service.team not in catalog.teams:
            raise InputError(f"{at}: team: unknown team {quoted(service.team)}; known: {_list(catalog.teams)}.")
        for capability in service.capabilities:
            if capability not in catalog.contract:
                raise InputError(
                    f"{at}: capabilities: unknown capability {quoted(capability)}; known: {_list(catalog.contract)}."
                )
        if service.tier == "critical" and service.slo is None:
            raise InputError(f"{at}: slo: a critical service needs one; add for example `slo: 0.999`.")
        _check_rename(catalog, service, at)
    known = seen | set(catalog.dependencies)
    for index, service in enumerate(catalog.services):
        for dependency in service.dependencies:
            if dependency not in known or dependency == service.name:
                raise InputError(
                    f"{place}: services[{index}] ({service.name}): dependencies: unknown dependency "
                    f"{quoted(dependency)}; known: {_list(known - {service.name})}."
                )
    _check_circles(catalog, place)
    for name, store in catalog.dependencies.items():
        if store.team not in catalog.teams:
            raise InputError(
                f"{place}: dependencies.{name}: team: unknown team {quoted(store.team)}; known: {_list(catalog.teams)}."
            )


def _check_circles(catalog: Catalog, place: str) -> None:
    """Two services that depend on each other would silence each other's alerts when both are down."""
    graph = {s.name: [d for d in s.dependencies if d in catalog.by_name] for s in catalog.services}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise InputError(f"{place}: dependencies: {circle} is a circle; remove one of them.") from None


def _check_rename(catalog: Catalog, service: Service, at: str) -> None:
    exposed = catalog.metrics_of(service)
    for spoken, name in service.rename.items():
        if name not in exposed:
            raise InputError(
                f"{at}: rename: {spoken} is renamed to {quoted(name)}, which the contract does not ask of this "
                f"service; use one of the metrics of {_list(service.capabilities)} in configs/contract.yaml."
            )
        if spoken in exposed:
            raise InputError(f"{at}: rename: {spoken} is itself a name of the contract; remove the line.")


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
