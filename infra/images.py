"""Which image a component runs: the pinned one of a registry, or the one built on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from infra import versions
from infra.errors import InputError
from infra.settings import ROOT, Settings
from infra.workload import Image

MANIFEST = Path(".images/built.json")


class _Local(BaseModel):
    image: str
    version: str


class _Manifest(BaseModel):
    """What operate/images.py writes, as far as it is read here."""

    source: str = ""
    images: dict[str, _Local] = {}
    unavailable: dict[str, str] = {}


@dataclass(frozen=True)
class Images:
    """Resolved images by name, and the components that no image can be had for, with the reason."""

    source: str
    by_name: dict[str, Image]
    unavailable: dict[str, str]

    def __getitem__(self, name: str) -> Image:
        return self.by_name[name]


def load(settings: Settings, root: Path = ROOT) -> Images:
    """Read what `make images` left. Raises InputError where it is needed and missing or torn."""
    path = root / MANIFEST
    manifest: dict[str, Any] = {}
    if path.is_file():
        try:
            manifest = _Manifest.model_validate_json(path.read_bytes()).model_dump()
        except (OSError, ValueError):
            raise InputError(f"{MANIFEST}: not complete; run `make images`.") from None
    elif settings.images == "built":
        raise InputError(f"monitoring:images is built, but {MANIFEST} is missing; run `make images`.")
    local = manifest.get("images", {})
    built = settings.images == "built" or (settings.images == "auto" and manifest.get("source") == "built")
    by_name = {}
    for image in versions.IMAGES:
        if image.name in local and (built or image.upstream is None):
            by_name[image.name] = Image(local[image.name]["image"], local[image.name]["version"], wget=built)
        else:
            # Our own has no upstream; before `make images` the render names what it would be called.
            reference = image.upstream or f"localhost/mycrypto/{image.name}:{image.version}"
            by_name[image.name] = Image(reference, image.version, image.wget)
    return Images("built" if built else "registry", by_name, manifest.get("unavailable", {}) if built else {})
