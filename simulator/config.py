"""The two configuration files, read once and typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

MetricType = Literal["counter", "gauge", "histogram"]
EndpointKind = Literal["postgres", "redis", "rabbitmq", "service"]


class ConfigError(Exception):
    """A configuration file cannot be used; the text names the file, the key and the remedy."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of the contract; `buckets` are a histogram's upper bounds without +Inf."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a dependency answers. A service has `url`; the others have `host` and `port`."""

    kind: EndpointKind
    host: str = ""
    port: int = 0
    user: str = ""
    dbname: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    name: str
    port: int
    control_port: int
    metrics_path: str
    health_path: str
    version: str
    environment: str
    capabilities: tuple[str, ...]
    dependencies: tuple[str, ...]
    rename: Mapping[str, str]
    simulate: Mapping[str, object]
    metrics: tuple[MetricSpec, ...]
    endpoints: Mapping[str, Endpoint]


@dataclass(frozen=True, slots=True)
class ControlConfig:
    port: int
    host_metrics_port: int
    https_port: int
    version: str
    services: Mapping[str, str]  # control ports
    addresses: Mapping[str, str]  # where they serve
    endpoints: Mapping[str, Endpoint]


class _Section:
    """One JSON object of a configuration file, read key by key with errors that name the place."""

    def __init__(self, place: str, values: object) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{place} is not a JSON object; write it as {{...}}.")
        self.place = place
        self.values = cast("dict[str, object]", values)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise ConfigError(f"{self.place}: `{key}` must be a string; got {value!r}.")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(f"{self.place}: `{key}` must be a whole number; got {value!r}.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.place}: `{key}` must be a list of strings; got {value!r}.")
        return tuple(value)

    def section(self, key: str) -> _Section:
        return _Section(f"{self.place}: `{key}`", self.values.get(key, {}))

    def string_map(self, key: str) -> dict[str, str]:
        section = self.section(key)
        return {name: section.text(name) for name in section.values}


def _read(path: Path) -> _Section:
    try:
        return _Section(str(path), json.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise ConfigError(
            f"{path} cannot be read ({problem.strerror}); mount it there or name another with --config."
        ) from problem
    except ValueError as problem:
        raise ConfigError(f"{path} is not valid JSON ({problem}); write it anew from the catalog.") from problem


def _metric(name: str, section: _Section) -> MetricSpec:
    kind = section.text("type")
    if kind not in ("counter", "gauge", "histogram"):
        raise ConfigError(f"{section.place}: `type` is {kind!r}; use counter, gauge or histogram.")
    buckets = section.values.get("buckets") or []
    if not isinstance(buckets, list) or not all(isinstance(bound, int | float) for bound in buckets):
        raise ConfigError(f"{section.place}: `buckets` must be a list of numbers; got {buckets!r}.")
    bounds = tuple(float(bound) for bound in buckets)
    if kind == "histogram" and not bounds:
        raise ConfigError(f"{section.place}: a histogram needs `buckets`; copy them from the contract.")
    return MetricSpec(name, cast("MetricType", kind), section.texts("labels"), bounds, section.text("help", name))


def _endpoint(section: _Section) -> Endpoint:
    if "url" in section.values:
        return Endpoint("service", url=section.text("url"))
    kind: EndpointKind = "redis"
    if "dbname" in section.values:
        kind = "postgres"
    elif "user" in section.values:
        kind = "rabbitmq"
    return Endpoint(
        kind,
        section.text("host"),
        section.number("port"),
        section.text("user", ""),
        section.text("dbname", ""),
    )


def _endpoints(root: _Section) -> dict[str, Endpoint]:
    section = root.section("endpoints")
    return {name: _endpoint(section.section(name)) for name in section.values}


def read_service(path: Path) -> ServiceConfig:
    """The configuration of one simulated service. Raises ConfigError."""
    return _service(_read(path))


def service_from(place: str, document: object) -> ServiceConfig:
    """The configuration that `document` holds; `place` names it in errors. Raises ConfigError."""
    return _service(_Section(place, document))


def _service(root: _Section) -> ServiceConfig:
    metrics = root.section("metrics")
    endpoints = _endpoints(root)
    dependencies = root.texts("dependencies")
    for name in dependencies:
        if name not in endpoints:
            raise ConfigError(f"{root.place}: dependency {name!r} has no entry under `endpoints`; add its address.")
    return ServiceConfig(
        name=root.text("name"),
        port=root.number("port"),
        control_port=root.number("control_port", 9900),
        metrics_path=root.text("metrics_path", "/metrics"),
        health_path=root.text("health_path", "/health"),
        version=root.text("version", "1.0.0"),
        environment=root.text("environment", "dev"),
        capabilities=root.texts("capabilities"),
        dependencies=dependencies,
        rename=root.string_map("rename"),
        simulate=root.section("simulate").values,
        metrics=tuple(_metric(name, metrics.section(name)) for name in metrics.values),
        endpoints=endpoints,
    )


def read_control(path: Path) -> ControlConfig:
    """The configuration of the fault front. Raises ConfigError."""
    root = _read(path)
    return ControlConfig(
        port=root.number("port", 8090),
        host_metrics_port=root.number("host_metrics_port", 9100),
        https_port=root.number("https_port", 8443),
        version=root.text("version", "1.0.0"),
        services=root.string_map("services"),
        addresses=root.string_map("addresses"),
        endpoints=_endpoints(root),
    )


class Secrets:
    """Passwords kept one a file, read at every connection so that a rotated one is used at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def password(self, kind: EndpointKind) -> str | None:
        """The password for a kind of dependency; None where no file is mounted (no authentication)."""
        path = self._directory / f"{kind}-password"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None
