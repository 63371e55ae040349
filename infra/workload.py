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
    """A file that is no secret. `live`: the workload notices a change by itself and needs no restart for it."""

    path: str
    content: str
    live: bool = False


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
    """A volume that outlives the workload.

    `silent_when_full`: what reads it without being able to write says what is no longer so, and must not run then.
    """

    path: str
    size: int
    silent_when_full: bool = False


@dataclass(frozen=True)
class Probe:
    """Ready when GET `path` on `port` answers 2xx, or `command` exits 0 inside the workload.

    An empty `path` asks for no more than a connection, on Docker with the image's bash. `live_path`, where it is
    another, answers 2xx unless only a restart helps. `start_period` is how long a start usually takes; `start_limit`
    how long it may take before it is tried again (a long replay of a log).
    """

    path: str = "/"
    port: int = 0
    command: tuple[str, ...] = ()
    start_period: int = 30
    live_path: str = ""
    start_limit: int = 180


@dataclass(frozen=True)
class Resources:
    """Limits, `memory` in bytes and `cpu` in cores, and the cores set aside for it: memory is set aside whole."""

    memory: int
    cpu: float = 0.5
    cpu_request: float = 0.02


@dataclass(frozen=True)
class Security:
    """Numeric user and group; everything a workload needs beyond a locked-down default is said here."""

    user: int
    group: int
    capabilities: tuple[str, ...] = ()
    # Stands in the machine's own network: its interfaces are what it measures.
    host_network: bool = False


@dataclass(frozen=True)
class SignIn:
    """A user, the file with the password, and the file with the CA that the target's certificate is checked against."""

    user: str
    password_file: str
    ca_file: str


@dataclass(frozen=True)
class Scrape:
    """One Prometheus job.

    `targets` are host:port pairs that hold when the target has no better discovery. `rename` maps the
    name a target speaks onto the contract's name; it covers the _bucket, _sum and _count of a histogram. `sign_in`
    is for targets outside the platform, which are asked over TLS.
    """

    job: str
    targets: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    path: str = "/metrics"
    params: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rename: dict[str, str] = field(default_factory=dict)
    relabel: tuple[dict[str, object], ...] = ()
    sign_in: SignIn | None = None

    @property
    def port(self) -> int:
        """The port that the targets are scraped at; all have the same."""
        return int(self.targets[0].rpartition(":")[2])


@dataclass(frozen=True)
class Call:
    """A connection this workload opens: to a port of another workload, of a service or data store of the catalog, or
    of one of the places below.
    """

    to: str
    port: int


# Places without a name in the stack: every machine of the cluster, the cluster's own API, and addresses outside.
NODES, API_SERVER, OUTSIDE = "(nodes)", "(api server)", "(outside)"


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
    calls: tuple[Call, ...] = ()
    # Paths it writes to and can do without after a restart; the rest of its file system is read-only.
    scratch: tuple[str, ...] = ()
    # Where it says that it took a changed configuration: POST /-/reload makes it read its files again, and
    # this metric of its own is 1 when it liked them. Empty for what cannot do so.
    reload_metric: str = ""
    # Asks everybody on its `http` port for the user and password of settings.web_user.
    asks_for_password: bool = False
    # Commands of the tool's own checker, run with the config files laid out below the working directory.
    checks: tuple[tuple[str, ...], ...] = ()
    replicas: int = 1
    grace_seconds: int = 10
    sign_in: str = ""  # what a person signs in with, shown by `status`; never a secret's value
