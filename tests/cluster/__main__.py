"""A Kubernetes cluster for the tests: `python -m tests.cluster COMMAND`; CLUSTER_DIR moves its state."""

import argparse
import os
import sys
import time

from infra.errors import InputError
from operate.tools import speak
from tests.cluster import cluster, images, packages
from tests.cluster.layout import current
from tests.cluster.processes import ClusterError


def up(_: argparse.Namespace) -> None:
    """Start a cluster, or verify the one of KUBECONFIG; where one runs, import the images it misses."""
    start = time.monotonic()
    found = cluster.ensure(speak)
    state = f"started in {time.monotonic() - start:.0f} s" if found.started else "running"
    speak(f"cluster ({found.source}): {state}")
    speak(f"  kubectl     {found.kubectl}")
    speak(f"  kubeconfig  {found.kubeconfig}")
    speak(f"  export KUBECONFIG={found.kubeconfig} PATH={found.kubectl.parent}:$PATH")


def down(arguments: argparse.Namespace) -> None:
    """Stop the cluster and remove its state; a cluster of KUBECONFIG is left alone."""
    cluster.remove_any(speak, keep=arguments.keep)


def kubeconfig(_: argparse.Namespace) -> None:
    """Print the path of the kubeconfig of the cluster that runs."""
    layout = current()
    own = cluster.given(os.environ, layout)
    candidates = [own] if own else [layout.kubeconfig, layout.root / "kind.kubeconfig"]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ClusterError("no cluster runs here; `make cluster-up` starts one.")
    speak(str(found))


def import_images(_: argparse.Namespace) -> None:
    """Import the images of the platform that are new since the cluster came up."""
    if not packages.complete(current()):
        raise ClusterError("no cluster from packages runs here; `make cluster-up` starts one.")
    images.load_platform(current(), speak)


COMMANDS = {"up": up, "down": down, "kubeconfig": kubeconfig, "images": import_images}


def main() -> int:
    """Parse the command line and run one command; bad input is one sentence and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(run=function)
        if function is down:
            command.add_argument("--keep", action="store_true", help="keep the cluster's objects, volumes and images")
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; `make cluster-down` takes away what was started", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
