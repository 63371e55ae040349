"""Workloads as Docker networks, volumes and containers on one machine.

Not applied here: a read-only root file system, because Docker refuses to copy files into such a
container; CPU limits, because one machine's cores are better shared than split.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_docker as docker

from infra import secretfiles
from infra.stack import Stack
from infra.workload import MIB, Probe, Workload

PREFIX = "com.mycrypto.monitoring"


def name_of(stack: str, workload: str) -> str:
    """The name of a container or volume on the machine."""
    return f"monitoring-{stack}-{workload}"


def deploy(stack: Stack, workloads: Sequence[Workload]) -> None:
    """Declare the network, and a volume and a container per workload."""
    network = docker.Network(
        "network",
        name=f"monitoring-{stack.name}",
        labels=[docker.NetworkLabelArgs(label=f"{PREFIX}.stack", value=stack.name)],
    )
    watched: list[pulumi.Resource] = []
    for workload in sorted(workloads, key=lambda w: w.name == "prometheus"):
        # Prometheus starts last: what is not there yet when it first looks would page as down.
        after = watched if workload.name == "prometheus" else []
        watched.append(_container(stack, workload, network, after))


def _container(
    stack: Stack, workload: Workload, network: docker.Network, after: Sequence[pulumi.Resource]
) -> docker.Container:
    volumes = [
        docker.ContainerVolumeArgs(host_path=host.source, container_path=host.path, read_only=True)
        for host in workload.host_paths
    ]
    volumes += [
        docker.ContainerVolumeArgs(
            host_path=str(secretfiles.path_of(stack.name, workload, file, stack.root)),
            container_path=file.path,
            read_only=True,
        )
        for file in workload.secret_files
    ]
    if workload.storage:
        volume = docker.Volume(
            f"{workload.name}-data",
            name=name_of(stack.name, workload.name),
            labels=[docker.VolumeLabelArgs(label=f"{PREFIX}.stack", value=stack.name)],
            # `make down` keeps the data: only PURGE=1 removes volumes, by their label.
            opts=pulumi.ResourceOptions(retain_on_delete=True),
        )
        volumes.append(docker.ContainerVolumeArgs(volume_name=volume.name, container_path=workload.storage.path))
    optional: dict[str, Any] = {}
    if workload.command:
        optional["entrypoints"] = list(workload.command)
    if workload.args:
        optional["command"] = list(workload.args)
    if workload.env:
        optional["envs"] = sorted(f"{key}={value}" for key, value in workload.env.items())
    if test := _health_test(workload):
        start = workload.readiness.start_period if workload.readiness else 0
        optional["healthcheck"] = docker.ContainerHealthcheckArgs(
            tests=test, interval="15s", timeout="4s", retries=3, start_period=_duration(start)
        )
    published = [port for port in workload.ports if port.published]
    if published:
        optional["ports"] = [
            docker.ContainerPortArgs(
                internal=port.number, external=port.published, ip=stack.settings.bind_address, protocol="tcp"
            )
            for port in published
        ]
    return docker.Container(
        workload.name,
        name=name_of(stack.name, workload.name),
        image=workload.image.reference,
        hostname=workload.name,
        user=f"{workload.security.user}:{workload.security.group}",
        restart="unless-stopped",
        memory=workload.resources.memory // MIB,
        # No swap on top of the limit: a workload that outgrows it is killed and seen, not slow and hidden.
        memory_swap=workload.resources.memory // MIB,
        networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name, aliases=[workload.name])],
        capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"], adds=list(workload.security.capabilities)),
        security_opts=["no-new-privileges:true"],
        volumes=volumes,
        uploads=[docker.ContainerUploadArgs(file=file.path, content=file.content) for file in workload.config_files],
        log_driver="json-file",
        # The tag names the service of each line; the log collector turns it into `service_name`.
        log_opts={"max-size": "10m", "max-file": "3", "tag": workload.name},
        labels=[
            docker.ContainerLabelArgs(label=key, value=value) for key, value in sorted(_labels(stack, workload).items())
        ],
        destroy_grace_seconds=workload.grace_seconds,
        stop_timeout=workload.grace_seconds,
        must_run=True,
        **optional,
        opts=pulumi.ResourceOptions(
            depends_on=after,
            # A name and a published port belong to one container at a time.
            delete_before_replace=True,
        ),
    )


def _duration(seconds: int) -> str:
    """As the engine writes it back: 60 s is 1m0s. Any other spelling is a change at every preview."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _health_test(workload: Workload) -> list[str]:
    probe: Probe | None = workload.readiness
    if probe is None:
        return []
    if probe.command:
        return ["CMD", *probe.command]
    if not probe.path:
        # A connection costs a hundredth of the start of a Python or an Erlang.
        return ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{probe.port}"]
    if workload.image.wget:
        return ["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{probe.port}{probe.path}"]
    return []


def _labels(stack: Stack, workload: Workload) -> dict[str, str]:
    digest = hashlib.sha256()
    for file in workload.config_files:
        digest.update(f"{file.path}\0{file.content}\0".encode())
    return {
        f"{PREFIX}.stack": stack.name,
        f"{PREFIX}.component": workload.name,
        f"{PREFIX}.part-of": workload.part_of,
        # Compose recreates a container for a changed label, not for a changed file.
        f"{PREFIX}.config": digest.hexdigest()[:16],
    }
