"""Images of whole hosts: Debian releases with their own systemd and sshd, made from packages."""

import os
import re
import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.settings import ROOT, cache_root
from operate import image_steps, tools
from operate.recipes import REPOSITORY
from operate.tools import Say

FOLDER = ROOT / "tests" / "hosts" / "image"
RELEASES = ("bookworm", "trixie", "bullseye")


def tag(release: str) -> str:
    """The image of a Debian release; a changed recipe is a changed tag."""
    return f"{REPOSITORY}/host:{release}-{tools.fingerprint(FOLDER.iterdir(), release)}"


def ensure(say: Say, releases: tuple[str, ...] = RELEASES) -> None:
    """Make the images that are missing. Raises BuildError."""
    with tools.lock("host-images", say):
        missing = [release for release in releases if tag(release) not in image_steps.present()]
        if missing:
            image_steps.need_mmdebstrap(say)
            with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
                list(pool.map(lambda release: _make(release, say), missing))


def _make(release: str, say: Say) -> None:
    log = cache_root() / "logs" / f"host-{release}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"host-{release}-", dir=cache_root()) as scratch:
        tar = Path(scratch) / "root.tar"
        command = [
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(_packages(release))}"),
            f"--dpkgopt={ROOT / 'images/debian/dpkg.cfg'}",
            f'--customize-hook=sh {shlex.quote(str(FOLDER / "after-packages.sh"))} "$1"',
            *(release, str(tar), *_mirror()),
        ]
        tools.run_logged(command, f"the root file system of a {release} host", log, say)
        tools.run_logged(["docker", "import", str(tar), tag(release)], f"the {release} host image", log, say)


def _packages(release: str) -> list[str]:
    lines = [line.split() for line in (FOLDER / "packages").read_text().splitlines() if not line.startswith("#")]
    return [name for words in lines if words[0] in ("all", release) for name in words[1:]]


def _mirror() -> list[str]:
    """The mirror that this machine itself uses; empty lets mmdebstrap take Debian's own."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    found = re.search(r"^URIs: (\S+)", sources.read_text(), re.MULTILINE) if sources.is_file() else None
    return [found[1]] if found else []
