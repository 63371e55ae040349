"""What needs a hand on the node itself: killing a pod's process, and making a volume small.

Only the cluster from packages gives that hand; `Cluster.node_exec` says so elsewhere.
"""

import time
from dataclasses import dataclass

from infra.surroundings import NAMESPACE
from tests.kubernetes.live import Live

MIB = 1024**2
# Beside what is there already; 5 % of it is more than Prometheus writes while an alert waits its `for`.
ROOM = 256 * MIB

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


@dataclass(frozen=True)
class Place:
    """Where a pod's volume lies: the node, and the path on it."""

    node: str
    path: str


def place(live: Live, pod: str) -> Place:
    """The place of the volume of a StatefulSet's pod, from its claim."""
    claim = live.get("persistentvolumeclaim", f"data-{pod}", f"--namespace={NAMESPACE}")[0]
    spec = live.get("persistentvolume", claim["spec"]["volumeName"])[0]["spec"]
    term = spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    return Place(term["values"][0], (spec.get("local") or spec["hostPath"])["path"])


def kill(live: Live, pod: str) -> float:
    """kill -9 of a Prometheus in the midst of the samples it writes down; the Unix time of it."""
    status = live.get("pod", pod, f"--namespace={NAMESPACE}")[0]["status"]["containerStatuses"]
    container = next(each["containerID"] for each in status if each["name"] == "prometheus").rpartition("/")[2]
    where = place(live, pod)
    live.cluster.node_exec(("sh", "-c", KILL, "sh", container, f"{where.path}/wal"), where.node)
    return time.time()


class SmallVolume:
    """A replica's volume that is a few hundred megabytes small for a while: local-path itself enforces no size."""

    def __init__(self, live: Live, pod: str) -> None:
        self._live = live
        self.pod = pod
        self.place = place(live, pod)
        self.small = False

    def shrink(self) -> None:
        """Put a small file system with the same content in its place, while no pod has it mounted."""
        used = int(self._on_node("du", "--summarize", "--bytes", self.place.path).split()[0])
        self.small = True
        self._on_node("sh", "-c", SHRINK, "sh", self.place.path, str(ROOM + 2 * used))

    def restore(self) -> None:
        """The other way round; what was written meanwhile stays."""
        self._on_node("sh", "-c", RESTORE, "sh", self.place.path)
        self.small = False

    def free_ratio(self) -> float:
        """The share of it that is free, 0 to 1."""
        size, free = self._on_node("stat", "--file-system", "--format=%b %f", self.place.path).split()
        return int(free) / int(size)

    def fill(self, left: float) -> None:
        """Fill it until a share of `left` is free."""
        block, size, free = self._on_node("stat", "--file-system", "--format=%S %b %f", self.place.path).split()
        wanted = int(block) * int(int(free) - left * int(size))
        self._on_node("fallocate", f"--length={wanted}", f"{self.place.path}/ballast")

    def fill_up(self) -> None:
        """Fill it wholly."""
        self._on_node("sh", "-c", f"dd if=/dev/zero of={self.place.path}/ballast-rest bs=64k || true")

    def clear(self) -> None:
        """Free the space again."""
        self._on_node("sh", "-c", f"rm -f {self.place.path}/ballast*")

    def _on_node(self, *command: str) -> str:
        return self._live.cluster.node_exec(command, self.place.node)
