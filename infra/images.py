"""Which image a component runs: the pinned one of a registry, or the one built on this machine."""

import json
from dataclasses import dataclass
from pathlib import Path

from infra import versions
from infra.errors import InputError
from infra.settings import ROOT, Settings
from infra.workload import Image

MANIFEST = Path(".images/built.json")


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
    manifest: dict[str, object] = {}
    if path.is_file():
        try:
            manifest = json.loads(path.read_text())
        except ValueError:
            raise InputError(f"{MANIFEST}: not complete; run `make images`.") from None
    elif settings.images == "built":
        raise InputError(f"monitoring:images is built, but {MANIFEST} is missing; run `make images`.")
    local: dict[str, dict[str, str]] = manifest.get("images", {})  # type: ignore[assignment]
    built = settings.images == "built" or (settings.images == "auto" and manifest.get("source") == "built")
    by_name = {}
    for image in versions.IMAGES:
        if image.name in local and (built or image.upstream is None):
            by_name[image.name] = Image(local[image.name]["image"], local[image.name]["version"], wget=True)
        elif image.upstream is None:
            by_name[image.name] = Image(f"localhost/mycrypto/{image.name}:{image.version}", image.version, wget=False)
        else:
            by_name[image.name] = Image(image.upstream, image.version, image.wget)
    unavailable: dict[str, str] = manifest.get("unavailable", {}) if built else {}  # type: ignore[assignment]
    return Images("built" if built else "registry", by_name, unavailable)
