"""`make preview BASE=ref`: what the working tree deploys otherwise than a commit, without an engine or credentials."""

import argparse

from infra import stack
from operate.preview import report, sides


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--base", default="HEAD", help="the commit to compare with (default: HEAD)")


def run(options: argparse.Namespace) -> int:
    """Print what the working tree would change for a stack, compared with a commit, as Markdown."""
    stack.load(options.stack)  # bad input is one sentence, before anything is rendered
    before, after = sides.both(options.stack, options.base)
    print(report.markdown(options.stack, options.base, before, after), end="")
    return 0
