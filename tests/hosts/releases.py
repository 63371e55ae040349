"""Releases of the exporter to go from and to: an older one, archives on a mirror, and programs that do not work."""

import hashlib
import http.server
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from infra.versions import IMAGES
from operate import hosts, tools
from tests.hosts.scene import GATEWAY

VERSION = next(image.version for image in IMAGES if image.name == "node-exporter")
OLDER = "1.5.0"
# Of no release that there will ever be.
BROKEN = "9.9.9"


def name(version: str) -> str:
    """What a release's program is called."""
    return f"node_exporter-{version}.linux-amd64"


def digest(content: bytes) -> str:
    """The checksum that is pinned."""
    return hashlib.sha256(content).hexdigest()


def settings(version: str, folder: Path | str, file: str, content: bytes, *, archive: bool = False) -> dict[str, Any]:
    """What the inventory says to take a file for a release, with the checksum of this content."""
    return {
        "version": version,
        "source": str(folder),
        "checksums": {file: digest(content)},
        "archive": archive or None,
    }


# Back to what the role itself says.
DEFAULT: dict[str, Any] = dict.fromkeys(("version", "source", "checksums", "archive"))


def program() -> bytes:
    """The program that the role installs unless told otherwise."""
    hosts.build(tools.speak, ("amd64",))
    return (hosts.FILES / name(VERSION)).read_bytes()


def older(folder: Path) -> dict[str, Any]:
    """The release of Debian bookworm's package, which needs that system's libc."""

    def unpack(out: Path, log: Path) -> None:
        fetch = f"apt-get download {package} && dpkg-deb -x ./*.deb . && mv usr/bin/{package} . && rm -r usr *.deb"
        tools.run_logged(["sh", "-c", fetch], package, log, tools.speak, cwd=out)

    package = "prometheus-node-exporter"
    built = tools.build_once(f"{package}-{OLDER}", unpack) / package
    said = subprocess.run([built, "--version"], capture_output=True, text=True, check=True)
    assert f"version {OLDER} " in said.stdout + said.stderr, "the package is of another release; correct OLDER"
    shutil.copy(built, folder / name(OLDER))
    return settings(OLDER, folder, name(OLDER), built.read_bytes())


def broken(folder: Path, content: bytes) -> dict[str, Any]:
    """A release whose program, correct as pinned, is not an exporter."""
    folder.mkdir()
    (folder / name(BROKEN)).write_bytes(content)
    return settings(BROKEN, folder, name(BROKEN), content)


def archive() -> bytes:
    """The current program in an archive like those of the project's releases."""
    content, packed = program(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        entry = tarfile.TarInfo(f"{name(VERSION)}/node_exporter")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def flipped(content: bytes) -> bytes:
    """The same with one byte changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """A folder by HTTP, at an address that the hosts reach."""
    server = http.server.ThreadingHTTPServer((GATEWAY, 0), partial(_Silent, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{GATEWAY}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
