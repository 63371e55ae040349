"""What runs, said without Docker or Kubernetes: plain data in Kubernetes' own vocabulary.

Components return Workloads; the two targets turn them into resources. Sizes are bytes, times seconds.
"""

from dataclasses import dataclass, field
from typing import Literal

MIB = 1024 * 1024
GIB = 1024 * MIB

Kind = Literal["stateful", "stateless", "per-node"]


@dataclass(frozen=True)
class Image:
    """A resolved image: its reference, the version inside, and whether it carries `wget`."""

    reference: str
    version: str
    wget: bool


@dataclass(frozen=True)
class Port:
    """A listening port. `published` is the port on the operator's own address, None when internal."""

    name: str
    number: int
    published: int | None = None


@dataclass(frozen=True)
class ConfigFile:
    """A file that is no secret."""

    path: str
    content: str


@dataclass(frozen=True)
class SecretFile:
    """A secret mounted as a file readable only by the workload's user.

    `form` is a format string for tools that want the value inside a line of their own syntax.
    """

    path: str
    secret: str
    form: str = "{}"


@dataclass(frozen=True)
class HostPath:
    """A path of the machine, mounted read-only."""

    source: str
    path: str


@dataclass(frozen=True)
class Storage:
    """A volume that outlives the workload."""

    path: str
    size: int


@dataclass(frozen=True)
class Probe:
    """Healthy when GET `path` on `port` answers 2xx, or `command` exits 0 inside the workload."""

    path: str = "/"
    port: int = 0
    command: tuple[str, ...] = ()
    start_period: int = 30


def listens_on(port: int) -> tuple[str, ...]:
    """A probe command for images with bash: a connection costs a hundredth of a Python or Erlang start."""
    return ("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")


@dataclass(frozen=True)
class Resources:
    """Limits; `memory` bytes, `cpu` cores."""

    memory: int
    cpu: float = 0.5


@dataclass(frozen=True)
class Security:
    """Numeric user and group; everything a workload needs beyond a locked-down default is said here."""

    user: int
    group: int
    capabilities: tuple[str, ...] = ()
    host_pid: bool = False


@dataclass(frozen=True)
class Scrape:
    """One Prometheus job.

    `targets` are host:port pairs that hold when the target has no better discovery. `rename` maps the
    name a target speaks onto the contract's name; it covers the _bucket, _sum and _count of a histogram.
    """

    job: str
    targets: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    path: str = "/metrics"
    params: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rename: dict[str, str] = field(default_factory=dict)
    relabel: tuple[dict[str, object], ...] = ()


@dataclass(frozen=True)
class Workload:
    """One thing that runs. `part_of` groups components in `status`; `team` answers for it."""

    name: str
    kind: Kind
    image: Image
    team: str
    part_of: Literal["platform", "exporters", "exchange"]
    security: Security
    resources: Resources
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    config_files: tuple[ConfigFile, ...] = ()
    secret_files: tuple[SecretFile, ...] = ()
    host_paths: tuple[HostPath, ...] = ()
    storage: Storage | None = None
    readiness: Probe | None = None
    scrapes: tuple[Scrape, ...] = ()
    # Commands of the tool's own checker, run with the config files laid out below the working directory.
    checks: tuple[tuple[str, ...], ...] = ()
    replicas: int = 1
    grace_seconds: int = 10
    sign_in: str = ""  # what a person signs in with, shown by `status`; never a secret's value
