"""Which Kubernetes cluster the tests use, and how they get hold of it.

The one of KUBECONFIG; else one of kind, where it is installed and a container registry answers; else two nodes on
this machine from Go modules and Debian's packages.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from operate.images import choose_source
from operate.recipes import recipes
from tests.cluster import kind, packages
from tests.cluster.layout import NODES, Layout, current
from tests.cluster.processes import ClusterError, inside, run

Source = Literal["given", "kind", "packages"]
ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers. `started` says whether the call that returned it has started it."""

    kubeconfig: Path
    kubectl: Path
    source: Source
    started: bool

    def node_exec(self, command: Sequence[str], node: str = NODES[0].name) -> str:
        """Output of a command in the namespaces of a node: its mounts, processes, network, not its programs' roots.

        Raises ClusterError where the command fails, or the cluster is not the one from packages.
        """
        if self.source != "packages":
            raise ClusterError("commands on a node need the cluster from packages; unset KUBECONFIG for them.")
        found = next((each for each in NODES if each.name == node), None)
        if found is None:
            raise ClusterError(f"the cluster has no node {node!r}; it has {', '.join(each.name for each in NODES)}.")
        return run(*inside(current(), found, *command))


def given(environment: Mapping[str, str], layout: Layout) -> Path | None:
    """The kubeconfig of the user's own cluster, None where KUBECONFIG is not set or names ours.

    Raises ClusterError where it names no file, or more than one.
    """
    value = environment.get("KUBECONFIG")
    if not value:
        return None
    if os.pathsep in value:
        raise ClusterError(f"KUBECONFIG is {value!r}; name one file, so that it is plain which cluster is tested.")
    path = Path(value).resolve()
    # `make cluster-up` says to export it; that does not make the cluster somebody else's.
    if path.is_relative_to(layout.root):
        return None
    if not path.is_file():
        raise ClusterError(f"KUBECONFIG is {value!r} and there is no such file; correct it or unset it.")
    return path


def choose(environment: Mapping[str, str], layout: Layout, say: Callable[[str], None]) -> Source:
    """Which cluster is meant; for kind it may try to pull a small image. Raises ClusterError."""
    if given(environment, layout):
        return "given"
    if packages.exists(layout):
        return "packages"
    if shutil.which("kind") and (kind.there() or choose_source(recipes(), say) == "registry"):
        return "kind"
    return "packages"


def ensure(say: Callable[[str], None]) -> Cluster:
    """The cluster for the tests, started where none runs. Raises ClusterError, BuildError or InputError."""
    layout = current()
    source = choose(os.environ, layout, say)
    own = given(os.environ, layout)
    if own is not None:
        command = (str(kind.kubectl()), f"--kubeconfig={own}", f"--request-timeout={ANSWER_SECONDS}s")
        version = run(*command, "get", "--raw=/version", timeout=ANSWER_SECONDS + 2)
        say(f"the cluster of {own} answers: Kubernetes {json.loads(version)['gitVersion']}")
        return Cluster(own, kind.kubectl(), "given", started=False)
    if source == "kind":
        kubeconfig = layout.root / "kind.kubeconfig"
        started = kind.up(kubeconfig, say)
        return Cluster(kubeconfig, kind.kubectl(), "kind", started)
    kubectl, started = packages.up(layout, say)
    return Cluster(layout.kubeconfig, kubectl, "packages", started)


def remove(cluster: Cluster, keep: bool = False, say: Callable[[str], None] = print) -> None:
    """Remove a cluster that `ensure` gave; `keep` leaves its data for the next. A given one is left alone."""
    if cluster.source == "kind":
        kind.down(say)
    elif cluster.source == "packages":
        packages.down(current(), say, keep=keep)


def remove_any(say: Callable[[str], None], keep: bool = False) -> None:
    """Remove whichever cluster of ours there is; says so where there is none, or where it is not ours."""
    layout = current()
    own = given(os.environ, layout)
    if own is not None:
        say(f"the cluster of {own} is yours and is left alone; unset KUBECONFIG to remove one that was started here")
        return
    deleted = kind.there()
    if deleted:
        kind.down(say)
    if not packages.down(layout, say, keep=keep) and not deleted:
        say("no cluster runs here, so nothing was done")
