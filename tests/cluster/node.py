"""One node: namespaces of its own, and in them a container runtime, a kubelet and a service proxy."""

import json
from pathlib import Path
from typing import Any

from tests.cluster.layout import (
    BRIDGE,
    DNS_ADDRESS,
    HOST_ADDRESS,
    NODE_DIRECTORIES,
    NODES,
    POD_SUBNET,
    SERVICE_SUBNET,
    Layout,
    Node,
)
from tests.cluster.processes import ClusterError, child, inside, record, run, start, tried, until

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/cluster/pause:1"

# Arguments: the node's name, pause, and pairs of a directory and where it goes. Mounts first and sharing last:
# a mount made in a shared tree would show its submounts twice. /sys is made anew for it to show the node's own
# network devices. What is mounted in here is gone with the first process.
NAMESPACES = """
set -e
hostname "$1"; pause=$2; scratch=$3; shift 3
mount --rbind /sys/fs/cgroup "$scratch"
mount -t sysfs sysfs /sys
mount --rbind "$scratch" /sys/fs/cgroup
umount --recursive --lazy "$scratch"
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
mount --make-rshared /
exec "$pause"
"""


def begin(layout: Layout, node: Node, binaries: Path) -> None:
    """Start the node's namespaces, its network and its container runtime; ready for images once it returns."""
    _namespaces(layout, node, binaries / "pause")
    _network(layout, node)
    _write_configuration(layout, node)
    config = str(layout.config / f"containerd-{node.name}.toml")
    start(layout, f"{node.name}-containerd", *inside(layout, node, "containerd", "--config", config))
    answering = inside(layout, node, "ctr", "version")
    until(f"the container runtime of {node.name} answers", lambda: tried(*answering), 30, layout)


def join(layout: Layout, node: Node, binaries: Path) -> None:
    """Start the kubelet and the service proxy, which join the node to the cluster."""
    kubelet = (
        str(binaries / "kubelet"),
        f"--config={layout.config / f'kubelet-{node.name}.json'}",
        f"--kubeconfig={layout.pki / f'kubelet-{node.name}.kubeconfig'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels=topology.kubernetes.io/zone={node.zone}",
    )
    start(layout, f"{node.name}-kubelet", *inside(layout, node, *kubelet))
    proxy = (str(binaries / "kube-proxy"), f"--config={layout.config / f'proxy-{node.name}.json'}")
    start(layout, f"{node.name}-proxy", *inside(layout, node, *proxy))


def _namespaces(layout: Layout, node: Node, pause: Path) -> None:
    folder = layout.node(node)
    for name in ("sys", *NODE_DIRECTORIES.values()):
        (folder / name).mkdir(parents=True, exist_ok=True)
    mounts = [word for path, name in NODE_DIRECTORIES.items() for word in (str(folder / name), path)]
    script = ("sh", "-c", NAMESPACES, "sh", node.name, str(pause), str(folder / "sys"), *mounts)
    own = ("--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc")
    holder = start(layout, f"{node.name}-namespaces", "unshare", *own, *script)
    first: int | None = None

    def settled() -> bool:
        nonlocal first
        first = child(holder)
        try:
            return first is not None and Path(f"/proc/{first}/comm").read_text() == "pause\n"
        except OSError:
            return False

    until(f"the namespaces of {node.name} are there", settled, 10, layout)
    if first is None:
        raise ClusterError(f"the namespaces of {node.name} are gone again; read {layout.logs}.")
    record(layout, node.init, first)


def _network(layout: Layout, node: Node) -> None:
    """Plug the node into the bridge. The cable, routes and rules go with the node's network namespace."""
    init = inside(layout, node)[1].removeprefix("--target=")
    run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", init)
    run("ip", "link", "set", node.link, "master", BRIDGE, "up")
    commands = [
        "ip link set lo up",
        f"ip address add {node.address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {HOST_ADDRESS}",
        *(f"ip route add {other.pods} via {other.address}" for other in NODES if other != node),
        # A service's address that the proxy has not programmed yet must fail at once: it would leave by the
        # default route, and some gateways answer for any address.
        *(f"iptables -w -A {chain} -d {SERVICE_SUBNET} -j REJECT" for chain in ("OUTPUT", "FORWARD")),
        "sysctl -qw net.ipv4.ip_forward=1",
        # Answers between pods of one node must pass the rules that rewrote the question.
        "sysctl -qw net.bridge.bridge-nf-call-iptables=1",
    ]
    run(*inside(layout, node, "sh", "-ec", "\n".join(commands)))


def _write_configuration(layout: Layout, node: Node) -> None:
    folder = layout.config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"containerd-{node.name}.toml").write_text(_toml(_containerd(layout, node)))
    networks = folder / f"cni-{node.name}"
    networks.mkdir(exist_ok=True)
    (networks / "10-cluster.conflist").write_text(json.dumps(_pod_network(node), indent=1))
    (folder / f"kubelet-{node.name}.json").write_text(json.dumps(_kubelet(layout, node), indent=1))
    (folder / f"proxy-{node.name}.json").write_text(json.dumps(_proxy(layout, node), indent=1))
    (folder / "resolv.conf").write_text(f"nameserver {_name_server()}\n")


def _containerd(layout: Layout, node: Node) -> dict[str, dict[str, Any]]:
    """The runtime's settings by table; "" is the file's head."""
    unused = ("btrfs", "zfs", "aufs", "devmapper")
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return {
        "": {
            "version": 2,
            "root": str(layout.node(node) / "containerd"),
            "disabled_plugins": [f"io.containerd.snapshotter.v1.{name}" for name in unused],
        },
        'plugins."io.containerd.internal.v1.opt"': {"path": str(layout.node(node) / "opt")},
        cri: {
            "sandbox_image": PAUSE_IMAGE,
            "disable_apparmor": True,
            # Without CAP_SYS_RESOURCE no score can be lowered, and every sandbox would fail on it.
            "restrict_oom_score_adj": True,
            "tolerate_missing_hugetlb_controller": True,
            "disable_hugetlb_controller": True,
            "stream_server_address": "127.0.0.1",
        },
        f"{cri}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        f"{cri}.cni": {"bin_dir": "/usr/lib/cni", "conf_dir": str(layout.config / f"cni-{node.name}")},
    }


def _pod_network(node: Node) -> dict[str, Any]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    # No masquerading here: between nodes a pod keeps its address, and this machine hides what leaves it.
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "cluster", "plugins": [{**bridge, "ipam": addresses}, ports]}


def _kubelet(layout: Layout, node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / f"kubelet-{node.name}.crt"),
        "tlsPrivateKeyFile": str(layout.pki / f"kubelet-{node.name}.key"),
        "cgroupDriver": "cgroupfs",
        # Two kubelets of one machine must not clean up each other's pods.
        "cgroupRoot": f"/{node.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.config / "resolv.conf"),
        "volumePluginDir": str(layout.node(node) / "volume-plugins"),
        "maxPods": 110,
        # An image that is collected cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "0s",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "enforceNodeAllocatable": ["pods"],
        "nodeStatusUpdateFrequency": "4s",
        "syncFrequency": "10s",
        "serializeImagePulls": False,
    }


def _proxy(layout: Layout, node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.pki / "proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": POD_SUBNET,
        "hostnameOverride": node.name,
        # The limits of connection tracking are the machine's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _name_server() -> str:
    """This machine's name server that a pod can reach too; a resolver on loopback has its own list of them."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        for line in path.read_text().splitlines() if path.is_file() else []:
            words = line.split()
            if words[:1] == ["nameserver"] and not words[1].startswith("127.") and ":" not in words[1]:
                return words[1]
    return HOST_ADDRESS


def _toml(tables: dict[str, dict[str, Any]]) -> str:
    """TOML of flat tables: a string, number, truth value or list of strings is written as in JSON."""
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]"] if table else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
