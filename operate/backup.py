"""`make backup TO=folder` and `make restore FROM=folder`: what a stack on Kubernetes has recorded, as files.

Prometheus' blocks and Loki's chunks never change once they are written, so both are copied while they run, and are
put back into what runs, beside what was recorded meanwhile. Secrets and what the repository holds are in no backup.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from infra import assembly, stack
from infra.components.alertmanager import PORT
from infra.errors import InputError
from infra.stack import Stack
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes.claims import CLAIM
from infra.targets.kubernetes.manifest import Manifest, manifest
from infra.workload import MIB, Workload
from operate import cluster
from operate.progress import loud, step

SILENCES = "silences.json"
# Each replica tells the others.
ALERTMANAGER = ("alertmanager-0", PORT, "/api/v2/silences")
# A copying pod that nobody removes ends by itself.
LONGEST = 6 * 3600
CHUNK = 1 * MIB

# Hard links hold what is copied while the tool deletes or merges it. Patterns are linked in their order.
SAVE = """
set -o pipefail
rm -rf .backup && mkdir .backup || exit 1
for path in $PATHS; do
  [ -e "$path" ] || continue
  mkdir -p ".backup/$(dirname "$path")" && cp -rl "$path" ".backup/$path" || exit 1
done
tar -cf - -C .backup . | gzip -1
"""
# What is not there yet appears whole, by a rename; what is there stays as it is.
LOAD = """
set -o pipefail
rm -rf .restore && mkdir .restore && gunzip -c | tar -xf - -C .restore || exit 1
merge() {
  for path in "$1"/*; do
    there=${path#.restore/}
    if [ ! -e "$there" ]; then mv "$path" "$there" || exit 1; elif [ -d "$path" ]; then merge "$path"; fi
  done
}
[ -z "$REPLACED" ] || rm -rf "$REPLACED"
merge .restore
"""


@dataclass(frozen=True)
class Kept:
    """What is saved of a workload's volume, and whether it must stand still for that."""

    paths: str
    stopped: bool = False


KEPT = {
    # Every replica has recorded the same; 01 and 24 more characters are a block.
    "prometheus": Kept("01????????????????????????"),
    # The index first: it then names no chunk that is not saved.
    "loki": Kept("chunks/index chunks/fake"),
    # Dashboards and data sources come from the repository; users, preferences and stars are in here.
    "grafana": Kept("grafana.db", stopped=True),
}


def save_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `backup`."""
    parser.add_argument("folder", help="where the files are written")


def load_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `restore`."""
    parser.add_argument("folder", help="where the files of a backup are")


def save(options: argparse.Namespace) -> int:
    """Save metrics, logs, silences and Grafana's users of a stack on Kubernetes as files."""
    folder = _named(options.folder, "make backup TO=folder")
    current = _on_kubernetes(options.stack)
    here = cluster.Cluster(current)
    folder.mkdir(parents=True, exist_ok=True)
    silences = here.ask(*ALERTMANAGER)
    if silences is None:
        raise InputError(f"alertmanager-0 does not answer; `make status STACK={current.name}` says what runs.")
    live = [each for each in silences if each["status"]["state"] != "expired"]
    (folder / SILENCES).write_text(json.dumps(live, indent=1))
    print(f"{SILENCES}: {len(live)} silences")
    for workload in _kept(current):
        file = folder / f"{workload.name}.tar.gz"
        start = time.monotonic()
        with _copier(current, workload, _fullest(here, workload), stops=KEPT[workload.name].stopped) as pod:
            files = _saved(current, pod, workload, file)
        size, seconds = file.stat().st_size / MIB, time.monotonic() - start
        print(f"{file.name}: {files} files, {size:.1f} MiB, {seconds:.0f} s", flush=True)
        if not files:
            loud(f"{workload.name} has nothing to save yet: what it records is in memory for its first hours")
    return 0


def load(options: argparse.Namespace) -> int:
    """Put a backup into a running stack on Kubernetes, beside what it has recorded since."""
    folder = _named(options.folder, "make restore FROM=folder")
    current = _on_kubernetes(options.stack)
    found = [workload for workload in _kept(current) if (folder / f"{workload.name}.tar.gz").exists()]
    silences = folder / SILENCES
    if not found and not silences.exists():
        raise InputError(f"{folder} holds no backup; name the folder that `make backup` wrote.")
    for workload in found:
        _whole(folder / f"{workload.name}.tar.gz")
    if silences.exists():
        print(f"{SILENCES}: {_silenced(current, json.loads(silences.read_text()))} silences set", flush=True)
    for workload in found:
        for number in range(workload.replicas):
            kept = KEPT[workload.name]
            with (
                step(f"{workload.name}-{number}"),
                _copier(current, workload, number, stops=kept.stopped) as pod,
                (folder / f"{workload.name}.tar.gz").open("rb") as file,
            ):
                replaced = kept.paths if kept.stopped else ""
                _run(current, *_in(pod), f"REPLACED='{replaced}'\n{LOAD}", given=file)
    return 0


def _named(folder: str, command: str) -> Path:
    if not folder:
        raise InputError(f"name the folder: {command}.")
    return Path(folder)


def _on_kubernetes(name: str) -> Stack:
    current = stack.load(name)
    if current.settings.target != "kubernetes":
        raise InputError(f"stack {name} runs on Docker; backups are made of stacks on Kubernetes.")
    if shutil.which("kubectl") is None:
        raise InputError("no kubectl on the PATH, which copies the files; install it, or put its folder there.")
    return current


def _kept(current: Stack) -> list[Workload]:
    return [workload for workload in assembly.workloads(current) if workload.name in KEPT]


def _fullest(here: cluster.Cluster, workload: Workload) -> int:
    """The replica that remembers furthest back: one that got a new volume remembers little."""
    if workload.replicas == 1:
        return 0
    path = "/api/v1/query?query=min%20by%20(instance)%20(prometheus_tsdb_lowest_timestamp_seconds)"
    found: list[tuple[float, int]] = []
    for number in range(workload.replicas):
        name = f"{workload.name}-{number}"
        answer = here.ask(name, workload.ports[0].number, path) or {"data": {"result": []}}
        own = [each for each in answer["data"]["result"] if each["metric"]["instance"] == name]
        found += [(float(each["value"][1]), number) for each in own]
    if not found:
        raise InputError(f"no {workload.name} answers; `make status STACK={here.stack.name}` says what runs.")
    return min(found)[1]


def _saved(current: Stack, pod: str, workload: Workload, file: Path) -> int:
    """How many files were saved. The archive appears under its name only when it is whole."""
    partial = file.with_suffix(".partial")
    with partial.open("wb") as target:
        _run(current, *_in(pod), f"PATHS='{KEPT[workload.name].paths}'\n{SAVE}", into=target)
    files = _whole(partial)
    partial.rename(file)
    return files


def _whole(file: Path) -> int:
    """How many files an archive holds. Raises InputError for one that ends too soon or was changed."""
    try:
        with gzip.open(file) as data:
            with tarfile.open(fileobj=data, mode="r|") as archive:
                files = sum(member.isfile() for member in archive)
            while data.read(CHUNK):  # the checksum comes last
                pass
    except (EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{file} is not whole ({error}); make the backup again.") from None
    return files


@contextmanager
def _copier(current: Stack, workload: Workload, number: int, *, stops: bool) -> Iterator[str]:
    """A pod that mounts the volume of a replica, on the node where it is mounted already."""
    replica, pod = f"{workload.name}-{number}", f"copier-{workload.name}-{number}"
    node = _run(current, "get", "pod", replica, "--ignore-not-found", "--output=jsonpath={.spec.nodeName}")
    _run(current, "delete", "pod", pod, "--ignore-not-found")
    if stops:
        _run(current, "scale", f"statefulset/{workload.name}", "--replicas=0")
        _run(current, "wait", "--for=delete", f"pod/{replica}", "--timeout=120s")
    try:
        _run(current, "apply", "--filename=-", text=json.dumps(_pod(current, workload, replica, pod, node)))
        _run(current, "wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=300s")
        yield pod
    finally:
        _tried(current, *_in(pod), "rm -rf .backup .restore")
        _tried(current, "delete", "pod", pod, "--ignore-not-found", "--wait=false")
        if stops:
            _run(current, "scale", f"statefulset/{workload.name}", f"--replicas={workload.replicas}")


def _pod(current: Stack, workload: Workload, replica: str, name: str, node: str) -> Manifest:
    """In Prometheus' image: it has a shell and tar, which Loki's has not, and the nodes have it already."""
    security = workload.security
    container: dict[str, Any] = {
        "name": "copier",
        "image": current.images["prometheus"].reference,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"trap 'exit 0' TERM; sleep {LONGEST} & wait"],
        "workingDir": "/data",
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": CLAIM, "mountPath": "/data"}],
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LONGEST,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": security.user,
            "runAsGroup": security.group,
            "fsGroup": security.group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": CLAIM, "persistentVolumeClaim": {"claimName": f"{CLAIM}-{replica}"}}],
    }
    if node:
        spec["nodeName"] = node
    return manifest("v1", "Pod", name, NAMESPACE, {"app.kubernetes.io/name": "copier"}, {"spec": spec})


def _in(pod: str) -> tuple[str, ...]:
    return ("exec", "--stdin", pod, "--", "sh", "-c")


def _run(
    current: Stack,
    *arguments: str,
    text: str | None = None,
    given: IO[bytes] | None = None,
    into: IO[bytes] | None = None,
) -> str:
    """Output of kubectl in the platform's namespace. Raises InputError with its words where it fails."""
    done = _tried(current, *arguments, text=text, given=given, into=into)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"kubectl {' '.join(arguments[:4])}: {'; '.join(words[-3:])}; correct that and run it again.")
    return (done.stdout or b"").decode()


def _tried(
    current: Stack,
    *arguments: str,
    text: str | None = None,
    given: IO[bytes] | None = None,
    into: IO[bytes] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    context = current.settings.kube_context
    command = ["kubectl", f"--namespace={NAMESPACE}", *([f"--context={context}"] if context else []), *arguments]
    fed: dict[str, Any] = {"stdin": given or subprocess.DEVNULL} if text is None else {"input": text.encode()}
    return subprocess.run(command, stdout=into or subprocess.PIPE, stderr=subprocess.PIPE, check=False, **fed)


def _silenced(current: Stack, silences: list[dict[str, Any]]) -> int:
    """Set the silences that have not ended and are not set already; how many."""
    here = cluster.Cluster(current)
    known = [_said(each) for each in here.ask(*ALERTMANAGER) or [] if each["status"]["state"] != "expired"]
    wanted = [each for each in silences if _ends(each) > datetime.now(UTC) and _said(each) not in known]
    for each in wanted:
        _set(here, {**_said(each), "startsAt": each["startsAt"]})
    return len(wanted)


def _said(silence: dict[str, Any]) -> dict[str, Any]:
    """What a person said of a silence. Alertmanager gives it an id and, where it had begun, another beginning."""
    return {key: silence[key] for key in ("matchers", "endsAt", "createdBy", "comment")}


def _ends(silence: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(silence["endsAt"])


def _set(here: cluster.Cluster, silence: dict[str, Any]) -> None:
    pod, port, path = ALERTMANAGER
    status, words = here.request(pod, port, "POST", path, body=silence)
    if status != HTTPStatus.OK:
        raise InputError(f"{pod} refuses the silence {silence['comment']!r}: {words}; correct it in {SILENCES}.")
