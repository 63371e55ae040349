"""The simulated exchange: one workload per catalog entry, and the page that injects faults."""

import json
from typing import Any

from infra.catalog import Catalog, Service
from infra.components import scraping
from infra.errors import InputError, shown
from infra.stack import Stack
from infra.workload import MIB, ConfigFile, Port, Probe, Resources, Scrape, SecretFile, Security, Workload

CONTROL = "exchange-control"
CONTROL_PORT = 9900
FAULTS_PORT = 8090
HTTPS_PORT = 8443
HOST = "simulated-host"
USER = Security(65532, 65532)
SECRETS = tuple(SecretFile(f"/run/secrets/{s}-password", f"{s}-password") for s in ("postgres", "redis", "rabbitmq"))


def service(stack: Stack, entry: Service) -> Workload:
    """One service of the exchange, speaking the contract's metrics of its capabilities."""
    document = {
        **entry.model_dump(
            include={"name", "port", "metrics_path", "health_path", "capabilities", "rename", "simulate"}
        ),
        "dependencies": stack.catalog.called_by(entry),
        "version": "1.0.0",
        "environment": stack.settings.environment,
        "metrics": {
            name: metric.model_dump(include={"type", "labels", "buckets", "help"})
            for name, metric in stack.catalog.metrics_of(entry).items()
        },
        "endpoints": endpoints(stack, entry.dependencies),
        "control_port": CONTROL_PORT,
    }
    _check(entry, document)
    return Workload(
        name=entry.name,
        kind="stateless",
        image=stack.images["simulator"],
        team=entry.team,
        part_of="exchange",
        security=USER,
        resources=Resources(memory=96 * MIB, cpu=0.2),
        args=("service",),
        ports=(Port("http", entry.port), Port("control", CONTROL_PORT)),
        config_files=(ConfigFile("/etc/exchange/service.json", _json(document)),),
        secret_files=tuple(file for file in SECRETS if _needs(stack.catalog, entry.dependencies, file)),
        readiness=Probe("", CONTROL_PORT),
    )


def _check(entry: Service, document: dict[str, Any]) -> None:
    """Raise InputError where the simulator would refuse its configuration, and its container never come up."""
    # Only here: a stack without the simulator need not import it.
    from simulator.check import check  # noqa: PLC0415
    from simulator.config import ConfigError  # noqa: PLC0415

    try:
        check(entry.name, json.loads(json.dumps(document)))
    except (ConfigError, TypeError) as error:
        raise InputError(
            f"configs/services.yaml: {entry.name}: its simulator cannot start of this entry and of "
            f"configs/contract.yaml ({shown(str(error).rstrip('.'))}); correct the one or the other."
        ) from None


def control(stack: Stack) -> Workload:
    """The page and interface that inject faults; beside it a simulated bare host and an HTTPS endpoint."""
    document = {
        "port": FAULTS_PORT,
        "host_metrics_port": 9100,
        "https_port": HTTPS_PORT,
        "services": {
            s.name: f"http://{stack.surroundings.every(s.name)}:{CONTROL_PORT}" for s in stack.catalog.services
        },
        "addresses": {s.name: f"http://{stack.surroundings.address(s)}" for s in stack.catalog.services},
        "endpoints": endpoints(stack, tuple(stack.catalog.dependencies)),
    }
    return Workload(
        name=CONTROL,
        kind="stateless",
        image=stack.images["simulator"],
        team="platform",
        part_of="exchange",
        security=USER,
        resources=Resources(memory=128 * MIB, cpu=0.2),
        args=("control",),
        ports=(Port("http", FAULTS_PORT, stack.settings.faults_port), Port("host", 9100), Port("https", HTTPS_PORT)),
        config_files=(ConfigFile("/etc/exchange/control.json", _json(document)),),
        secret_files=SECRETS,
        scratch=("/tmp",),  # noqa: S108 - the container's own
        readiness=Probe("", FAULTS_PORT),
        scrapes=(
            Scrape(
                "node",
                (f"{CONTROL}:9100",),
                {
                    "service": stack.catalog.host_service(HOST),
                    "team": "platform",
                    "instance": HOST,
                },
            ),
            scraping.of_certificate(f"{CONTROL}:{HTTPS_PORT}"),
        ),
    )


def endpoints(stack: Stack, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Where each dependency answers; passwords are files."""
    catalog = stack.catalog
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        if name in catalog.by_name:
            other = catalog.by_name[name]
            result[name] = {"url": f"http://{stack.surroundings.address(other)}{other.health_path}"}
            continue
        store = catalog.dependencies[name]
        if store.kind == "host":
            continue
        result[name] = {"host": store.hosts[0], "port": store.port}
        if store.kind != "redis":
            result[name]["user"] = "exchange"
        if store.kind == "postgres":
            result[name]["dbname"] = "exchange"
            for replica in store.hosts[1:]:
                result[f"{name}_replica"] = {**result[name], "host": replica}
    return result


def _needs(catalog: Catalog, dependencies: tuple[str, ...], file: SecretFile) -> bool:
    kinds = {catalog.dependencies[name].kind for name in dependencies if name in catalog.dependencies}
    return file.secret.removesuffix("-password") in kinds


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
