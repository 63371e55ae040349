"""Docker Compose v2 as the `docker compose` command: the one that is there, else one built and plugged in."""

import re
import subprocess
from pathlib import Path

from infra.versions import COMPOSE_VERSION
from operate import tools
from operate.progress import loud

# Inline `configs: content:` came with 2.23.1.
OLDEST = (2, 23, 1)
PLUGIN = Path.home() / ".docker" / "cli-plugins" / "docker-compose"


def command() -> list[str]:
    """The command to run. Where none is new enough, one is built and linked as the user's CLI plugin."""
    if _version() >= OLDEST:
        return ["docker", "compose"]
    built = tools.ensure("docker-compose")
    if not PLUGIN.exists():
        PLUGIN.parent.mkdir(parents=True, exist_ok=True)
        PLUGIN.unlink(missing_ok=True)
        PLUGIN.symlink_to(built)
        loud(f"`docker compose` was missing or too old: {built.name} {COMPOSE_VERSION} is linked at {PLUGIN}")
        if _version() >= OLDEST:
            return ["docker", "compose"]
    # The user's own plugin is older and is left alone.
    return [str(built)]


def _version() -> tuple[int, ...]:
    done = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", done.stdout)[:3]) if done.returncode == 0 else ()
