"""Hosts for the tests: containers with a systemd and an sshd of their own, reached over SSH as a user without rights.

All of them stand in one network of this machine. What they need of the controller (SSH key, known hosts, the internal
CA and the password) lies in one folder outside git.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from infra import documents
from infra.settings import ROOT
from operate import engine, tools
from operate.tools import Say
from tests.hosts import images

T = TypeVar("T")

NETWORK = "monitoring-test-hosts"
SUBNET = "10.89.64"
USER = "deploy"
# What systemd needs of a container to be process 1 of a host.
AS_A_HOST = (
    *("--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE", "--cap-add=NET_RAW"),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    # It mounts the control groups itself, in a folder of its own: this machine's it would leave read-only.
    *("--env=container=docker", "--cgroupns=host", "--tmpfs=/sys/fs/cgroup:rw,mode=755,size=4m"),
    *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp"),
)
SYSTEMD = ("/sbin/init",)
ENVIRON = {
    "ANSIBLE_NOCOLOR": "1",
    # A host shares its processors with all other tests of this machine: it may take long to answer, and is there.
    "ANSIBLE_TIMEOUT": "60",
    # Ansible forks for each task of each host; without compiled files each fork would compile its plugins again.
    "PYTHONDONTWRITEBYTECODE": "",
}


@dataclass(frozen=True)
class Host:
    """One host: its last address byte, its Debian release, its inventory group and what the inventory says of it."""

    name: str
    number: int
    group: str
    release: str = "bookworm"
    variables: dict[str, Any] = field(default_factory=dict)
    docker: tuple[str, ...] = ()
    init: tuple[str, ...] = SYSTEMD

    @property
    def address(self) -> str:
        """Its address in the network of the tests."""
        return f"{SUBNET}.{self.number}"

    @property
    def container(self) -> str:
        """Its container."""
        return f"{NETWORK}-{self.name}"


class Fleet:
    """Some hosts, with a folder of their own for what belongs to them."""

    def __init__(self, name: str, hosts: Sequence[Host], say: Say = tools.speak, shares: int = 1024) -> None:
        """`shares` is the weight of each host's processes where processors are short; 1024 is everybody's."""
        self.shares = shares
        self.hosts = {host.name: host for host in hosts}
        self.folder = ROOT / ".secrets" / "test-hosts" / name
        self.inventory = self.folder / "inventory"
        self.secrets = self.folder / "shared"
        self.say = say

    def start(self) -> None:
        """Make the hosts anew and write the inventory; all of them answer over SSH then."""
        engine.ensure()
        images.ensure(self.say, tuple({host.release for host in self.hosts.values()}))
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self.folder / "key").exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        self.write_inventory(self.hosts)
        (self.folder / "known_hosts").unlink(missing_ok=True)
        with tools.lock(NETWORK, self.say):
            self._remove()
            # Another fleet may have made it.
            subprocess.run(
                ["docker", "network", "create", f"--subnet={SUBNET}.0/24", NETWORK], capture_output=True, check=False
            )
            self._begin(list(self.hosts.values()))

    def renew(self, names: Iterable[str]) -> None:
        """Make some of the hosts anew."""
        hosts = [self.hosts[name] for name in names]
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", *(host.container for host in hosts)],
            capture_output=True,
            check=False,
        )
        self._begin(hosts)

    def _begin(self, hosts: Sequence[Host]) -> None:
        known = self.folder / "known_hosts"
        kept = known.read_text().splitlines(keepends=True) if known.exists() else []
        others = [line for line in kept if line.split()[0] not in {host.address for host in hosts}]
        each(hosts, self._start)
        each(hosts, self._authorize)
        known.write_text("".join([*others, *each(hosts, _ssh_key)]))

    def _start(self, host: Host) -> None:
        named = (f"--name={host.container}", f"--hostname={host.name}", f"--network={NETWORK}", f"--ip={host.address}")
        limits = ("--memory=512m", f"--cpu-shares={self.shares}", "--label=com.mycrypto.monitoring.test=hosts")
        _run(
            "docker", "run", "--detach", *named, *limits, *AS_A_HOST, *host.docker, images.tag(host.release), *host.init
        )

    def _authorize(self, host: Host) -> None:
        def sshd() -> bool:
            return self.on(host.name, "systemctl is-active ssh", check=False).stdout.strip() == "active"

        if host.init == SYSTEMD:
            # Until then nobody may sign in but root.
            _until(f"{host.name} runs sshd", sshd)
        key = (self.folder / "key.pub").read_text().strip()
        self.on(
            host.name,
            f"install -d -m 0700 -o {USER} -g {USER} ~{USER}/.ssh && echo '{key}' > ~{USER}/.ssh/authorized_keys && "
            f"chown {USER}: ~{USER}/.ssh/authorized_keys",
        )

    def stop(self) -> None:
        """Remove the hosts, and the network once nobody is in it or about to be."""
        with tools.lock(NETWORK, self.say):
            self._remove()

    def _remove(self) -> None:
        names = [host.container for host in self.hosts.values()]
        subprocess.run(["docker", "rm", "--force", "--volumes", *names], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", NETWORK], capture_output=True, check=False)

    def runs(self) -> bool:
        """Whether all of the hosts are there."""
        listing = subprocess.run(["docker", "ps", "--format={{.Names}}"], capture_output=True, text=True, check=True)
        return {host.container for host in self.hosts.values()} <= set(listing.stdout.split())

    def write_inventory(self, names: Iterable[str]) -> None:
        """An inventory of these hosts, grouped, as a folder."""
        groups: dict[str, Any] = {}
        for host in (self.hosts[name] for name in names):
            members = groups.setdefault(host.group, {"hosts": {}})["hosts"]
            members[host.name] = {"ansible_host": host.address, **host.variables}
        variables = {
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.folder}/known_hosts",
            "node_exporter_secrets": str(self.secrets),
        }
        self.inventory.mkdir(parents=True, exist_ok=True)
        (self.inventory / "hosts.yml").write_text(documents.dump({"all": {"children": groups, "vars": variables}}))

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The command that runs a playbook on the fleet."""
        program = str(ROOT / ".venv/bin/ansible-playbook")
        return [program, "--inventory", str(self.inventory), f"playbooks/{playbook}.yml", *arguments]

    def play(
        self, playbook: str, *arguments: str, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on the fleet, as a person would."""
        done = subprocess.run(
            self.command(playbook, *arguments),
            cwd=ROOT,
            env={**os.environ, **ENVIRON, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout, done.stderr, sep="\n")
        return done

    def on(self, name: str, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script on a host as root, without SSH."""
        command = ["docker", "exec", self.hosts[name].container, "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=check)


def each(hosts: Iterable[Host], work: Callable[[Host], T]) -> list[T]:
    """Do something to all hosts beside each other."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(work, hosts))


def _ssh_key(host: Host) -> str:
    found: list[str] = []

    def scanned() -> bool:
        done = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", host.address], capture_output=True, text=True, check=False
        )
        found.append(done.stdout)
        return bool(done.stdout)

    _until(f"{host.name} answers over SSH", scanned)
    return found[-1]


def _until(what: str, ask: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.3)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])}: {done.stderr.strip()[-500:]}")
