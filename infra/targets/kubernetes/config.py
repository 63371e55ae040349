"""Configuration and secrets as objects: one ConfigMap for each folder of files, one Secret for each workload."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from infra import credentials
from infra.errors import read_text
from infra.stack import Stack
from infra.surroundings import NAMESPACE
from infra.targets.kubernetes.manifest import Manifest, labels, manifest, namespace_of
from infra.workload import ConfigFile, Workload

# The API refuses objects of more than 1 MiB; a folder above half of that gets an object for each file.
LARGE = 512 * 1024
SCRIPTS = "monitoring-scripts"


def groups(workload: Workload) -> dict[str, list[ConfigFile]]:
    """The workload's files by the name of the ConfigMap that carries them."""
    folders: dict[str, list[ConfigFile]] = {}
    for file in workload.config_files:
        folders.setdefault(str(PurePosixPath(file.path).parent), []).append(file)
    found: dict[str, list[ConfigFile]] = {}
    for number, (folder, files) in enumerate(folders.items()):
        # The first folder is what the workload is known by.
        base = workload.name if number == 0 else f"{workload.name}-{PurePosixPath(folder).name}"
        if sum(len(file.content.encode()) for file in files) <= LARGE:
            found[base] = files
            continue
        for file in files:
            found[f"{base}-{PurePosixPath(file.path).stem}"] = [file]
    return found


def maps(stack: Stack, workloads: Sequence[Workload]) -> list[Manifest]:
    """Every ConfigMap, and the one with the scripts that start, reload and ask."""
    found = [
        manifest(
            "v1",
            "ConfigMap",
            name,
            namespace_of(stack, workload),
            labels(workload),
            {"data": {key_of(file.path): file.content for file in files}},
        )
        for workload in workloads
        for name, files in groups(workload).items()
    ]
    folder = stack.root / "configs/kubernetes"
    scripts = {name: read_text(folder / name, stack.root) for name in ("ask.sh", "reload.sh", "start.sh")}
    return [*found, manifest("v1", "ConfigMap", SCRIPTS, NAMESPACE, {}, {"data": scripts})]


def key_of(path: str) -> str:
    """A file's key within its object."""
    return PurePosixPath(path).name


def secret_name(workload: Workload) -> str:
    """The Secret that carries a workload's secret files."""
    return f"{workload.name}-secrets"


def secrets(stack: Stack, workloads: Sequence[Workload], values: Mapping[str, str]) -> list[Manifest]:
    """The Secrets, with `values` by the name of the secret. They leave this program only for the cluster."""
    whole = credentials.derived(stack.settings, values)
    return [
        manifest(
            "v1",
            "Secret",
            secret_name(workload),
            namespace_of(stack, workload),
            labels(workload),
            {
                "type": "Opaque",
                "stringData": {key_of(f.path): f.form.format(whole[f.secret]) for f in workload.secret_files},
            },
        )
        for workload in workloads
        if workload.secret_files
    ]


def wanted_secrets(stack: Stack, workloads: Sequence[Workload]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace and name of each Secret that must be there, with the environment variable behind each of its keys."""
    catalog = credentials.known(stack.settings)
    for workload in workloads:
        if workload.secret_files:
            keys = {key_of(f.path): catalog[credentials.source_of(f.secret)].env for f in workload.secret_files}
            yield namespace_of(stack, workload), secret_name(workload), keys


def fingerprint(workload: Workload) -> str:
    """Changes with every file that the workload reads only when it starts."""
    digest = hashlib.sha256()
    for file in workload.config_files:
        if not (file.live or workload.reload_metric):
            digest.update(f"{file.path}\0{file.content}\0".encode())
    return digest.hexdigest()[:16]
