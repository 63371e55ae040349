"""What the cluster changes on this machine outside its own directory, and how all of it is put back."""

import json
import re
import shlex
import socket
import time
from ipaddress import ip_network
from pathlib import Path

from tests.cluster.layout import (
    API_PORT,
    BRIDGE,
    CLUSTER_SUBNET,
    HOST_ADDRESS,
    NODE_DIRECTORIES,
    NODES,
    SERVICE_SUBNET,
    Layout,
)
from tests.cluster.processes import ClusterError, run, tried

# The nodes' own ports are in their network namespaces; these are the control plane's.
PORTS = {
    API_PORT: "the API server",
    2379: "etcd",
    2380: "etcd",
    2381: "etcd",
    10257: "the controller manager",
    10259: "the scheduler",
}

# The kubelet sets the first three for the whole machine; without the last no pod reaches anything outside.
SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")

COMMENT = "mycrypto-cluster"
RULES = (
    # Docker drops what is forwarded and not its own, bridged packets included.
    ("filter", "FORWARD", f"-s {CLUSTER_SUBNET} -j ACCEPT"),
    ("filter", "FORWARD", f"-d {CLUSTER_SUBNET} -j ACCEPT"),
    ("filter", "INPUT", f"-i {BRIDGE} -s {CLUSTER_SUBNET} -j ACCEPT"),
    ("nat", "POSTROUTING", f"-s {CLUSTER_SUBNET} ! -d {CLUSTER_SUBNET} -j MASQUERADE"),
)
CGROUPS = Path("/sys/fs/cgroup")


def check_ports() -> None:
    """Raise ClusterError for a port of the control plane that something listens on."""
    for port, use in PORTS.items():
        with socket.socket() as probe:
            # Connections that ended a moment ago are in nobody's way, a listener on any address is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104
            except OSError:
                raise ClusterError(
                    f"port {port}, which {use} of the cluster needs, is in use; stop what listens there "
                    f"(`ss -ltnp sport = :{port}` names it), or name a cluster that runs already with KUBECONFIG."
                ) from None


def check_routes() -> None:
    """Raise ClusterError for a network of this machine that the cluster's own addresses would hide."""
    ours = [ip_network(subnet) for subnet in (CLUSTER_SUBNET, SERVICE_SUBNET)]
    for route in json.loads(run("ip", "-json", "-4", "route", "list")):
        if route["dst"] != "default" and any(ip_network(route["dst"]).overlaps(subnet) for subnet in ours):
            raise ClusterError(
                f"this machine has a route to {route['dst']}; the cluster needs {CLUSTER_SUBNET} and {SERVICE_SUBNET}: "
                "give the cluster others in tests/cluster/layout.py, or name one that runs with KUBECONFIG."
            )


def prepare(layout: Layout) -> None:
    """Make the bridge, the rules and the mount points, and write down first what there was."""
    _remember(layout)
    for path in NODE_DIRECTORIES:
        Path(path).mkdir(parents=True, exist_ok=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    for node in NODES:
        run("ip", "route", "replace", node.pods, "via", node.address)
        for hierarchy in _hierarchies():
            (hierarchy / node.name).mkdir(exist_ok=True)
    # A service's address works from this machine too, by way of a node.
    run("ip", "route", "replace", SERVICE_SUBNET, "via", NODES[0].address)
    for table, chain, rule in RULES:
        run(*("iptables", "-w", "-t", table, "-I", chain), *rule.split(), "-m", "comment", "--comment", COMMENT)


def restore(layout: Layout) -> None:
    """Take everything away again that `prepare`, the nodes and their pods left; what is gone is no error."""
    tried("ip", "link", "delete", BRIDGE)
    for table in ("filter", "nat"):
        for line in run("iptables-save", "-t", table).splitlines():
            if line.startswith("-A ") and f"--comment {COMMENT}" in line:
                tried("iptables", "-w", "-t", table, "-D", *shlex.split(line)[1:])
    for hierarchy in _hierarchies():
        for node in NODES:
            _remove_cgroup(hierarchy / node.name)
    _unmount(layout)
    try:
        before = json.loads(layout.host.read_text())
    except (OSError, ValueError):
        return
    for name, value in before["sysctls"].items():
        Path("/proc/sys", name).write_text(f"{value}\n")
    for path in reversed(before["directories"]):
        # One that something else uses meanwhile stays.
        tried("rmdir", path)
    layout.host.unlink()


def _remember(layout: Layout) -> None:
    """Write down the state before the first change; a later start must not take ours for it."""
    if layout.host.exists():
        return
    wanted = (parent for path in NODE_DIRECTORIES for parent in [*reversed(Path(path).parents), Path(path)])
    absent = list(dict.fromkeys(str(path) for path in wanted if not path.exists()))
    sysctls = {name: Path("/proc/sys", name).read_text().strip() for name in SYSCTLS}
    layout.root.mkdir(parents=True, exist_ok=True)
    half = layout.host.with_suffix(".partial")
    half.write_text(json.dumps({"sysctls": sysctls, "directories": absent}))
    half.rename(layout.host)


def _hierarchies() -> list[Path]:
    """The mount points of cgroup version 1's controllers, or of version 2 as a whole."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def _remove_cgroup(folder: Path) -> None:
    """Remove a cgroup with all below it; the kernel lets go of one only some time after its last process."""
    for _ in range(50):
        for group in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            tried("rmdir", str(group))
        if not folder.exists() or tried("rmdir", str(folder)):
            return
        time.sleep(0.1)


def _unmount(layout: Layout) -> None:
    """Unmount what lies below the cluster's directory; where / is a shared mount, a node's mounts show here."""
    mounts = [re.sub(r"\\040", " ", line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{layout.root}/")), reverse=True):
        tried("umount", "--lazy", mount)
