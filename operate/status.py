"""What runs, where, in which state: the table of `make status`, and the wait of `make up`."""

import math
import sys
from dataclasses import dataclass

import requests
from rich import box
from rich.console import Console
from rich.table import Table

from infra import assembly
from infra.stack import Stack
from infra.workload import Workload
from operate import containers
from operate.progress import until_nothing_is_left


@dataclass(frozen=True)
class Target:
    """A scrape target of Prometheus: "up", "down" or "unknown", with the last error and where it is scraped."""

    job: str
    instance: str
    health: str
    error: str
    url: str


def targets(stack: Stack) -> list[Target]:
    """Prometheus' active targets; empty while it does not answer."""
    try:
        answer = requests.get(f"{prometheus(stack)}/api/v1/targets", params={"state": "active"}, timeout=3).json()
    except (requests.RequestException, ValueError):
        return []
    return [
        Target(t["labels"]["job"], t["labels"]["instance"], t["health"], t["lastError"], t["scrapeUrl"])
        for t in answer["data"]["activeTargets"]
    ]


def query(stack: Stack, expression: str) -> float:
    """The value of a PromQL expression with one series; NaN without one."""
    answer = requests.get(f"{prometheus(stack)}/api/v1/query", params={"query": expression}, timeout=10).json()
    result = answer["data"]["result"]
    return float(result[0]["value"][1]) if result else math.nan


def prometheus(stack: Stack) -> str:
    return f"http://{stack.settings.bind_address}:{stack.settings.prometheus_port}"


def _running(stack: Stack) -> dict[str, containers.Container]:
    return {container.component: container for container in containers.of(stack.name)}


def _unhealthy(workloads: list[Workload], running: dict[str, containers.Container]) -> list[str]:
    found = []
    for workload in workloads:
        container = running.get(workload.name)
        if container is None:
            found.append(f"{workload.name} has no container")
        elif not container.ready:
            found.append(f"{workload.name} is {container.health or container.state}")
    return found


def _unscraped(scraped: list[Target]) -> list[str]:
    if not scraped:
        return ["Prometheus has no targets yet"]
    return [f"target {t.job} {t.instance} is {t.health}" for t in scraped if t.health != "up"]


def _runs_here(stack: Stack, target: Target) -> bool:
    """Whether the target is part of this stack; bare hosts and addresses of the catalog may be down of their own."""
    if target in _bare(stack, [target]):
        return False
    if target.job in stack.catalog.by_name or target.job == "health":
        return stack.settings.simulator
    return stack.settings.data_stores or not target.job.startswith("rabbitmq")


def _bare(stack: Stack, scraped: list[Target]) -> list[Target]:
    """The targets that are hosts of the inventory."""
    names = {host.name for host in stack.inventory.hosts} if stack.inventory else set()
    return [target for target in scraped if target.job == "node" and target.instance in names]


def wait(stack: Stack, seconds: int = 240) -> None:
    """Wait until every container is healthy and every target of the stack is scraped.

    Raises InputError with the next step when the time is over.
    """

    def remedy(left: list[str]) -> str:
        first = left[0].split()[0]
        container = f"`docker logs monitoring-{stack.name}-{first}`"
        where = f"{prometheus(stack)}/targets" if first in ("target", "Prometheus") else container
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        return f"{more}; see {where}, then run `make up` again."

    until_nothing_is_left(lambda: unwell(stack), seconds, remedy)


def unwell(stack: Stack) -> list[str]:
    """What of the stack is not as it should be, in words; empty where all is well."""
    ours = [target for target in targets(stack) if _runs_here(stack, target)]
    return [*_unhealthy(assembly.workloads(stack), _running(stack)), *_unscraped(ours)]


def table(stack: Stack) -> bool:
    """Print the table; returns whether all is well."""
    workloads = assembly.workloads(stack)
    running = _running(stack)
    scraped = targets(stack)
    result = Table(title=f"stack {stack.name}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("component", "version", "state", "targets up", "address", "sign-in"):
        result.add_column(column, no_wrap=True)
    for part in ("platform", "exporters", "exchange"):
        for workload in (w for w in workloads if w.part_of == part):
            container = running.get(workload.name)
            state = "absent" if container is None else container.health or container.state
            good = container is not None and container.ready
            result.add_row(
                workload.name,
                workload.image.version,
                f"[{'green' if good else 'bold red'}]{state}",
                _targets_of(workload, scraped),
                _address(stack, workload),
                workload.sign_in,
            )
        result.add_section()
    if stack.inventory:
        bare = _bare(stack, scraped)
        up = sum(target.health == "up" for target in bare)
        result.add_row("bare hosts", "", "", f"{up}/{len(bare)}", stack.inventory.place)
        result.add_section()
    for name in stack.images.unavailable:
        result.add_row(name, "", "[bold yellow]left out")
    # Piped output has no width; a narrow terminal loses the last columns rather than every column's end.
    Console(width=None if sys.stdout.isatty() else 140).print(result)
    for name, reason in stack.images.unavailable.items():
        print(f"{name} is left out: {reason}")
    sick = _unhealthy(workloads, running)
    wrong = [*sick, *_unscraped(scraped)]
    up = sum(t.health == "up" for t in scraped)
    print(f"{len(workloads) - len(sick)} of {len(workloads)} components healthy, {up} of {len(scraped)} targets up")
    for phrase in wrong:
        print(f"  {phrase}")
    return not wrong


def _targets_of(workload: Workload, scraped: list[Target]) -> str:
    own = {target for scrape in workload.scrapes for target in scrape.targets}
    ports = {f"{workload.name}:{port.number}" for port in workload.ports} | own
    instances = {scrape.labels.get("instance", "") for scrape in workload.scrapes} - {""}
    matching = [t for t in scraped if t.instance in ports | instances or f"//{workload.name}:" in t.instance]
    return f"{sum(t.health == 'up' for t in matching)}/{len(matching)}" if matching else ""


def _address(stack: Stack, workload: Workload) -> str:
    return "  ".join(stack.link(port.published) for port in workload.ports if port.published)
