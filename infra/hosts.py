"""The bare hosts to watch: read from the Ansible inventory, the one list of them, by Ansible's own loader."""

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from infra.errors import InputError, quoted

ROLE = Path("playbooks/roles/node_exporter")
PASSWORD_FILE = "password"  # noqa: S105 - the file's name
_ASKED = (
    "node_exporter_scrape_address",
    "node_exporter_port",
    "node_exporter_team",
    "node_exporter_web_user",
    "node_exporter_ca_certificate",
    "node_exporter_secrets",
)


@dataclass(frozen=True)
class Host:
    """A host of the inventory: where its exporter is asked, the groups it is in, and the team that answers for it."""

    name: str
    address: str
    port: int
    groups: tuple[str, ...]
    team: str

    @property
    def target(self) -> str:
        """host:port as Prometheus writes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Inventory:
    """Every host, and what all of them have in common: the user to sign in as, the CA, the folder of the password."""

    place: str
    hosts: tuple[Host, ...]
    user: str
    ca_file: Path
    secrets: Path

    @cached_property
    def ca(self) -> str:
        """PEM of the certificate that the hosts' own are checked against. Raises InputError where there is none yet."""
        try:
            return self.ca_file.read_text()
        except (OSError, UnicodeDecodeError):
            raise InputError(
                f"{self.place}: the hosts' CA {self.ca_file} cannot be read; run "
                f"`ansible-playbook --inventory {self.place} playbooks/node-exporters.yml`, which makes it, or set "
                "node_exporter_ca_certificate."
            ) from None

    def password(self) -> str | None:
        """What the playbook made up, on the machine that it ran on. Raises InputError where it cannot be read."""
        path = self.secrets / PASSWORD_FILE
        try:
            return path.read_text().strip() if path.is_file() else None
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path}: cannot be read; restore it, or remove it and run the playbook again.") from None


def load(place: str, root: Path) -> Inventory | None:
    """The inventory at `place` below `root`; None where no place is given.

    Raises InputError with the host and the variable that is wrong.
    """
    if not place:
        return None
    if not (root / place).exists():
        raise InputError(f"monitoring:inventory is {place}, which is not there; name the inventory's file or folder.")
    rows = _rows(place, root)
    if not rows:
        raise InputError(
            f"{place}: lists no host, and what is watched by it would be watched no more; add one, or remove "
            "monitoring:inventory."
        )
    hosts = tuple(_host(place, name, groups, values) for name, groups, values in rows)
    targets: dict[str, str] = {}
    for host in hosts:
        if (other := targets.setdefault(host.target, host.name)) != host.name:
            raise InputError(f"{place}: {host.name} and {other} are both at {host.target}; correct one of them.")
    user, ca_file, secrets = (
        _common(place, rows, key)
        for key in ("node_exporter_web_user", "node_exporter_ca_certificate", "node_exporter_secrets")
    )
    return Inventory(place, hosts, user, Path(ca_file), Path(secrets))


Row = tuple[str, tuple[str, ...], dict[str, str]]


def _rows(place: str, root: Path) -> list[Row]:
    """Name, groups and what is asked of each host, as the playbook would see it, without the host's facts."""
    # Only here: it takes half a second, and a stack without bare hosts needs none of it.
    from ansible import constants  # noqa: PLC0415
    from ansible.errors import AnsibleError  # noqa: PLC0415
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415
    from ansible.vars.manager import VariableManager  # noqa: PLC0415

    # A file that cannot be read would count as one without hosts, and nobody would watch them.
    constants.INVENTORY_ANY_UNPARSED_IS_FAILED = True
    loader = DataLoader()
    loader.set_basedir(str(root / "playbooks"))
    try:
        inventory = InventoryManager(loader=loader, sources=[str(root / place)])
        variables = VariableManager(loader=loader, inventory=inventory)
        defaults = loader.load_from_file(str(root / ROLE / "defaults/main.yml"), trusted_as_template=True)
        rows = []
        for host in inventory.get_hosts():
            name = str(host.get_name())
            if not name.isprintable():
                raise InputError(f"{place}: the host name {quoted(name)} has characters that no name has; correct it.")
            known = {**defaults, **variables.get_vars(host=host, include_hostvars=False)}
            templar = Templar(loader=loader, variables=known)
            rows.append((name, _groups(host), {key: _value(templar, known, place, name, key) for key in _ASKED}))
    except AnsibleError as error:
        raise InputError(f"{place}: {_sentence(error)}; correct it.") from None
    return rows


def _groups(host: Any) -> tuple[str, ...]:
    return tuple(sorted(str(group.name) for group in host.get_groups() if group.name not in ("all", "ungrouped")))


def _value(templar: Any, known: dict[str, Any], place: str, name: str, key: str) -> str:
    from ansible.errors import AnsibleError  # noqa: PLC0415

    try:
        return str(templar.template(known[key]))
    except AnsibleError as error:
        raise InputError(
            f"{place}: {name}: {key}: {_sentence(error)}; correct it, without facts of the host."
        ) from None


def _sentence(error: Exception) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    # Python's own, of a value that is not what its YAML tag says.
    return re.sub(r"'\w+' object has no attribute '\w+'", "a value is not what its tag says", words)


def _host(place: str, name: str, groups: tuple[str, ...], values: dict[str, str]) -> Host:
    address, port = values["node_exporter_scrape_address"], values["node_exporter_port"]
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{place}: {name}: node_exporter_port is {quoted(port)}; give a port from 1 to 65535.")
    try:
        if ip_address(address).is_unspecified:
            raise InputError(f"{place}: {name}: node_exporter_scrape_address is {address}; give the host's own.")
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", address):
            raise InputError(
                f"{place}: {name}: node_exporter_scrape_address is {quoted(address)}; give an address or a name."
            ) from None
    return Host(name, address, int(port), groups, values["node_exporter_team"])


def _common(place: str, rows: list[Row], key: str) -> str:
    found = {values[key]: name for name, _, values in rows}
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise InputError(
            f"{place}: {key} is {one} for {first} and {other} for {second}; Prometheus knows one for all hosts: "
            "set it once, in group_vars/all."
        )
    return next(iter(found))
