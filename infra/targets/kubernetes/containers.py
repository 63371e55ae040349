"""The containers of a pod: the workload itself, and the reloader beside it."""

import math
from typing import Any

from infra.surroundings import RELOADER_PORT
from infra.targets.kubernetes import volumes
from infra.targets.kubernetes.manifest import quantity
from infra.workload import MIB, Probe, Resources, Workload

# The checker reads every rule while it works; between two changes the reloader needs next to nothing.
RELOADER = Resources(memory=192 * MIB, cpu=0.5, cpu_request=0.01)
RELOADER_REQUEST = "24Mi"
AUTHORIZATION = "web-authorization"


def main(workload: Workload) -> dict[str, Any]:
    """The workload's own container."""
    container: dict[str, Any] = {
        "name": workload.name,
        "image": workload.image.reference,
        "imagePullPolicy": "IfNotPresent",
        "ports": [_port(workload, number) for number in range(len(workload.ports))],
        "resources": _resources(workload.resources),
        "securityContext": _locked(workload),
        "volumeMounts": volumes.mounts(workload),
        **_probes(workload),
    }
    command = list(workload.command)
    if workload.storage and workload.storage.silent_when_full:
        script = f"{volumes.SCRIPTS_PATH}/start.sh"
        command = ["sh", script, workload.storage.path, *(command or [workload.name])]
    if command:
        container["command"] = command
    if workload.args:
        container["args"] = list(workload.args)
    env = [{"name": key, "value": value} for key, value in sorted(workload.env.items())]
    if workload.asks_for_password:
        env.append({"name": "AUTHORIZATION_FILE", "value": _authorization(workload)})
    if env:
        container["env"] = env
    return {key: value for key, value in container.items() if value != []}


def _port(workload: Workload, number: int) -> dict[str, Any]:
    port = workload.ports[number]
    found: dict[str, Any] = {"name": port.name, "containerPort": port.number, "protocol": "TCP"}
    scraped = port.number in {scrape.port for scrape in workload.scrapes}
    if workload.kind == "per-node" and (scraped or workload.security.host_network):
        # Prometheus asks every node, so that an agent that is missing is a target that does not answer.
        found["hostPort"] = port.number
    return found


def _resources(wanted: Resources, memory_request: str = "") -> dict[str, Any]:
    memory = quantity(wanted.memory)
    return {
        "requests": {"cpu": _cores(wanted.cpu_request), "memory": memory_request or memory},
        "limits": {"cpu": _cores(wanted.cpu), "memory": memory},
    }


def _cores(value: float) -> str:
    """As the API writes it back: 2, 500m."""
    return f"{value:.0f}" if value == int(value) else f"{round(value * 1000)}m"


def _locked(workload: Workload) -> dict[str, Any]:
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    if workload.security.capabilities:
        capabilities["add"] = list(workload.security.capabilities)
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": capabilities}


def _probes(workload: Workload) -> dict[str, Any]:
    probe = workload.readiness
    if probe is None:
        return {}
    alive = _action(workload, probe, probe.live_path or probe.path)
    ready = _action(workload, probe, probe.path)
    return {
        "startupProbe": _asked(alive, every=2, until=probe.start_limit),
        "readinessProbe": _asked(ready, every=5, until=15),
        # A minute of silence before a restart: a restart loses more than a slow minute does.
        "livenessProbe": _asked(alive, every=15, until=60),
    }


def _asked(action: dict[str, Any], every: int, until: float) -> dict[str, Any]:
    """Ask every few seconds; it has failed after `until` seconds without a good answer."""
    # A program that is started in the container for each question costs a node more than all requests of a scrape do.
    period = 2 * every if "exec" in action else every
    return {**action, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": math.ceil(until / period)}


def _action(workload: Workload, probe: Probe, path: str) -> dict[str, Any]:
    if probe.command:
        return {"exec": {"command": list(probe.command)}}
    if not path:
        return {"tcpSocket": {"port": probe.port}}
    if workload.asks_for_password:
        # A probe of the cluster's own would carry the password in the object.
        return {"exec": {"command": ["sh", f"{volumes.SCRIPTS_PATH}/ask.sh", "GET", str(probe.port), path]}}
    return {"httpGet": {"path": path, "port": probe.port}}


def _authorization(workload: Workload) -> str:
    return next(file.path for file in workload.secret_files if file.secret == AUTHORIZATION)


def first_configuration(workload: Workload) -> dict[str, Any]:
    """Checks the configuration and lays it out before the workload starts."""
    return _script(workload, "first-configuration", "once")


def reloader(workload: Workload) -> dict[str, Any]:
    """Checks each change, hands it over, and tells by its metrics whether it was taken."""
    port = {"name": "reloader", "containerPort": RELOADER_PORT, "protocol": "TCP"}
    listens = {"tcpSocket": {"port": RELOADER_PORT}}
    return {
        **_script(workload, "config-reloader", "watch"),
        "ports": [port],
        "readinessProbe": _asked(listens, every=5, until=20),
        "livenessProbe": _asked(listens, every=15, until=60),
        "startupProbe": _asked(listens, every=2, until=60),
    }


def _script(workload: Workload, name: str, mode: str) -> dict[str, Any]:
    environment = {
        "SOURCE": volumes.SOURCE,
        "TARGET": volumes.live_folder(workload),
        "CHECK": " && ".join(" ".join(command) for command in workload.checks),
        "COMPONENT": workload.name,
        "PORT": str(next(port.number for port in workload.ports if port.name == "http")),
        "METRIC": workload.reload_metric,
        "METRICS_DIR": volumes.METRICS_PATH,
        "METRICS_PORT": str(RELOADER_PORT),
    }
    if workload.asks_for_password:
        environment["AUTHORIZATION_FILE"] = _authorization(workload)
    return {
        "name": name,
        "image": workload.image.reference,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", f"{volumes.SCRIPTS_PATH}/reload.sh", mode],
        "env": [{"name": key, "value": value} for key, value in sorted(environment.items())],
        "resources": _resources(RELOADER, RELOADER_REQUEST),
        "securityContext": _locked(workload),
        "volumeMounts": volumes.reloader_mounts(workload),
    }
