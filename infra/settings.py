"""Everything that differs between stacks, typed and read once."""

import os
import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from infra import documents
from infra.errors import InputError, first_failure
from infra.tuning import Tuning

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "monitoring"


def cache_root() -> Path:
    """Where built tools and checkers lie on this machine; follows XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mycrypto-monitoring"


Port = int


# A DNS label, and a name of two or more of them (RFC 1123).
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_QUANTITY = {"Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}


class Size(BaseModel):
    """What one workload gets; what is left out is the component's own default.

    `cpu` and `cpuLimit` are cores set aside and cores at most; `memory` is both, and `storage` the volume of
    each replica, both with Mi, Gi or Ti.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    replicas: int | None = Field(default=None, ge=1, le=20)
    cpu: float | None = Field(default=None, gt=0, le=256)
    cpu_limit: float | None = Field(default=None, gt=0, le=256)
    memory: int | None = None
    storage: int | None = None

    @field_validator("memory", "storage", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(Mi|Gi|Ti)", str(value))
        if value is None or not match:
            raise ValueError(f"is {value!r}; give a number with Mi, Gi or Ti, for example 8Gi.")
        return int(float(match[1]) * _QUANTITY[match[2]])

    @model_validator(mode="after")
    def _limit_above_request(self) -> "Size":
        if self.cpu is not None and self.cpu_limit is not None and self.cpu_limit < self.cpu:
            raise ValueError(f"cpuLimit {self.cpu_limit:g} is below cpu {self.cpu:g}; give at least as many cores.")
        return self


class Settings(BaseModel):
    """The settings of one stack. Fields are the camelCase keys of Pulumi.yaml; defaults stand only there."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    target: Literal["docker", "kubernetes"]
    images: Literal["auto", "registry", "built"]
    simulator: bool
    data_stores: bool
    inbox: bool
    # ServiceDown looks back over 30 s, which must hold two scrapes.
    scrape_interval_seconds: int = Field(ge=5, le=15)
    retention_days: int = Field(ge=1, le=3650)
    bind_address: str
    prometheus_port: Port = Field(ge=1, le=65535)
    grafana_port: Port = Field(ge=1, le=65535)
    alertmanager_port: Port = Field(ge=1, le=65535)
    loki_port: Port = Field(ge=1, le=65535)
    inbox_port: Port = Field(ge=1, le=65535)
    faults_port: Port = Field(ge=1, le=65535)
    pagerduty_url: str
    smtp_smarthost: str = Field(pattern=r"^[^:\s]+:\d+$")
    smtp_from: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    smtp_username: str
    tls_probes: tuple[str, ...]
    heartbeat_url: str = Field(pattern=r"^(https?://\S+)?$")
    runbook_url: str = Field(pattern=r"^https?://\S*[^/\s]$")
    digest_time: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    host: str
    ingress_class: str = Field(pattern=rf"^{_LABEL}$")
    ingress_namespace: str = Field(pattern=rf"^{_LABEL}$")
    ingress_annotations: dict[str, str]
    tls_secret: str = Field(pattern=rf"^{_LABEL}$")
    storage_class: str = Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$")
    kube_context: str
    inventory: str
    exchange_namespace: str = Field(pattern=rf"^{_LABEL}$")
    aliases: dict[str, str]
    spread: Literal["required", "preferred"]
    web_user: str = Field(pattern=r"^([a-z][a-z0-9-]*)?$")
    expected_series: int = Field(ge=1000)
    sizes: dict[str, Size]
    # alert -> service, or "*" for all -> what is different for it
    alerts: dict[str, dict[str, Tuning]]

    @model_validator(mode="after")
    def _relations(self) -> "Settings":
        try:
            ip_address(self.bind_address)
        except ValueError:
            raise ValueError(
                f"bindAddress is {self.bind_address!r}; give an address of this machine, for example 127.0.0.1."
            ) from None
        try:
            TypeAdapter(AnyHttpUrl).validate_python(self.pagerduty_url)
        except ValidationError:
            raise ValueError(f"pagerdutyUrl is {self.pagerduty_url!r}; give an http or https URL.") from None
        for probe in self.tls_probes:
            match = re.fullmatch(r"[^\s/@]+:(\d{1,5})", probe)
            if not match or not 0 < int(match[1]) < 65536:
                raise ValueError(f"tlsProbes has {probe!r}; give host:port, for example exchange.com:443.")
        if not self.inbox and self.smtp_smarthost.startswith("inbox:"):
            raise ValueError(
                f"smtpSmarthost is {self.smtp_smarthost!r} while inbox is false; give your mail server's host:port."
            )
        self._check_target()
        seen: dict[int, str] = {}
        for key, port in self.published_ports().items():
            if port in seen:
                raise ValueError(f"{key} and {seen[port]} are both {port}; give each its own port.")
            seen[port] = key
        return self

    def _check_target(self) -> None:
        if self.host and not re.fullmatch(rf"({_LABEL}\.)+{_LABEL}", self.host):
            raise ValueError(
                f"host is {self.host!r}, which is no host name; give lower-case labels with dots between them, "
                "for example monitoring.exchange.com."
            )
        for name, elsewhere in self.aliases.items():
            if not re.fullmatch(rf"({_LABEL}\.)*{_LABEL}", elsewhere):
                raise ValueError(f"aliases.{name} is {elsewhere!r}, which is no host name; give one without a port.")
        if self.target == "kubernetes":
            if not self.host:
                raise ValueError(
                    "host is empty; give the host name of the Ingress, for example monitoring.exchange.com."
                )
            if not self.web_user:
                raise ValueError(
                    "webUser is empty; give the user that Prometheus and Alertmanager ask for, for example monitoring."
                )
            return
        if self.web_user:
            raise ValueError(
                "webUser is for target kubernetes; on Docker the ports listen on one machine only: remove the line."
            )
        for name, size in self.sizes.items():
            if size.replicas not in (None, 1):
                raise ValueError(
                    f"sizes.{name}: replicas is {size.replicas}; Docker runs one of each: remove the line."
                )

    def size(self, workload: str) -> Size:
        """What the settings say about the size of a workload."""
        return self.sizes.get(workload, Size())

    def published_ports(self) -> dict[str, int]:
        """Every port the stack publishes on `bind_address`, by its settings key."""
        keys = ["prometheus_port", "grafana_port", "alertmanager_port", "loki_port"]
        keys += ["inbox_port"] if self.inbox else []
        keys += ["faults_port"] if self.simulator else []
        return {to_camel(key): getattr(self, key) for key in keys}


def declared() -> dict[str, Any]:
    """Pulumi.yaml's `config:` block: key without namespace -> its declaration."""
    project = documents.load((ROOT / "Pulumi.yaml").read_text())
    return {key.removeprefix(f"{NAMESPACE}:"): value for key, value in project["config"].items()}


def from_config(values: Mapping[str, Any], place: str, secret_keys: Collection[str] = ()) -> Settings:
    """Check `values` (setting -> value, strings where the engine passed them) over the declared defaults.

    `secret_keys` belong to infra/credentials.py and are no settings. Raises InputError with the key, the value
    and the remedy.
    """
    schema = declared()
    merged: dict[str, Any] = {key: item["default"] for key, item in schema.items()}
    for key, value in values.items():
        if key in secret_keys:
            continue
        if key not in schema:
            raise InputError(
                f"{place}: {NAMESPACE}:{key}: unknown setting; Pulumi.yaml lists all of them. "
                f"Remove it with `pulumi config rm {NAMESPACE}:{key}` or correct its spelling."
            )
        merged[key] = _typed(key, value, schema[key]["type"], place)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("heartbeatUrl",):
            # It carries a token more often than not.
            raise InputError(
                f"{place}: heartbeatUrl: is no http or https address; give one, or leave it empty."
            ) from None
        raise InputError(first_failure(place, error)) from None


def _typed(key: str, value: Any, kind: str, place: str) -> Any:
    """The value in its declared type: the engine hands every value over as a string."""
    parsed = documents.load(value) if isinstance(value, str) and kind != "string" else value
    want = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}[kind]
    if not isinstance(parsed, want) or (want is int and isinstance(parsed, bool)):
        example = {
            "string": "text",
            "integer": "a whole number",
            "boolean": "true or false",
            "array": "a list",
            "object": "a mapping",
        }[kind]
        raise InputError(
            f"{place}: {NAMESPACE}:{key}: is {value!r}; give {example}, "
            f"with `pulumi config set {NAMESPACE}:{key} VALUE`."
        )
    return parsed


def stack_file_values(stack: str, root: Path = ROOT) -> dict[str, Any]:
    """The `config:` of Pulumi.<stack>.yaml without the namespace; for runs without the engine."""
    path = root / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.name.split(".")[1] for p in root.glob("Pulumi.*.yaml")))
        raise InputError(f"{path.name}: no such stack; the stacks here are {known}.")
    try:
        config = (documents.load(path.read_text()) or {}).get("config") or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path.name}: not valid YAML ({str(error).splitlines()[0]}); correct it.") from None
    values = {}
    for key, value in config.items():
        namespace, _, name = key.rpartition(":")
        if namespace not in ("", NAMESPACE) or (isinstance(value, dict) and set(value) == {"secure"}):
            # Another program's, or a secret that only the engine can read.
            continue
        values[name] = value
    return values


def load(stack: str, root: Path = ROOT) -> Settings:
    """Settings of a stack, from its file alone. Raises InputError."""
    return from_config(stack_file_values(stack, root), f"Pulumi.{stack}.yaml")
