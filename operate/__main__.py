"""Day-2 commands: `python -m operate COMMAND`; the Makefile has a verb for each."""

import argparse
import sys

from infra import assembly, checks, credentials, settings, stack
from infra.errors import InputError, one_line
from operate import (
    backup,
    bench,
    checkers,
    cluster,
    contract,
    deploy,
    documents,
    engine,
    growth,
    hosts,
    images,
    policies,
    preflight,
    preview,
    query,
    quiet_week,
    rebaseline,
    record,
    review,
    status,
)
from operate.dashboards import picture
from operate.drills import command as drill
from operate.progress import loud


def up(arguments: argparse.Namespace) -> int:
    """Set everything up and wait until it is well."""
    current = stack.load(arguments.stack)
    workloads = assembly.workloads(current)
    if current.settings.target == "kubernetes":
        checkers.build(current)
        checks.verify(workloads)
        for component, reason in current.images.unavailable.items():
            loud(f"{component} is left out: {reason}")
        cluster.up(current)
        cluster.table(current)
        return 0
    at_hand = credentials.given(current.settings, {}, made=current.made_secrets)
    credentials.check(current.settings, workloads, at_hand, current.name)
    checks.verify(workloads)
    engine.ensure()
    preflight.ports_free(current)
    preflight.passwords_match_volumes(current, at_hand)
    preflight.receivers_stay(current, at_hand)
    images.ensure(current)
    current = stack.load(arguments.stack)  # which images there are is known only now
    for component, reason in current.images.unavailable.items():
        loud(f"{component} is left out: {reason}")
    checkers.take_from_images(current)
    checks.verify(assembly.workloads(current))
    deploy.up(current)
    status.wait(current)
    # What the catalog watches elsewhere may be down of its own accord: the table says so, the stack is up.
    status.table(current)
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Remove what runs; the data stays unless --purge."""
    current = stack.load(arguments.stack)
    if current.settings.target == "kubernetes":
        print(cluster.down(current, arguments.purge, arguments.unprotect))
        return 0
    if not engine.answers():
        raise InputError("no Docker engine answers, so nothing of the stack runs; `make up` starts one.")
    print(deploy.down(current, arguments.purge))
    return 0


def down_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `down`."""
    parser.add_argument("--purge", action="store_true", help="remove the volumes and generated secrets too")
    parser.add_argument("--unprotect", action="store_true", help="with --purge, on a cluster: yes, the data too")


def show(arguments: argparse.Namespace) -> int:
    """Print the table of components."""
    current = stack.load(arguments.stack)
    if current.settings.target == "kubernetes":
        return 0 if cluster.table(current) else 1
    if not engine.answers():
        raise InputError("no Docker engine answers, so nothing of the stack runs; `make up` starts one.")
    return 0 if status.table(current) else 1


def make_secrets(arguments: argparse.Namespace) -> int:
    """Create the Secrets of a stack on Kubernetes from the environment."""
    current = stack.load(arguments.stack)
    if current.settings.target != "kubernetes":
        raise InputError(f"stack {current.name} runs on Docker, where `make up` writes its secrets as files itself.")
    print(cluster.make_secrets(current))
    return 0


def make_images(arguments: argparse.Namespace) -> int:
    """Pull the pinned images, or build what cannot be pulled."""
    engine.ensure()
    images.ensure(stack.load(arguments.stack), verbose=True)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Check the configuration of every component with its own tool; needs no Docker."""
    current = stack.load(arguments.stack)
    checkers.build(current)
    missing = checks.verify(assembly.workloads(current))
    later = f"; checked only when the stack comes up: {', '.join(missing)}" if missing else ""
    print(f"configuration of stack {current.name} is valid{later}")
    return 0


COMMANDS = {
    "up": up,
    "down": down,
    "status": show,
    "secrets": make_secrets,
    "images": make_images,
    "node-exporter": hosts.run,
    "check": check,
    "bench": bench.run,
    "drill": drill.run,
    "backup": backup.save,
    "restore": backup.load,
    "query": query.run,
    "check-service": contract.run,
    "preview": preview.run,
    "policies": policies.run,
    "documents": documents.run,
    "quiet-week": quiet_week.run,
    "capacity": growth.run,
    "review": review.run,
    "rebaseline": rebaseline.run,
    "record-metrics": record.run,
    "dashboards-page": picture.run,
}
ARGUMENTS = {
    down: down_arguments,
    backup.save: backup.save_arguments,
    backup.load: backup.load_arguments,
    query.run: query.arguments,
    contract.run: contract.arguments,
    preview.run: preview.arguments,
    drill.run: drill.arguments,
    quiet_week.run: quiet_week.arguments,
    growth.run: growth.arguments,
    review.run: review.arguments,
    rebaseline.run: rebaseline.arguments,
    bench.run: bench.arguments,
    picture.run: picture.arguments,
}


def main(command_line: list[str] | None = None) -> int:
    """Parse the command line and run one command; bad input is one sentence and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m operate", description=__doc__)
    parser.add_argument("--stack", default="dev", help="the stack (default: dev)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(run=function)
        if function in ARGUMENTS:
            ARGUMENTS[function](command)
    arguments = parser.parse_args(command_line)
    try:
        settings.must_be_known(arguments.stack)  # also for a verb that does the same for each
        return int(arguments.run(arguments))
    except InputError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
