"""`make documents`: the documents that follow from rules, contract and drills, and what opens each runbook."""

import argparse

from infra import stack
from infra.settings import ROOT
from infra.stack import Stack
from operate.documents import alert_test_plan, metrics_contract, performance, runbooks

# What the examples in them name is that of this stack, which everybody can start.
STACK = "dev"


def run(_options: argparse.Namespace) -> int:
    """Write the documents that follow from rules, contract and drills; name those that changed."""
    changed = [name for name, text in texts(stack.load(STACK)).items() if _write(name, text)]
    changed += [f"{runbooks.RUNBOOKS}/{name}" for name in runbooks.write()]
    for name in changed or ["every document is up to date"]:
        print(name)
    return 0


def texts(current: Stack) -> dict[str, str]:
    """What each document that is generated as a whole has to be, by its path. Raises InputError."""
    return {
        metrics_contract.FILE: metrics_contract.text(current),
        alert_test_plan.FILE: alert_test_plan.text(current),
        performance.FILE: performance.text(current.root),
    }


def _write(name: str, text: str) -> bool:
    path = ROOT / name
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True
