"""Programs that outlive the command that started them, found again by what it wrote down."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.errors import InputError
from operate.tools import Say
from tests.cluster.layout import Layout, Node


class ClusterError(InputError):
    """The cluster does not come up or go down; the message says where, why and what to do next."""


@contextmanager
def step(what: str, say: Say) -> Iterator[None]:
    """Say `what ...`, and how many seconds it took once it is done."""
    say(f"{what} ...")
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")


def run(*command: str, text: str | None = None, timeout: float | None = None) -> str:
    """Output of a command, given `text` to read. Raises ClusterError with its last line, or after `timeout` s."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{' '.join(command[:4])}` had no answer within {timeout:.0f} s; run it by hand.") from None
    if done.returncode:
        last = ((done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ClusterError(f"`{' '.join(command[:8])}` failed ({last}); mend that and run the same command again.")
    return done.stdout


def tried(*command: str) -> bool:
    """Whether a command that may well fail did not."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def until(what: str, ask: Callable[[], bool], seconds: float, layout: Layout) -> None:
    """Ask ten times a second until the answer is yes. Raises ClusterError when the time is over."""
    end = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > end:
            raise ClusterError(
                f"after {seconds:.0f} s still not: {what}; read {layout.logs}, then `make cluster-down` and try again."
            )
        time.sleep(0.1)


def start(layout: Layout, name: str, *command: str) -> int:
    """Start a program detached from this one, with its output in its log; returns its process id."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    # Not the caller's: its secrets are nothing to the cluster's own programs, and a proxy to the outside would be asked
    # for the nodes' addresses, which nobody but this machine reaches.
    environment = {"PATH": os.environ["PATH"], "HOME": "/root"}
    with (layout.logs / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    record(layout, name, process.pid)
    return process.pid


def record(layout: Layout, name: str, pid: int) -> None:
    """Write down a running program: its process id, and when it started, as ids are used again."""
    layout.processes.mkdir(parents=True, exist_ok=True)
    (layout.processes / name).write_text(f"{pid} {_started(pid)}\n")


def running(layout: Layout, name: str) -> int | None:
    """Process id of a program that still runs, else None."""
    try:
        pid, started = (layout.processes / name).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _started(int(pid)) == started else None


def recorded(layout: Layout) -> list[str]:
    """Names of the programs that were started and not stopped."""
    return sorted(path.name for path in layout.processes.glob("*"))


def stop(layout: Layout, names: Sequence[str], *, patience: float) -> None:
    """Ask programs to end all at once, kill those that still run after `patience` s, and forget them."""
    _signal(layout, names, signal.SIGTERM)
    if not _ended(layout, names, patience):
        _signal(layout, names, signal.SIGKILL)
        if not _ended(layout, names, 10):
            left = ", ".join(name for name in names if running(layout, name))
            raise ClusterError(
                f"{left} cannot be killed; see `ps` for what it waits on, then `make cluster-down` again."
            )
    for name in names:
        (layout.processes / name).unlink(missing_ok=True)


def child(pid: int) -> int | None:
    """Process id of the first child of a process, None where it has none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def inside(layout: Layout, node: Node, *command: str) -> list[str]:
    """The command that runs `command` in the namespaces of a node. Raises ClusterError where the node does not run."""
    pid = running(layout, node.init)
    if pid is None:
        raise ClusterError(f"{node.name} of the cluster does not run; `make cluster-up` starts it.")
    return ["nsenter", f"--target={pid}", "--mount", "--pid", "--net", "--uts", "--", *command]


def _signal(layout: Layout, names: Sequence[str], number: signal.Signals) -> None:
    for name in names:
        pid = running(layout, name)
        if pid is not None:
            os.kill(pid, number)


def _ended(layout: Layout, names: Sequence[str], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(running(layout, name) for name in names):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None where it is gone, or dead and only not yet reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
