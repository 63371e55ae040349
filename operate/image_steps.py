"""The steps that make one image: Docker, the Debian root file system, the simulator's packages."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.settings import ROOT, cache_root
from operate import containers, engine, tools
from operate.recipes import DEBIAN_RELEASE, REPOSITORY, Recipe
from operate.tools import BuildError, Say

# By Docker's name of the architecture; the images hold CPython 3.11 on both bases.
_WHEEL_PLATFORMS = {"amd64": "manylinux2014_x86_64", "arm64": "manylinux2014_aarch64"}


def docker_architecture() -> str:
    """The engine's architecture, `amd64` or `arm64`. Raises BuildError where no engine answers."""
    if shutil.which("docker") is None:
        raise BuildError("images need Docker and no `docker` is on PATH; install the Docker Engine.")
    answer = containers.client("version", "--format", "{{.Server.Arch}}")
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"the Docker Engine does not answer ({reason}); start it and run this again.")
    return answer.stdout.strip()


def present() -> dict[str, str]:
    """The sizes, in Docker's wording, of every tagged image on this machine, by reference."""
    listed = containers.client("image", "ls", "--format", "{{.Repository}}:{{.Tag}}\t{{.Size}}")
    return dict(line.split("\t") for line in listed.stdout.splitlines())


def pull(reference: str, timeout: float | None = None) -> None:
    """Pull an image from its registry. Raises BuildError with the registry's word, or after `timeout` s."""
    try:
        done = containers.client("pull", "--quiet", reference, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BuildError(f"docker pull {reference} had no answer within {timeout:.0f} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"docker pull {reference}: {reason}")


def make_root(recipe: Recipe, say: Say) -> None:
    """Make the Debian root file system that `recipe` describes and import it as an image.

    The tar is imported only once it is complete: a torn one would make a plausible image.
    """
    folder = ROOT / "images" / recipe.name
    log = _fresh_log(recipe)
    need_mmdebstrap(say)
    lines = (folder / "packages").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    hooks = {
        "essential-hook": f'sh {shlex.quote(str(folder / "before-packages.sh"))} "$1"',
        "customize-hook": f'sh {shlex.quote(str(folder / "after-packages.sh"))} "$1"',
    }
    with tempfile.TemporaryDirectory(prefix="root-", dir=cache_root()) as scratch:
        tar = Path(scratch) / "root.tar"
        tools.run_logged(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(packages)}",
                f"--dpkgopt={folder / 'dpkg.cfg'}",
                *(f"--{name}={command}" for name, command in hooks.items()),
                DEBIAN_RELEASE,
                str(tar),
                *_apt_sources(),
            ],
            f"the {recipe.name} root file system",
            log,
            say,
        )
        tools.run_logged(["docker", "import", str(tar), recipe.tag], f"{recipe.name} image", log, say)


def make_image(recipe: Recipe, architecture: str, say: Say) -> None:
    """Build one image from its folder, its binaries and, for the simulator, our sources and packages."""
    with tempfile.TemporaryDirectory(prefix=f"{recipe.name}-") as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(ROOT / "images" / recipe.name, context)
        for name in recipe.binaries:
            shutil.copy2(tools.ensure(name, say), context / name)
        if recipe.name == "simulator":
            shutil.copytree(ROOT / "simulator", context / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copytree(_simulator_packages(architecture, say), context / "site")
        # No step of a recipe needs a network: whatever it takes from outside came through the pins.
        tools.run_logged(
            [
                *("docker", "build", "--network=none", "--force-rm"),
                *(f"--build-arg=BASE={recipe.base}", f"--tag={recipe.tag}", str(context)),
            ],
            f"{recipe.name} image",
            _fresh_log(recipe),
            say,
        )


def _simulator_packages(architecture: str, say: Say) -> Path:
    """The simulator's locked packages for CPython 3.11 on Linux, whatever Python runs this."""
    lock = ROOT / "simulator" / "requirements.txt"
    if not lock.is_file():
        raise BuildError(
            "simulator/requirements.txt is missing; compile it from simulator/requirements.in with "
            "`uv pip compile --generate-hashes`."
        )
    platform = _WHEEL_PLATFORMS.get(architecture)
    if platform is None:
        raise BuildError(
            f"the simulator's packages are not known for {architecture}; name their wheel platform in "
            "operate/image_steps.py."
        )

    def install(out: Path, log: Path) -> None:
        tools.run_logged(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
                *(f"--requirement={lock}", "--require-hashes", "--only-binary=:all:", f"--target={out}"),
                *(f"--platform={platform}", "--python-version=3.11", "--implementation=cp"),
            ],
            "the simulator's packages",
            log,
            say,
        )

    return tools.build_once(f"simulator-site-{tools.fingerprint([lock], platform)}", install, say)


def need_mmdebstrap(say: Say) -> None:
    """Install mmdebstrap where it is missing. Raises BuildError where that cannot be done."""
    if shutil.which("mmdebstrap") is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BuildError("images need mmdebstrap; run `apt-get install mmdebstrap` as root on Debian or Ubuntu.")
    say("installing mmdebstrap from Debian's packages ...")
    engine.apt_install("mmdebstrap")


def _apt_sources() -> list[str]:
    """This machine's own package sources where they serve the release: a proxy or mirror set there holds.

    Empty elsewhere, which lets mmdebstrap take Debian's own.
    """
    candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [str(path) for path in candidates if path.is_file() and DEBIAN_RELEASE in path.read_text()]


def _fresh_log(recipe: Recipe) -> Path:
    log = cache_root() / "logs" / f"{recipe.tag.removeprefix(REPOSITORY + '/').replace(':', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    return log
