"""Everything that differs between stacks, typed and read once."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from infra.errors import InputError, first_failure
from infra.tuning import Tuning

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "monitoring"


def cache_root() -> Path:
    """Where built tools and checkers lie on this machine; follows XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mycrypto-monitoring"


Port = int


class Settings(BaseModel):
    """The settings of one stack. Fields are the camelCase keys of Pulumi.yaml; defaults stand only there."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    target: Literal["docker"]
    images: Literal["auto", "registry", "built"]
    simulator: bool
    data_stores: bool
    inbox: bool
    scrape_interval_seconds: int = Field(ge=5, le=60)
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
        seen: dict[int, str] = {}
        for key, port in self.published_ports().items():
            if port in seen:
                raise ValueError(f"{key} and {seen[port]} are both {port}; give each its own port.")
            seen[port] = key
        return self

    def published_ports(self) -> dict[str, int]:
        """Every port the stack publishes on `bind_address`, by its settings key."""
        keys = ["prometheus_port", "grafana_port", "alertmanager_port", "loki_port"]
        keys += ["inbox_port"] if self.inbox else []
        keys += ["faults_port"] if self.simulator else []
        return {to_camel(key): getattr(self, key) for key in keys}


def declared() -> dict[str, Any]:
    """Pulumi.yaml's `config:` block: key without namespace -> its declaration."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return {key.removeprefix(f"{NAMESPACE}:"): value for key, value in project["config"].items()}


def from_config(values: Mapping[str, Any], place: str) -> Settings:
    """Check `values` (setting -> value, strings where the engine passed them) over the declared defaults.

    Raises InputError with the key, the value and the remedy.
    """
    schema = declared()
    merged: dict[str, Any] = {key: item["default"] for key, item in schema.items()}
    for key, value in values.items():
        if key not in schema:
            raise InputError(
                f"{place}: {NAMESPACE}:{key}: unknown setting; Pulumi.yaml lists all of them. "
                f"Remove it with `pulumi config rm {NAMESPACE}:{key}` or correct its spelling."
            )
        merged[key] = _typed(key, value, schema[key]["type"], place)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise InputError(first_failure(place, error)) from None


def _typed(key: str, value: Any, kind: str, place: str) -> Any:
    """The value in its declared type: the engine hands every value over as a string."""
    parsed = yaml.safe_load(value) if isinstance(value, str) and kind != "string" else value
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
        config = (yaml.safe_load(path.read_text()) or {}).get("config") or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path.name}: not valid YAML ({str(error).splitlines()[0]}); correct it.") from None
    values = {}
    for key, value in config.items():
        namespace, _, name = key.rpartition(":")
        if namespace not in ("", NAMESPACE):
            continue
        values[name] = value
    return values


def load(stack: str, root: Path = ROOT) -> Settings:
    """Settings of a stack, from its file alone. Raises InputError."""
    return from_config(stack_file_values(stack, root), f"Pulumi.{stack}.yaml")
