"""A Docker engine that answers: the running one, else one installed on this machine."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from infra.errors import InputError
from operate import tools
from operate.progress import step

LOG = Path("/var/log/dockerd.log")
PID_FILE = Path("/var/run/docker.pid")


def answers() -> bool:
    """Whether a Docker engine answers the client."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def ensure() -> None:
    """Use a running engine, else start or install one (Debian, root). Raises InputError where neither can be."""
    if answers():
        return
    # Two tests, or two people, may come to a fresh machine at once.
    with tools.lock("engine"):
        _ensure()


def _ensure() -> None:
    if answers():
        return
    problem = obstacle()
    if problem:
        raise InputError(problem)
    if shutil.which("dockerd") is None:
        with step("installing Docker (docker.io) from Debian's packages"):
            apt_install("docker.io", "iptables", "containernetworking-plugins")
        if answers():
            return
    with step("starting the Docker engine"):
        _start()


def obstacle() -> str | None:
    """Why no engine can be started here, as one sentence with the remedy; None when one can."""
    start = "start yours (for example `systemctl start docker`)"
    if os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST is {os.environ['DOCKER_HOST']!r} and no Docker engine answers there; {start} or unset it."
    if os.geteuid() != 0:
        return f"no Docker engine answers and only root can install one; {start} or run `sudo make up`."
    if shutil.which("dockerd") is None and shutil.which("apt-get") is None:
        return f"no Docker engine answers and this is no Debian system; {start}, or install Docker for your system."
    return None


def apt_install(*packages: str) -> None:
    """Install Debian packages, as root. Raises InputError with apt's last line."""
    with tools.lock("apt"):
        _apt_install(*packages)


def _apt_install(*packages: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A source that does not answer matters only if a package is missing because of it.
    subprocess.run(["apt-get", "update"], env=environment, capture_output=True, check=False)
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        raise InputError(f"`{' '.join(command)}` failed ({last}); correct that and run the same command again.")


def _start() -> None:
    """Start the engine and wait up to a minute for its answer."""
    systemd = Path("/run/systemd/system").is_dir()
    if systemd:
        subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True)
    engine = None
    for _ in range(120):
        if answers():
            return
        if not systemd and (engine is None or engine.poll() is not None):
            # The first try ends at once while an engine that is stopping still holds the pid file.
            _drop_stale_pid_file()
            with LOG.open("ab") as log:
                # No init system: the engine must outlive this command and its terminal.
                engine = subprocess.Popen(
                    ["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
                )
        time.sleep(0.5)
    where = "`journalctl -u docker`" if systemd else str(LOG)
    raise InputError(f"the Docker engine does not start; see {where}, then run `make up` again.")


def _drop_stale_pid_file() -> None:
    """An engine that was killed leaves its pid behind; once another program has that pid, none starts."""
    try:
        pid = int(PID_FILE.read_text())
        holder = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if holder != "dockerd":
        PID_FILE.unlink(missing_ok=True)
