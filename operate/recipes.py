"""What each locally built image is made from, and the tag that follows from it.

A recipe is the files of the image's folder under images/, the pinned Go modules of its binaries, our
own sources where it has any, and the image it stands on. The tag carries the fingerprint of all that:
a changed recipe is a changed tag, and an unchanged one needs nothing done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.settings import ROOT
from infra.versions import IMAGES
from operate import tools

REPOSITORY = "localhost/mycrypto"
DEBIAN_RELEASE = "bookworm"

# Images of static Go binaries, by the tools of operate/tools.py that they hold. The one that takes
# longest stands first, so that the others are built beside it.
BINARIES: dict[str, tuple[str, ...]] = {
    "loki": ("loki",),
    "prometheus": ("prometheus", "promtool"),
    "alertmanager": ("alertmanager", "amtool"),
    "node-exporter": ("node_exporter",),
    "otelcol": ("otelcol",),
    "cadvisor": ("cadvisor",),
}

# Images of programs that the shared Debian root file system carries.
ON_DEBIAN = ("blackbox-exporter", "postgres-exporter", "redis-exporter", "postgres", "redis", "rabbitmq")


@dataclass(frozen=True)
class Recipe:
    """One image to build: the reference of its base (None for a root), its binaries, and every file
    of this repository that decides its content."""

    name: str
    version: str
    base: str | None
    files: tuple[Path, ...]
    binaries: tuple[str, ...] = ()

    @cached_property
    def tag(self) -> str:
        """The image's full reference: `localhost/mycrypto/<name>:<version>-<fingerprint>`."""
        pins = [tools.tool_fingerprint(tools.GO_TOOLS[name]) for name in self.binaries]
        recipe = tools.fingerprint(self.files, self.base or "", *pins)
        return f"{REPOSITORY}/{self.name}:{self.version}-{recipe}"


def recipes() -> dict[str, Recipe]:
    """Every recipe by name, each after the one it stands on."""
    debian = Recipe("debian", DEBIAN_RELEASE, None, _files(ROOT / "images" / "debian"))
    static = Recipe("static", DEBIAN_RELEASE, debian.tag, _files(ROOT / "images" / "static"))
    found = {recipe.name: recipe for recipe in (debian, static)}
    for name, binaries in BINARIES.items():
        found[name] = Recipe(name, _version(name), static.tag, _files(ROOT / "images" / name), binaries)
    for name in ON_DEBIAN:
        found[name] = Recipe(name, _version(name), debian.tag, _files(ROOT / "images" / name))
    found["simulator"] = simulator_recipe(debian.tag)
    return found


def simulator_recipe(base: str) -> Recipe:
    """The recipe of our own image on `base`: Debian's Python here, the official slim one elsewhere."""
    sources = (*_files(ROOT / "simulator"), *_files(ROOT / "images" / "simulator"))
    return Recipe("simulator", _version("simulator"), base, sources)


def _files(folder: Path) -> tuple[Path, ...]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return tuple(sorted(found))


def _version(name: str) -> str:
    return next(image.built_version for image in IMAGES if image.name == name and image.built_version)
