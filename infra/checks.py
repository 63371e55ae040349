"""Each tool's own checker, run over the configuration before anything is deployed."""

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from infra.errors import InputError, one_line
from infra.settings import cache_root
from infra.workload import Workload


def path_of(tool: str, version: str) -> Path:
    """Where operate/checkers.py leaves a checker."""
    return cache_root() / "bin" / f"{tool}-{version}"


def find(tool: str, version: str) -> Path | None:
    """The checker of that version, or None when this machine has none yet."""
    path = path_of(tool, version)
    return path if path.exists() else None


def verify(workloads: Iterable[Workload]) -> list[str]:
    """Run every check whose tool is here; returns the tools that were missing.

    Raises InputError with the file, the checker's words and the remedy.
    """
    missing = []
    for workload in workloads:
        for command in workload.checks:
            tool = find(command[0], workload.image.version)
            if tool is None:
                missing.append(command[0])
                continue
            with tempfile.TemporaryDirectory() as directory:
                _lay_out(workload, Path(directory))
                done = subprocess.run(
                    [tool, *command[1:]],
                    cwd=directory,
                    capture_output=True,
                    text=True,
                    errors="replace",  # a value that is cut short may end within a character
                    timeout=60,
                    check=False,
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
    """What the checker says from its first FAILED or error on, with the file named as the repository names it."""
    lines = [line.strip() for line in output.replace(f"{directory}/", "").splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if re.search(r"FAILED|error:|invalid", line, re.I)), 0)
    complaint = " ".join(lines[first : first + 2]).partition("FAILED:")
    words = (complaint[2] or complaint[0]).strip()
    source = _source(workload, words) or _source(workload, " ".join(lines[: first + 2])) or workload.name
    # Rule files are written anew from what people edit, so promtool's line and column lead nowhere.
    words = re.sub(r"\S+/rules/\S+: \d+:\d+: ", "", words)
    return f"{source}: {tool} refuses it: {one_line(words)}; correct the file, nothing was changed."


def _source(workload: Workload, line: str) -> str:
    """The hand-edited file below configs/ that a line of output names, or an empty string."""
    for file in workload.config_files:
        name = file.path.lstrip("/")
        if name in line or Path(name).name in line:
            return "configs/" + name.removeprefix("etc/")
    return ""
