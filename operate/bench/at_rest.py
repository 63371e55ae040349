"""How long the stack takes to start, and what it weighs and costs at rest."""

import os
import re
import subprocess
import sys
import time

from infra import assembly
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack
from infra.workload import GIB, MIB
from operate import containers, deploy
from operate.documents.performance import Part
from operate.status import query


def measure(stack: Stack) -> Part:
    """Start, memory and idle load of the stack, which is stopped and started on the way and left running."""
    _command(stack, "up")
    rows = [("render", _seconds(sys.executable, "-m", "infra.render", "--stack", stack.name), "s", "3 s")]
    _command(stack, "down")
    rows.append(("up, from down, images present", _command(stack, "up"), "s", "60 s"))
    rows.append(("up, no change", _command(stack, "up"), "s", "15 s"))
    print("two minutes at rest ...", flush=True)
    time.sleep(120)
    rows.append(("memory of all containers", memory(stack) / GIB, "GiB", "2.5 GiB"))
    busy = query(stack, 'sum(rate(container_cpu_usage_seconds_total{name!=""}[90s]))')
    rows.append(("CPU of all containers", busy, "cores", ""))
    rows.append(("Prometheus head series", query(stack, "prometheus_tsdb_head_series"), "", ""))
    for name, which, bound in (
        ("alerts and what they read", "!~", "100 ms"),
        ("dashboards, each minute or two", "=~", ""),
    ):
        groups = f'prometheus_rule_group_last_duration_seconds{{rule_group{which}".*/dashboards.yml;.*"}}'
        rows.append((f"rules of {name}", query(stack, f"sum(avg_over_time({groups}[2m]))") * 1e3, "ms", bound))
    print(f"\nengine: {deploy.engine()}, {len(assembly.workloads(stack))} components, {os.cpu_count()} cores")
    for name, value, unit, bound in rows:
        print(f"{name:40} {value:9.2f} {unit:6}{f' (bound {bound})' if bound else ''}")
    return Part(
        title=f"Stack {stack.name} at rest",
        method=(
            "The commands run one after the other on a machine whose images are there; then two minutes pass.",
            "Memory is what the container engine reports, page cache not counted; processor time is that of 90 s by "
            "cAdvisor; rules are the mean of two minutes by Prometheus' own metric.",
        ),
        columns=("what", "measured", "unit", "bound"),
        rows=tuple((name, round(value, 3), unit, bound) for name, value, unit, bound in rows),
    )


def memory(stack: Stack) -> float:
    """Bytes that the containers use, page cache not counted, as the engine reports them."""
    names = [container.name for container in containers.of(stack.name)]
    listing = containers.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names)
    factor = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": GIB}
    used = (re.match(r"([\d.]+)(B|KiB|MiB|GiB)", line) for line in listing.splitlines())
    return sum(float(match[1]) * factor[match[2]] for match in used if match)


def _command(stack: Stack, *command: str) -> float:
    return _seconds(sys.executable, "-m", "operate", "--stack", stack.name, *command)


def _seconds(*command: str) -> float:
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise InputError(f"`{' '.join(command[1:])}` failed; its words above say why.")
    return time.monotonic() - start
