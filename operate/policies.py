"""`make policies`: the policies of the pack and those of checkov, on what a stack declares, without an engine."""

import argparse
import sys

from infra import render
from operate import checkov
from policies.policies import POLICIES, violations
from policies.resources import Declared


def run(options: argparse.Namespace) -> int:
    """Say what a stack declares against the policies and checkov; exit status 1 where there is anything."""
    found = [*violations(declared(options.stack)), *checkov.findings(options.stack)]
    for words in found:
        print(words, file=sys.stderr)
    print(f"stack {options.stack}: {len(POLICIES)} policies and checkov, {len(found)} violations")
    return 1 if found else 0


def declared(stack: str) -> list[Declared]:
    """What the program declares for a stack. Raises InputError."""
    return [Declared(resource.type, resource.name, resource.inputs) for resource in render.resources(stack)]
