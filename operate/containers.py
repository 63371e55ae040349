"""The stack's containers and volumes, as the Docker engine knows them."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from infra.errors import InputError
from infra.targets.docker import PREFIX
from operate.progress import loud


@dataclass(frozen=True)
class Container:
    """A container of a stack. `health` is "", "starting", "healthy" or "unhealthy"."""

    name: str
    component: str
    state: str
    health: str
    published: tuple[int, ...]
    by_compose: bool

    @property
    def ready(self) -> bool:
        """Running, and healthy where it has a health check."""
        return self.state == "running" and self.health in ("", "healthy")


def client(*arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run the Docker client; what it printed is in the result. Raises TimeoutExpired after `timeout` s.

    Raises InputError where there is no client.
    """
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, errors="replace", check=False, timeout=timeout
        )
    except FileNotFoundError:
        raise InputError("no `docker` is on the PATH; `make up` installs what is missing, or add its folder.") from None


def docker(*arguments: str) -> str:
    """Output of the docker command. Raises InputError with its last line."""
    done = client(*arguments)
    if done.returncode:
        # Some versions end with their own exit status.
        last = done.stderr.strip().removesuffix("exit status 1").strip().splitlines()[-1:] or ["no output"]
        raise InputError(f"`docker {' '.join(arguments[:3])}` failed ({last[0]}); see `docker info`.")
    return done.stdout


def of(stack: str) -> list[Container]:
    """Every container of the stack, running or not, from whichever checkout."""
    ids = docker("ps", "-aq", "--filter", f"label={PREFIX}.stack={stack}").split()
    if not ids:
        return []
    return sorted((_container(data) for data in json.loads(docker("inspect", *ids))), key=lambda c: c.component)


def _container(data: dict[str, Any]) -> Container:
    labels = data["Config"]["Labels"]
    bindings = data["HostConfig"]["PortBindings"] or {}
    return Container(
        name=data["Name"].lstrip("/"),
        component=labels[f"{PREFIX}.component"],
        state=data["State"]["Status"],
        health=data["State"].get("Health", {}).get("Status", ""),
        published=tuple(int(item["HostPort"]) for items in bindings.values() for item in items if item["HostPort"]),
        by_compose="com.docker.compose.project" in labels,
    )


def addresses(stack: str) -> dict[str, str]:
    """Address of each running component on the stack's network; reachable from the engine's own machine."""
    ids = docker("ps", "-q", "--filter", f"label={PREFIX}.stack={stack}").split()
    if not ids:
        return {}
    return {
        data["Config"]["Labels"][f"{PREFIX}.component"]: network["IPAddress"]
        for data in json.loads(docker("inspect", *ids))
        for network in data["NetworkSettings"]["Networks"].values()
    }


def published_ports(stack: str) -> set[int]:
    """Host ports that running containers of the stack hold."""
    return {port for container in of(stack) if container.state == "running" for port in container.published}


def volumes(stack: str) -> list[str]:
    """Names of the stack's volumes."""
    return docker("volume", "ls", "-q", "--filter", f"label={PREFIX}.stack={stack}").split()


def remove(stack: str) -> int:
    """Stop and remove every container of the stack at once; returns how many there were."""
    names = [container.name for container in of(stack)]
    if names:
        docker("stop", *names)
        docker("rm", *names)
    return len(names)


def purge(stack: str) -> int:
    """Remove the stack's volumes; returns how many there were."""
    names = volumes(stack)
    if names:
        docker("volume", "rm", *names)
    return len(names)


def remove_network(stack: str) -> None:
    """Remove the stack's network where it is left.

    Docker may count an endpoint that no container has any more: the network stays until its next start, and works.
    """
    for network in docker("network", "ls", "-q", "--filter", f"label={PREFIX}.stack={stack}").split():
        try:
            docker("network", "rm", network)
        except InputError:
            found = json.loads(docker("network", "inspect", network))[0]
            if found["Containers"]:
                raise
            loud(f"network {found['Name']} stays until the Docker daemon starts again: it counts a lost endpoint")
