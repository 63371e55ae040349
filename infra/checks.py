"""Each tool's own checker, run over the configuration before anything is deployed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from infra.errors import InputError
from infra.workload import Workload

# Where `make images` and `make lint` leave the checkers they build or take out of images.
BIN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mycrypto-monitoring" / "bin"


def find(tool: str) -> str | None:
    """The checker's path, or None when this machine has none yet."""
    return shutil.which(tool, path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")


def verify(workloads: Iterable[Workload]) -> list[str]:
    """Run every check whose tool is here; returns the tools that were missing.

    Raises InputError with the file, the checker's words and the remedy.
    """
    missing = []
    for workload in workloads:
        for command in workload.checks:
            tool = find(command[0])
            if tool is None:
                missing.append(command[0])
                continue
            with tempfile.TemporaryDirectory() as directory:
                _lay_out(workload, Path(directory))
                done = subprocess.run(
                    [tool, *command[1:]], cwd=directory, capture_output=True, text=True, timeout=60, check=False
                )
                if done.returncode:
                    raise InputError(_sentence(workload, command[0], done.stdout + done.stderr, directory))
    return missing


def _lay_out(workload: Workload, directory: Path) -> None:
    for file in workload.config_files:
        path = directory / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)


def _sentence(workload: Workload, tool: str, output: str, directory: str) -> str:
    """The first complaint in the checker's output, with the file it is about named as the repository names it."""
    output = output.replace(f"{directory}/", "").replace(directory, "")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wrong = [line for line in lines if "SUCCESS" not in line and not line.startswith(("Checking", "Found"))]
    complaint = next((line for line in wrong if _source(workload, line)), " ".join(wrong[:2]))
    if complaint == "FAILED:" or not complaint:
        complaint = " ".join(wrong[:2])
    source = next((name for line in [complaint, *lines] if (name := _source(workload, line))), workload.name)
    return f"{source}: {tool} refuses it: {complaint.removeprefix('FAILED:').strip()}; correct the file, nothing was changed."


def _source(workload: Workload, line: str) -> str:
    """The hand-edited file below configs/ that a line of output names, or an empty string."""
    for file in workload.config_files:
        name = file.path.lstrip("/")
        if name in line or f"/{Path(name).name}" in line:
            return "configs/" + name.removeprefix("etc/")
    return ""
