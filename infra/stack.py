"""One stack: what every component needs to know to say what it runs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra import catalog, hosts, images, settings, surroundings
from infra.catalog import Catalog
from infra.errors import read_text
from infra.hosts import Inventory
from infra.images import Images
from infra.settings import ROOT, Settings
from infra.surroundings import Surroundings
from infra.workload import ConfigFile


@dataclass(frozen=True)
class Stack:
    """Settings, catalog and images of the stack called `name`, read from the project at `root`."""

    name: str
    settings: Settings
    catalog: Catalog
    images: Images
    root: Path = ROOT

    @cached_property
    def surroundings(self) -> Surroundings:
        """What differs between one machine and a cluster."""
        return surroundings.of(self.settings)

    @cached_property
    def inventory(self) -> Inventory | None:
        """The bare hosts to watch, None where there are none. Raises InputError."""
        return hosts.load(self.settings.inventory, self.root)

    @property
    def made_secrets(self) -> dict[str, str]:
        """Secrets by name that the playbook made up and left on this machine."""
        password = self.inventory and self.inventory.password()
        return {"node-exporter-password": password} if password else {}

    def config(self, source: str, path: str) -> ConfigFile:
        """configs/<source> as a file at `path` in the workload."""
        return ConfigFile(path, read_text(self.root / "configs" / source, self.root))

    def link(self, port: int) -> str:
        """The address a person opens for a published port."""
        host = "localhost" if self.settings.bind_address in ("127.0.0.1", "0.0.0.0") else self.settings.bind_address  # noqa: S104
        return f"http://{host}:{port}"

    @property
    def grafana_url(self) -> str:
        """The address where people read the dashboards."""
        return f"https://{self.settings.host}" if self.settings.host else self.link(self.settings.grafana_port)


def load(name: str, values: Settings | None = None, root: Path = ROOT) -> Stack:
    """Read everything once. Raises InputError before anything is touched."""
    checked = values or settings.load(name, root)
    return Stack(name, checked, catalog.load(root), images.load(checked, root), root)
