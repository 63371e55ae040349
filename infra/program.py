"""The Pulumi program: settings, catalog, components, target."""

from collections.abc import Callable
from pathlib import Path

import pulumi

from infra import assembly, capacity, checks, cluster, credentials, secretfiles, settings, stack
from infra.errors import InputError
from infra.targets import docker, kubernetes


def run(root: Path = settings.ROOT, note: Callable[[str], None] = pulumi.log.warn, rendering: bool = False) -> None:
    """Declare the stack's resources. Bad input ends the run before anything is declared.

    A cluster's Secrets are declared with their values, so they are left out when `rendering` to files.
    """
    try:
        name = pulumi.get_stack()
        configured = _config()
        values = settings.from_config(configured, f"Pulumi.{name}.yaml", credentials.CONFIG_KEYS)
        current = stack.load(name, values, root)
        workloads = assembly.workloads(current)
        at_hand = credentials.given(values, configured, made=current.made_secrets)
        in_cluster = values.target == "kubernetes"
        if not (in_cluster and rendering):
            credentials.check(values, workloads, at_hand, name)
        checks.verify(workloads)
        if in_cluster and not rendering:
            cluster.verify(values)
    except InputError as error:
        raise pulumi.RunError(str(error)) from None
    for component, reason in current.images.unavailable.items():
        note(f"{component} is left out: {reason}")
    for warning in capacity.warnings(current, workloads):
        note(warning)
    if in_cluster:
        kubernetes.deploy(current, workloads, None if rendering else at_hand)
        return
    if not pulumi.runtime.is_dry_run():
        secretfiles.write(current, workloads)
    docker.deploy(current, workloads)


def _config() -> dict[str, str]:
    """This project's settings as the engine passes them, without the namespace."""
    namespace = f"{settings.NAMESPACE}:"
    # The only way to see keys that nobody asked for.
    values: dict[str, str] = pulumi.runtime.config.CONFIG.get()
    return {key.removeprefix(namespace): value for key, value in values.items() if key.startswith(namespace)}
