"""What must hold on this machine before a deployment touches anything."""

import errno
import socket
import subprocess
from collections.abc import Mapping

from infra import credentials
from infra.errors import InputError
from infra.stack import Stack
from operate import containers


def ports_free(stack: Stack) -> None:
    """Raise InputError for a published port that something other than this stack listens on."""
    ours = containers.published_ports(stack.name)
    for key, port in stack.settings.published_ports().items():
        if port in ours:
            continue
        with socket.socket(socket.AF_INET6 if ":" in stack.settings.bind_address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((stack.settings.bind_address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    reason = f"is in use{_holder(port)}; stop that"
                else:
                    reason = f"cannot be listened on ({error.strerror}); free it"
                raise InputError(
                    f"monitoring:{key}: port {port} on {stack.settings.bind_address} {reason}, or move ours with "
                    f"`monitoring:{key}: OTHER` in Pulumi.{stack.name}.yaml."
                ) from None


def _holder(port: int) -> str:
    """' by NAME' of the process that listens on the port, where `ss` can tell."""
    try:
        listing = subprocess.run(
            ["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False
        ).stdout
    except FileNotFoundError:
        return ""
    _, quote, rest = listing.partition('(("')
    return f" by {rest.split(chr(34))[0]}" if quote else ""


def passwords_match_volumes(stack: Stack, at_hand: Mapping[str, str]) -> None:
    """Raise InputError when the databases' volumes are there but the passwords they were made with are not."""
    if "postgres-password" in at_hand:
        return
    kept = stack.root / ".secrets" / stack.name / "postgres-password.value"
    volume = f"monitoring-{stack.name}-postgres-primary"
    if stack.settings.data_stores and not kept.exists() and volume in containers.volumes(stack.name):
        raise InputError(
            f"volume {volume} is here, but .secrets/{stack.name} with its passwords is not; restore that directory, "
            f"or drop the data with `make down STACK={stack.name} PURGE=1`."
        )


def receivers_stay(stack: Stack, at_hand: Mapping[str, str]) -> None:
    """Raise InputError where real receivers would be exchanged for the inbox: nobody would notice."""
    if not stack.settings.inbox:
        return
    for name, secret in credentials.known(stack.settings).items():
        place = f".secrets/{stack.name}/alertmanager/{name}"
        kept = stack.root / place
        if "/inbox" not in (secret.default or "") and secret.default != "inbox":
            continue
        if kept.exists() and kept.read_bytes() != str(secret.default).encode() and at_hand.get(name) == secret.default:
            raise InputError(
                f"{secret.env} is not set, and the running stack has a receiver of its own there: messages would go to "
                f"the inbox instead; set it again with `export {secret.env}=...`, or remove {place} if they shall."
            )
