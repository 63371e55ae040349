"""Deploys and removes a stack: with the Pulumi engine where it is on the PATH, else with Docker Compose."""

import os
import shutil
import subprocess

from infra import assembly, render, secretfiles
from infra.errors import InputError
from infra.stack import Stack
from operate import compose, containers
from operate.progress import loud, step


def engine() -> str:
    """ "pulumi" or "compose"."""
    return "pulumi" if shutil.which("pulumi") else "compose"


def up(stack: Stack) -> None:
    """Bring the stack to what the program declares; unchanged parts are left alone."""
    chosen = engine()
    running = containers.of(stack.name)
    if any(container.by_compose != (chosen == "compose") for container in running):
        loud(f"the running stack was deployed by another engine; its containers are replaced by {chosen}'s, data stays")
        containers.remove(stack.name)
        containers.remove_network(stack.name)
        if chosen == "pulumi":
            pulumi(stack, "refresh", "--yes", "--skip-preview")
    if chosen == "pulumi":
        print("deploying with `pulumi up`: pulumi is on the PATH", flush=True)
        with step("pulumi up"):
            pulumi(stack, "up", "--yes", "--skip-preview")
    else:
        print("deploying with Docker Compose from the render: no pulumi on the PATH", flush=True)
        secretfiles.write(stack, assembly.workloads(stack))
        with step("docker compose up"):
            _compose(stack, "up", "--detach", "--remove-orphans", "--quiet-pull")


def down(stack: Stack, purge: bool) -> str:
    """Remove the stack's containers and network, and its volumes when `purge`. Returns what was done."""
    if engine() == "pulumi" and has_state(stack):
        with step("pulumi destroy"):
            pulumi(stack, "destroy", "--yes", "--skip-preview")
    removed = containers.remove(stack.name)
    containers.remove_network(stack.name)
    said = f"{stack.name} is down" + (f", {removed} containers removed" if removed else "")
    if not purge:
        kept = len(containers.volumes(stack.name))
        return f"{said}; {kept} volumes are kept (PURGE=1 removes them)" if kept else said
    count = containers.purge(stack.name)
    shutil.rmtree(stack.root / ".secrets" / stack.name, ignore_errors=True)
    return f"{said}; {count} volumes and the stack's generated secrets removed"


def pulumi_environment(stack: Stack) -> dict[str, str]:
    """Environment for the engine: a local file backend, unless the caller names a backend of their own.

    Raises InputError where the state would hold secrets and nothing says how to encrypt them.
    """
    chosen = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    if "PULUMI_BACKEND_URL" in chosen:
        return chosen
    state = stack.root / ".pulumi-state"
    state.mkdir(mode=0o700, exist_ok=True)
    chosen["PULUMI_BACKEND_URL"] = f"file://{state}"
    if stack.settings.target == "kubernetes":
        if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & set(chosen):
            raise InputError(
                f"the state of stack {stack.name} holds secrets and nothing says how to encrypt them; name the file "
                "with the passphrase, `export PULUMI_CONFIG_PASSPHRASE_FILE=...`, or your backend, "
                "`export PULUMI_BACKEND_URL=...`."
            )
        return chosen
    # This state holds no secret value: secrets are files beside it. A passphrase the caller keeps for
    # other stacks would not fit the salt in the stack's file.
    chosen.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
    chosen["PULUMI_CONFIG_PASSPHRASE"] = ""
    return chosen


def has_state(stack: Stack) -> bool:
    """Whether the engine knows the stack."""
    listing = subprocess.run(
        ["pulumi", "stack", "ls", "--json", "--non-interactive"],
        cwd=stack.root,
        env=pulumi_environment(stack),
        capture_output=True,
        text=True,
        check=False,
    )
    return f'"{stack.name}"' in listing.stdout


def pulumi(stack: Stack, command: str, *arguments: str) -> None:
    """Run an engine's command on the stack. Raises InputError where it fails; its own output says why."""
    environment = pulumi_environment(stack)
    select = ["pulumi", "stack", "select", "--create", stack.name, "--non-interactive"]
    run = ["pulumi", command, "--stack", stack.name, "--non-interactive", "--suppress-progress", *arguments]
    for line in (select, run):
        done = subprocess.run(line, cwd=stack.root, env=environment, check=False)
        if done.returncode:
            raise InputError(
                f"`{' '.join(line[:2])}` failed; its output above says why. Run `make up` again after that."
            )


def _compose(stack: Stack, *arguments: str) -> None:
    files = render.write(stack.name, root=stack.root)
    done = subprocess.run([*compose.command(), "--file", str(files[0]), *arguments], check=False)
    if done.returncode:
        raise InputError("`docker compose up` failed; its output above says why. Run `make up` again after that.")
