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
from infra.errors import InputError, first_failure, quoted, read_mapping, shown
from infra.tuning import Tuning

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "monitoring"


# A setting that carries a token more often than not.
_PRIVATE = "heartbeat_url"
# The types of Pulumi.yaml: how Python has them, and how people say them.
_KINDS: dict[str, tuple[type, str]] = {
    "string": (str, "text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (dict, "a mapping"),
}


def cache_root() -> Path:
    """Where built tools and checkers lie on this machine; follows XDG_CACHE_HOME.

    A relative path there is passed over, as the XDG base directory specification wants it: it would lead into the
    working tree.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "mycrypto-monitoring"


Port = int


# A DNS label, and a name of two or more of them (RFC 1123).
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# One line of text, which may be empty.
_LINE = r"^[^\x00-\x1f\x7f]*$"
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
            raise ValueError(f"is {quoted(value)}; give a number with Mi, Gi or Ti, for example 8Gi.")
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
    smtp_username: str = Field(pattern=_LINE)
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
    kube_context: str = Field(pattern=_LINE)
    inventory: str = Field(pattern=_LINE)
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
                f"bindAddress is {quoted(self.bind_address)}; give an address of this machine, for example 127.0.0.1."
            ) from None
        try:
            TypeAdapter(AnyHttpUrl).validate_python(self.pagerduty_url)
        except ValidationError:
            raise ValueError(f"pagerdutyUrl is {quoted(self.pagerduty_url)}; give an http or https URL.") from None
        for probe in self.tls_probes:
            match = re.fullmatch(r"[^\s/@]+:(\d{1,5})", probe)
            if not match or not 0 < int(match[1]) < 65536:
                raise ValueError(f"tlsProbes has {quoted(probe)}; give host:port, for example exchange.com:443.")
        if not self.inbox and self.smtp_smarthost.startswith("inbox:"):
            raise ValueError(
                f"smtpSmarthost is {quoted(self.smtp_smarthost)} while inbox is false; give your mail server's "
                "host:port."
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
                f"host is {quoted(self.host)}, which is no host name; give lower-case labels with dots between them, "
                "for example monitoring.exchange.com."
            )
        for name, elsewhere in self.aliases.items():
            if not re.fullmatch(rf"({_LABEL}\.)*{_LABEL}", elsewhere):
                raise ValueError(
                    f"aliases.{name} is {quoted(elsewhere)}, which is no host name; give one without a port."
                )
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
    """Pulumi.yaml's `config:` block: key without namespace -> its declaration. Raises InputError."""
    config = read_mapping(ROOT / "Pulumi.yaml", ROOT).get("config")
    if not isinstance(config, dict):
        raise InputError("Pulumi.yaml: config: is no mapping; see the version in git.")
    for key, value in config.items():
        if not isinstance(value, dict) or value.get("type") not in _KINDS or "default" not in value:
            raise InputError(
                f"Pulumi.yaml: config: {shown(key)}: needs `type`, one of {', '.join(_KINDS)}, and `default`; add them."
            )
    return {str(key).removeprefix(f"{NAMESPACE}:"): value for key, value in config.items()}


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
        if error.errors()[0]["loc"] == (to_camel(_PRIVATE),):
            raise InputError(
                f"{place}: heartbeatUrl: is no http or https address; give one, or leave it empty."
            ) from None
        raise InputError(first_failure(place, error)) from None


def _typed(key: str, value: Any, kind: str, place: str) -> Any:
    """The value in its declared type: the engine hands every value over as a string."""
    try:
        parsed = documents.load(value) if isinstance(value, str) and kind != "string" else value
    except yaml.YAMLError:
        parsed = None
    want, example = _KINDS[kind]
    if not isinstance(parsed, want) or (want is int and isinstance(parsed, bool)):
        # An address that carries a token stays out of every message.
        what = "no text" if key == to_camel(_PRIVATE) else quoted(value)
        raise InputError(
            f"{place}: {NAMESPACE}:{key}: is {what}; give {example}, with `pulumi config set {NAMESPACE}:{key} VALUE`."
        )
    return parsed


def must_be_known(stack: str, root: Path = ROOT) -> None:
    """Raise InputError for a stack without a file: its name becomes part of paths and of labels."""
    known = sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml"))
    if stack not in known:
        raise InputError(f"Pulumi.{shown(stack)}.yaml: no such stack; the stacks here are {', '.join(known)}.")


def stack_file_values(stack: str, root: Path = ROOT) -> dict[str, Any]:
    """The `config:` of Pulumi.<stack>.yaml without the namespace; for runs without the engine."""
    must_be_known(stack, root)
    place = f"Pulumi.{stack}.yaml"
    config = read_mapping(root / place, root).get("config") or {}
    if not isinstance(config, dict):
        raise InputError(f"{place}: config: is no mapping; write a line for each setting, `monitoring:KEY: VALUE`.")
    values = {}
    for key, value in config.items():
        if not isinstance(key, str):
            raise InputError(f"{place}: config: the key {shown(key)} is no text; correct it.")
        namespace, _, name = key.rpartition(":")
        if namespace not in ("", NAMESPACE) or (isinstance(value, dict) and set(value) == {"secure"}):
            # Another program's, or a secret that only the engine can read.
            continue
        values[name] = value
    return values


def load(stack: str, root: Path = ROOT) -> Settings:
    """Settings of a stack, from its file alone. Raises InputError."""
    return from_config(stack_file_values(stack, root), f"Pulumi.{stack}.yaml")
