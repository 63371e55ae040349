"""What is mounted where: files of configuration and secrets, kept and scratch space, paths of the node."""

from pathlib import PurePosixPath
from typing import Any

from infra.targets.kubernetes import claims, config
from infra.workload import ConfigFile, SecretFile, Workload

# Where a workload with a reloader has its configuration as the cluster delivers it; the reloader copies what it
# has checked to where the workload reads it.
SOURCE = "/config-source"
SCRIPTS_PATH = "/scripts"
METRICS_PATH = "/run/metrics"
SCRATCH_LIMIT = "64Mi"
# Readable by the group (fsGroup) and nobody else.
MODE = 0o440


def live_folder(workload: Workload) -> str:
    """The folder of a reloading workload's configuration."""
    return str(PurePosixPath(workload.config_files[0].path).parent)


def _roots(workload: Workload) -> dict[str, list[ConfigFile | SecretFile]]:
    """The workload's files by the topmost folder that holds some: a volume cannot be mounted within another."""
    files: list[ConfigFile | SecretFile] = [*workload.config_files, *workload.secret_files]
    folders = {PurePosixPath(file.path).parent for file in files}
    tops = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    found: dict[str, list[ConfigFile | SecretFile]] = {}
    for top in sorted(tops):
        found[str(top)] = [file for file in files if top in PurePosixPath(file.path).parents]
    return found


def _name(path: str) -> str:
    return path.strip("/").replace("/", "-").replace(".", "-")


def _runs_scripts(workload: Workload) -> bool:
    """Whether the workload's own container does; a reloader always does."""
    return workload.asks_for_password or bool(workload.storage and workload.storage.silent_when_full)


def of(workload: Workload) -> list[dict[str, Any]]:
    """The pod's volumes, but for those of a StatefulSet's claims."""
    found = [{"name": _name(folder), "projected": _projected(workload, folder)} for folder in _roots(workload)]
    if workload.reload_metric:
        found += [{"name": "live", "emptyDir": {}}, {"name": "metrics", "emptyDir": {"sizeLimit": "1Mi"}}]
    if workload.reload_metric or _runs_scripts(workload):
        found.append({"name": "scripts", "configMap": {"name": config.SCRIPTS, "defaultMode": 0o444}})
    found += [{"name": _name(path), "emptyDir": {"sizeLimit": SCRATCH_LIMIT}} for path in workload.scratch]
    found += [
        {"name": _name(host.path), "hostPath": {"path": host.source, "type": "Directory"}}
        for host in workload.host_paths
    ]
    if workload.storage and workload.kind != "stateful":
        place = {"path": f"/var/lib/mycrypto-{workload.name}", "type": "DirectoryOrCreate"}
        found.append({"name": claims.CLAIM, "hostPath": place})
    return found


def _projected(workload: Workload, folder: str) -> dict[str, Any]:
    """ConfigMaps and the Secret that fill a folder, each file at its place in it."""
    here = {file.path for file in _roots(workload)[folder]}
    sources: list[dict[str, Any]] = []
    for name, files in config.groups(workload).items():
        items = [_item(file.path, folder) for file in files if file.path in here]
        if items:
            sources.append({"configMap": {"name": name, "items": items}})
    items = [_item(file.path, folder) for file in workload.secret_files if file.path in here]
    if items:
        sources.append({"secret": {"name": config.secret_name(workload), "items": items}})
    return {"sources": sources, "defaultMode": MODE}


def _item(path: str, folder: str) -> dict[str, str]:
    return {"key": config.key_of(path), "path": str(PurePosixPath(path).relative_to(folder))}


def mounts(workload: Workload) -> list[dict[str, Any]]:
    """The mounts of the workload's own container."""
    found = [
        {"name": _name(folder), "mountPath": folder, "readOnly": True}
        for folder in _roots(workload)
        if not (workload.reload_metric and folder == live_folder(workload))
    ]
    if workload.reload_metric:
        found.append({"name": "live", "mountPath": live_folder(workload), "readOnly": True})
    if _runs_scripts(workload):
        found.append({"name": "scripts", "mountPath": SCRIPTS_PATH, "readOnly": True})
    found += [{"name": _name(path), "mountPath": path} for path in workload.scratch]
    found += [
        {"name": _name(host.path), "mountPath": host.path, "readOnly": True, "mountPropagation": "HostToContainer"}
        for host in workload.host_paths
    ]
    if workload.storage:
        found.append({"name": claims.CLAIM, "mountPath": workload.storage.path})
    return found


def reloader_mounts(workload: Workload) -> list[dict[str, Any]]:
    """The mounts of what brings a changed configuration to the workload."""
    live = live_folder(workload)
    found: list[dict[str, Any]] = [
        {"name": _name(live), "mountPath": f"{SOURCE}{live}", "readOnly": True},
        {"name": "live", "mountPath": live},
        {"name": "metrics", "mountPath": METRICS_PATH},
        {"name": "scripts", "mountPath": SCRIPTS_PATH, "readOnly": True},
    ]
    found += [
        {"name": _name(folder), "mountPath": folder, "readOnly": True}
        for folder in _roots(workload)
        # Its checker opens the files that the configuration names.
        if folder != live
    ]
    return found
