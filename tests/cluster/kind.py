"""The cluster from kind's images, where they can be pulled. Written from kind's documentation and never run here."""

import json
import shutil
import subprocess
from pathlib import Path

from operate.tools import Say
from tests.cluster import images
from tests.cluster.processes import ClusterError, run, step

NAME = "mycrypto"
ZONES = ("zone-a", "zone-b")


def there() -> bool:
    """Whether kind is installed and has our cluster."""
    if shutil.which("kind") is None:
        return False
    done = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=False)
    return NAME in done.stdout.split()


def kubectl() -> Path:
    """The kubectl on the PATH. Raises ClusterError where there is none."""
    found = shutil.which("kubectl")
    if found is None:
        raise ClusterError("no `kubectl` is on the PATH; install the one that goes with your cluster.")
    return Path(found)


def up(kubeconfig: Path, say: Say) -> bool:
    """Create the cluster with two nodes, or keep the one there is; load the platform's images."""
    started = not there()
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    if started:
        workers = [{"role": "worker", "labels": {"topology.kubernetes.io/zone": zone}} for zone in ZONES]
        config = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane"}, *workers],
        }
        with step("creating the cluster with kind", say):
            command = ("kind", "create", "cluster", f"--name={NAME}", f"--kubeconfig={kubeconfig}", "--wait=180s")
            run(*command, "--config=-", text=json.dumps(config))
    else:
        say("the cluster runs already")
        run("kind", "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={kubeconfig}")
    references = list(images.platform())
    if references:
        with step(f"loading {len(references)} images of the platform", say):
            run("kind", "load", "docker-image", f"--name={NAME}", *references)
    return started


def down(say: Say) -> None:
    """Delete the cluster with all its data."""
    with step("deleting the cluster of kind", say):
        run("kind", "delete", "cluster", f"--name={NAME}")
