"""Hosts to try the playbooks on: `python -m tests.hosts COMMAND`."""

import argparse
import sys

from infra.errors import InputError
from tests.hosts import bench


def main() -> int:
    """Parse the command line and run one command; bad input is one sentence and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    summary = bench.run.__doc__
    command = commands.add_parser("bench", help=summary, description=summary)
    bench.arguments(command)
    command.set_defaults(run=bench.run)
    options = parser.parse_args()
    try:
        return int(options.run(options))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the hosts are removed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
