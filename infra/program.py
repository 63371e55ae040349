"""The Pulumi program: settings, catalog, components, target."""

from collections.abc import Callable
from pathlib import Path

import pulumi

from infra import assembly, checks, secretfiles, settings, stack
from infra.errors import InputError
from infra.targets import docker


def run(root: Path = settings.ROOT, note: Callable[[str], None] = pulumi.log.warn) -> None:
    """Declare the stack's resources. Bad input ends the run before anything is declared."""
    try:
        name = pulumi.get_stack()
        values = settings.from_config(_config(), f"Pulumi.{name}.yaml")
        current = stack.load(name, values, root)
        workloads = assembly.workloads(current)
        secretfiles.check(values, workloads)
        checks.verify(workloads)
    except InputError as error:
        raise pulumi.RunError(str(error)) from None
    for component, reason in current.images.unavailable.items():
        note(f"{component} is left out: {reason}")
    if not pulumi.runtime.is_dry_run():
        secretfiles.write(name, values, workloads, root)
    docker.deploy(current, workloads)


def _config() -> dict[str, str]:
    """This project's settings as the engine passes them, without the namespace."""
    namespace = f"{settings.NAMESPACE}:"
    # The only way to see keys that nobody asked for.
    values: dict[str, str] = pulumi.runtime.config.CONFIG.get()
    return {key.removeprefix(namespace): value for key, value in values.items() if key.startswith(namespace)}
