"""Faults of a node: without an exporter, with a pod's process killed, with a volume that is small.

The last two need a hand on the node itself, which only the cluster from packages gives; `Cluster.node_exec` says so
elsewhere.
"""

import json
import time
from functools import cached_property

from infra.surroundings import AGENTS_NAMESPACE, NAMESPACE
from tests.kubernetes.live import Live

MIB = 1024**2
EXPORTER = ("daemonset/node-exporter", f"--namespace={AGENTS_NAMESPACE}")
# Beside what is there already; 5 % of it is more than Prometheus needs to start, and writes meanwhile.
ROOM = 512 * MIB

KILL = """
set -e
id=$1 log=$2
for process in /proc/[0-9]*; do
  if grep -qs "$id" "$process/cgroup" && grep -qsx prometheus "$process/comm"; then pid=${process#/proc/}; fi
done
segment=$(ls -d "$log"/0* | tail -n 1)
size=$(stat -c %s "$segment")
while [ "$(stat -c %s "$segment")" = "$size" ]; do :; done
kill -9 "$pid"
"""

SHRINK = """
set -e
volume=$1 size=$2 aside=$1.aside
mkdir "$aside"
mount --bind "$volume" "$aside"
# What is mounted over the one would be mounted over the other.
mount --make-private "$aside"
mount -t tmpfs -o "size=$size" tmpfs "$volume"
chown --reference="$aside" "$volume"
chmod --reference="$aside" "$volume"
cp -a "$aside/." "$volume"
umount "$aside"
rmdir "$aside"
"""

RESTORE = """
set -e
volume=$1 aside=$1.aside
mountpoint --quiet "$volume" || exit 0
rm -f "$volume"/ballast*
cp -a "$volume" "$aside"
umount --lazy "$volume"
rm -rf "$volume"
mv "$aside" "$volume"
"""


def node_of(live: Live, pod: str) -> str:
    """The node that a pod of the platform is on."""
    name: str = live.get("pod", pod, f"--namespace={NAMESPACE}")[0]["spec"]["nodeName"]
    return name


def volume_of(live: Live, pod: str) -> str:
    """The path on its node of the volume of a StatefulSet's pod."""
    claim = live.get("persistentvolumeclaim", f"data-{pod}", f"--namespace={NAMESPACE}")[0]
    spec = live.get("persistentvolume", claim["spec"]["volumeName"])[0]["spec"]
    path: str = (spec.get("local") or spec["hostPath"])["path"]
    return path


def kill(live: Live, pod: str) -> float:
    """kill -9 of a Prometheus in the midst of the samples it writes down; the Unix time of it."""
    status = live.get("pod", pod, f"--namespace={NAMESPACE}")[0]["status"]["containerStatuses"]
    container = next(each["containerID"] for each in status if each["name"] == "prometheus").rpartition("/")[2]
    log = f"{volume_of(live, pod)}/wal"
    live.cluster.node_exec(("sh", "-c", KILL, "sh", container, log), node_of(live, pod))
    return time.time()


class Unscheduled:
    """A node that no exporter pod may be on, from `since` (Unix time) to `end()`."""

    def __init__(self, live: Live) -> None:
        self._live, self._over = live, False
        self.node: str = live.get("nodes")[-1]["metadata"]["name"]
        self.since = time.time()
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [self.node]}]}
        away = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        patch = {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": away}}}}}
        live.kubectl("patch", *EXPORTER, f"--patch={json.dumps(patch)}")

    def end(self) -> None:
        """An exporter pod on every node, as it was; once more does nothing."""
        if self._over:
            return
        self._over = True
        undo = json.dumps([{"op": "remove", "path": "/spec/template/spec/affinity"}])
        self._live.run_kubectl("patch", *EXPORTER, "--type=json", f"--patch={undo}")
        self._live.kubectl("rollout", "status", *EXPORTER, "--timeout=60s", seconds=70)


class SmallVolume:
    """A replica's volume that is a few hundred megabytes small for a while: local-path itself enforces no size."""

    def __init__(self, live: Live, pod: str) -> None:
        self._live = live
        self.pod = pod
        self.node = node_of(live, pod)
        self.small = False

    @cached_property
    def path(self) -> str:
        """Where it lies on its node."""
        return volume_of(self._live, self.pod)

    def shrink(self) -> None:
        """Put a small file system with the same content in its place, while no pod has it mounted."""
        used = int(self._on_node("du", "--summarize", "--bytes", self.path).split()[0])
        self.small = True
        self._on_node("sh", "-c", SHRINK, "sh", self.path, str(ROOM + 2 * used))

    def restore(self) -> None:
        """The other way round; what was written meanwhile stays."""
        self._on_node("sh", "-c", RESTORE, "sh", self.path)
        self.small = False

    def free_ratio(self) -> float:
        """The share of it that is free, 0 to 1."""
        size, free = self._on_node("stat", "--file-system", "--format=%b %f", self.path).split()
        return int(free) / int(size)

    def fill(self, left: float) -> None:
        """Fill it until a share of `left` is free."""
        block, size, free = self._on_node("stat", "--file-system", "--format=%S %b %f", self.path).split()
        wanted = int(block) * int(int(free) - left * int(size))
        self._on_node("fallocate", f"--length={wanted}", f"{self.path}/ballast")

    def fill_up(self) -> None:
        """Fill it wholly."""
        self._on_node("sh", "-c", f"dd if=/dev/zero of={self.path}/ballast-rest bs=64k || true")

    def clear(self) -> None:
        """Free the space again."""
        self._on_node("sh", "-c", f"rm -f {self.path}/ballast*")

    def _on_node(self, *command: str) -> str:
        return self._live.cluster.node_exec(command, self.node)
