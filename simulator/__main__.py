"""python -m simulator service | control | inbox"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Protocol

from simulator import logs
from simulator.config import ConfigError, Secrets, read_control, read_service


class Program(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (("service", "one simulated service"), ("control", "the front for all faults")):
        command = commands.add_parser(name, help=about)
        command.add_argument("--config", type=Path, default=Path(f"/etc/exchange/{name}.json"))
        command.add_argument("--secrets", type=Path, default=Path("/run/secrets"))
    inbox = commands.add_parser("inbox", help="the notification inbox")
    inbox.add_argument("--http-port", type=int, default=8025)
    inbox.add_argument("--smtp-port", type=int, default=1025)
    inbox.add_argument("--data-dir", type=Path, default=Path("/data"))
    inbox.add_argument("--heartbeat-timeout", type=float, default=180, help="seconds without a beat, default 180")
    inbox.add_argument("--version-name", default="1.0.0", help="version that /health says")
    return parser.parse_args()


def _create(arguments: argparse.Namespace) -> Program:
    # Imported here so that each program loads only what it needs.
    if arguments.command == "service":
        from simulator.service import Service  # noqa: PLC0415

        config = read_service(arguments.config)
        logs.configure(config.name)
        return Service(config, Secrets(arguments.secrets))
    logs.configure(arguments.command)
    if arguments.command == "control":
        from simulator.control import Control  # noqa: PLC0415

        return Control(read_control(arguments.config), Secrets(arguments.secrets))
    from simulator.inbox.server import Inbox  # noqa: PLC0415

    return Inbox(
        arguments.data_dir,
        arguments.http_port,
        arguments.smtp_port,
        heartbeat_timeout=arguments.heartbeat_timeout,
        version=arguments.version_name,
    )


async def _run(arguments: argparse.Namespace) -> None:
    program = _create(arguments)
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    await program.start()
    await ended.wait()
    await program.stop()


def main() -> int:
    """Run until a signal ends it. Exit status 2 for a configuration that cannot be used."""
    arguments = _arguments()
    try:
        asyncio.run(_run(arguments))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        logging.getLogger(__name__).error("cannot start: %s; free the port or choose another", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
