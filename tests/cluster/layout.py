"""Where the cluster from packages keeps its state, and the addresses it uses."""

import os
from dataclasses import dataclass
from pathlib import Path

from infra.settings import cache_root

API_PORT = 6443

# The bridge between this machine, which runs the control plane, and the nodes.
BRIDGE = "mycrypto0"
HOST_ADDRESS = "10.245.0.1"
NODE_SUBNET = "10.245.0.0/24"
POD_SUBNET = "10.244.0.0/16"
# Nodes and pods together: what leaves it for elsewhere is masqueraded.
CLUSTER_SUBNET = "10.244.0.0/15"
SERVICE_SUBNET = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"


@dataclass(frozen=True)
class Node:
    """A node: its zone, its address on the bridge and the subnet of its pods."""

    name: str
    zone: str
    address: str
    pods: str

    @property
    def link(self) -> str:
        """This machine's end of the cable between the bridge and the node."""
        return f"mycrypto-{self.name}"

    @property
    def init(self) -> str:
        """Name of the process that holds the node's namespaces."""
        return f"{self.name}-init"


# Two, so that pod anti-affinity, disruption budgets and a drain mean something.
NODES = (
    Node("node1", "zone-a", "10.245.0.11", "10.244.1.0/24"),
    Node("node2", "zone-b", "10.245.0.12", "10.244.2.0/24"),
)

# Where a node's programs, and pods with a `hostPath`, expect directories that are the machine's own otherwise.
# Each node has its own, mounted there in its mount namespace only.
NODE_DIRECTORIES = {
    "/run/containerd": "run",
    "/run/netns": "netns",
    "/var/lib/cni": "cni",
    "/var/lib/kubelet": "kubelet",
    # Where the log collector keeps how far it has read.
    "/var/lib/mycrypto-log-collector": "log-collector",
    "/var/local-path-provisioner": "volumes",
    "/var/log/containers": "container-logs",
    "/var/log/pods": "pod-logs",
}
# What a node that was switched off would find empty.
VOLATILE = ("run", "netns")


@dataclass(frozen=True)
class Layout:
    """The directories of one cluster below its root."""

    root: Path

    @property
    def pki(self) -> Path:
        """Certificates, keys and kubeconfigs."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.pki / "admin.kubeconfig"

    @property
    def etcd(self) -> Path:
        """The API server's data."""
        return self.root / "etcd"

    @property
    def config(self) -> Path:
        """Configuration files of the programs, written at every start."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One file a running program."""
        return self.root / "processes"

    @property
    def host(self) -> Path:
        """What was changed on this machine, for it to be put back."""
        return self.root / "host.json"

    def node(self, node: Node) -> Path:
        """The directories of one node."""
        return self.root / "nodes" / node.name


def current() -> Layout:
    """The cluster of this machine; CLUSTER_DIR moves it."""
    return Layout(Path(os.environ.get("CLUSTER_DIR") or cache_root() / "cluster").resolve())
