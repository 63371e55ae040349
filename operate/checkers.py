"""Brings the tools' own checkers to where infra/checks.py looks for them."""

import os
import subprocess
from pathlib import Path

from infra import assembly, checks
from infra.stack import Stack
from infra.workload import Workload
from operate import containers, tools

# Where the images, ours and upstream's, keep the program that checks their configuration.
IN_IMAGE = {
    "promtool": "/bin/promtool",
    "amtool": "/bin/amtool",
    "loki": "/usr/bin/loki",
    "blackbox_exporter": "/bin/blackbox_exporter",
    "otelcol": "/otelcol-contrib",
}

# Small enough to be built where there is no Docker; the others are checked when the stack comes up.
BUILT = ("promtool", "amtool")


def build(stack: Stack) -> None:
    """Checkers for machines without Docker: built from their Go modules on first use."""
    for workload, tool in _wanted(stack):
        if tool in BUILT and checks.find(tool, workload.image.version) is None:
            _place(tools.ensure(tool), checks.path_of(tool, workload.image.version))


def take_from_images(stack: Stack) -> None:
    """Checkers of the very images that will run, copied out of them; they must be present."""
    for workload, tool in _wanted(stack):
        target = checks.path_of(tool, workload.image.version)
        if checks.find(tool, workload.image.version) is None:
            holder = containers.docker("create", workload.image.reference).strip()
            try:
                partial = target.with_suffix(f".partial-{os.getpid()}")
                partial.parent.mkdir(parents=True, exist_ok=True)
                containers.docker("cp", "--follow-link", f"{holder}:{IN_IMAGE[tool]}", str(partial))
                partial.rename(target)
            finally:
                subprocess.run(["docker", "rm", holder], capture_output=True, check=False)


def _wanted(stack: Stack) -> list[tuple[Workload, str]]:
    return [(workload, command[0]) for workload in assembly.workloads(stack) for command in workload.checks]


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source)
