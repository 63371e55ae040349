"""The cluster from packages: its start, its end, and whether it runs."""

import datetime
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.settings import ROOT
from operate import engine, tools
from operate.tools import Say
from tests.cluster import binaries, certificates, control_plane, host, images, node
from tests.cluster.layout import DNS_ADDRESS, NODES, VOLATILE, Layout
from tests.cluster.processes import ClusterError, recorded, run, running, step, stop, tried, until

ADDONS = ROOT / "tests" / "cluster" / "addons"
DEPLOYMENTS = (("kube-system", "coredns"), ("local-path-storage", "local-path-provisioner"))
LOCK = "cluster"


def up(layout: Layout, say: Say) -> tuple[Path, bool]:
    """Start the cluster, or only import what images are missing where it runs.

    Returns the path of kubectl and whether this call started it. Raises ClusterError, BuildError or InputError.
    """
    binaries.ensure_packages(say)
    engine.ensure()
    built = binaries.ensure(say)
    with tools.lock(LOCK, say):
        if complete(layout):
            say("the cluster runs already")
            images.load_platform(layout, say)
            return built / "bin" / "kubectl", False
        if exists(layout):
            say("what is left of a cluster that did not end well is stopped first; its data is kept")
            _stop(layout, keep=True)
        host.check_ports()
        host.check_routes()
        _start(layout, built, say)
    return built / "bin" / "kubectl", True


def down(layout: Layout, say: Say, *, keep: bool) -> bool:
    """Stop the cluster and remove its state; with `keep` its objects, volumes and images stay.

    Returns False where there was nothing to stop or remove.
    """
    with tools.lock(LOCK, say):
        if not layout.root.exists() or (keep and not exists(layout)):
            return False
        with step("stopping the cluster", say):
            _stop(layout, keep=keep)
    return True


def exists(layout: Layout) -> bool:
    """Whether a cluster from packages runs or has left something that `down` must take away."""
    return bool(recorded(layout)) or layout.host.exists()


def complete(layout: Layout) -> bool:
    """Whether every program of the cluster runs and the API server is ready."""
    programs = [*control_plane.PROGRAMS, control_plane.ETCD]
    for each in NODES:
        programs += [each.init, *(f"{each.name}-{part}" for part in ("containerd", "kubelet", "proxy"))]
    return all(running(layout, program) for program in programs) and control_plane.ready(layout)


def _start(layout: Layout, built: Path, say: Say) -> None:
    programs = built / "bin"
    with step("starting the control plane and the nodes' container runtimes", say):
        certificates.ensure(layout)
        host.prepare(layout)
        control_plane.start_api(layout, programs)
        for each in NODES:
            node.begin(layout, each, programs)
        for each in NODES:
            images.load_own(layout, each, built / "images.tar")
        until("the API server is ready", lambda: control_plane.ready(layout), 120, layout)
        control_plane.start_controllers(layout, programs)
    with ThreadPoolExecutor(max_workers=1) as importing:
        imported = importing.submit(images.load_platform, layout, say)
        with step(f"starting {len(NODES)} nodes, DNS and storage", say):
            for each in NODES:
                node.join(layout, each, programs)
            _settle(layout, (str(programs / "kubectl"), f"--kubeconfig={layout.kubeconfig}"))
        if not imported.done():
            say("importing the platform's images ...")
        imported.result()


def _settle(layout: Layout, kubectl: tuple[str, ...]) -> None:
    """Apply the add-ons and wait until the nodes are ready and DNS and storage run."""
    # Kept objects say what was when they were kept: only what a node has written since counts.
    since = datetime.datetime.now(datetime.UTC).replace(microsecond=0)

    def ready() -> bool:
        nodes = json.loads(run(*kubectl, "get", "nodes", "--output=json"))["items"]
        conditions = [c for each in nodes for c in each["status"].get("conditions", []) if c["type"] == "Ready"]
        beats = [datetime.datetime.fromisoformat(c["lastHeartbeatTime"]) for c in conditions if c["status"] == "True"]
        return len(beats) == len(NODES) and min(beats) >= since

    # Storage is among the first there is: a claim made before there is a default class stays pending.
    run(*kubectl, "apply", f"--filename={ADDONS}")
    until("the nodes are ready", ready, 90, layout)
    for namespace, name in DEPLOYMENTS:
        run(*kubectl, "rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=120s")
    asking = ("busybox", "nslookup", control_plane.SERVICE, DNS_ADDRESS)
    until("the cluster's DNS answers", lambda: tried(*asking), 60, layout)


def _stop(layout: Layout, *, keep: bool) -> None:
    # The kernel ends whatever is in a node's namespaces with their first process: pods, runtime, kubelet.
    stop(layout, [each.init for each in NODES], patience=0)
    nodes = [name for name in recorded(layout) if name.startswith(tuple(f"{each.name}-" for each in NODES))]
    stop(layout, nodes, patience=0)
    stop(layout, [*control_plane.PROGRAMS], patience=2)
    stop(layout, [control_plane.ETCD], patience=5)
    host.restore(layout)
    if not keep:
        _remove(layout.root)
        return
    for each in NODES:
        for name in VOLATILE:
            _remove(layout.node(each) / name)


def _remove(folder: Path) -> None:
    """Remove a directory; a file that a container wrote a moment ago may still appear in it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
    raise ClusterError(f"{folder} cannot be removed; see what holds it, and run `make cluster-down` again.")
