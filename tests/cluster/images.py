"""The platform's images in the nodes' container runtimes, copied from this machine's Docker engine."""

import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from infra.images import MANIFEST
from infra.settings import ROOT
from operate.recipes import REPOSITORY
from operate.tools import Say
from tests.cluster.layout import NODES, Layout, Node
from tests.cluster.processes import ClusterError, inside, run

CHUNK = 1 << 20  # bytes
CTR = ("ctr", "--namespace", "k8s.io", "images")
# Unpacked when the first container starts from it: most nodes run few of the images.
IMPORT = (*CTR, "import", "--no-unpack", "-")


def platform(root: Path = ROOT) -> dict[str, str]:
    """Docker's id of every image that was built here for the platform, by reference.

    Raises ClusterError for one that is on the list and not in Docker.
    """
    try:
        listed = json.loads((root / MANIFEST).read_text())["images"].values()
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError):
        raise ClusterError(f"{MANIFEST}: not complete; run `make images`.") from None
    references = sorted(item["image"] for item in listed if item["image"].startswith(f"{REPOSITORY}/"))
    if not references:
        return {}
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", *references]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ClusterError(f"Docker does not hold what {MANIFEST} lists ({reason}); run `make images`.")
    return dict(zip(references, done.stdout.split(), strict=True))


def present(layout: Layout, node: Node) -> dict[str, str]:
    """The id of every image on a node by reference, in Docker's counting."""
    rows = [line.split() for line in run(*inside(layout, node, *CTR, "list")).splitlines()[1:]]
    # The runtime's own digest is another; it lists each image under Docker's id as well.
    ids = {row[2]: row[0] for row in rows if row[0].startswith("sha256:")}
    return {row[0]: ids.get(row[2], "") for row in rows if not row[0].startswith("sha256:")}


def load_own(layout: Layout, node: Node, archive: Path) -> None:
    """Import the images that the cluster itself runs, pause among them."""
    run(*inside(layout, node, *CTR, "import", str(archive)))


def load_platform(layout: Layout, say: Say) -> None:
    """Import what is missing on any node, or is another build, from Docker; say how many and how long."""
    wanted = platform()
    if not wanted:
        say(f"no images of the platform: {MANIFEST} lists none; after `make images` run `make cluster-up` again")
        return
    lacking = {node: wanted.items() - present(layout, node).items() for node in NODES}
    missing = sorted({reference for pairs in lacking.values() for reference, _ in pairs})
    if not missing:
        say(f"images: all {len(wanted)} of the platform are there")
        return
    started = time.monotonic()
    _pump(layout, missing, [node for node, pairs in lacking.items() if pairs])
    spent = time.monotonic() - started
    say(f"images: {len(missing)} of the platform imported, {len(wanted) - len(missing)} there already: {spent:.1f} s")


def _pump(layout: Layout, references: list[str], nodes: list[Node]) -> None:
    """One `docker save` of all, so that what images share is sent once, to every node at the same time."""
    with ExitStack() as opened:
        source = opened.enter_context(
            subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
        sinks = [
            opened.enter_context(
                subprocess.Popen(
                    inside(layout, node, *IMPORT),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
            )
            for node in nodes
        ]
        broken = not _copy(source, sinks)
        for name, process in [("docker save", source), *zip((node.name for node in nodes), sinks, strict=True)]:
            words = _stream(process.stderr).read()
            if process.wait() or broken:
                reason = (words.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                raise ClusterError(f"importing the images failed at {name} ({reason}); run `make cluster-up` again.")


def _copy(source: subprocess.Popen[bytes], sinks: list[subprocess.Popen[bytes]]) -> bool:
    """Copy until the source ends; False where a reader went away before."""
    try:
        while chunk := _stream(source.stdout).read(CHUNK):
            for sink in sinks:
                _stream(sink.stdin).write(chunk)
        for sink in sinks:
            _stream(sink.stdin).close()
    except BrokenPipeError:
        source.terminate()
        return False
    return True


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ClusterError("a pipe of the import is missing; run `make cluster-up` again.")
    return pipe
