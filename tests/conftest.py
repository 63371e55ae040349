"""Shared by all tests: figures that a test measured, shown at the end of the run."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.running import SPREAD

Figure = Callable[[str], None]


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Say one measured figure in a line of the run's closing summary."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all tests, also of those that ran in another process."""
    reports = [report for group in ("passed", "failed") for report in terminalreporter.stats.get(group, [])]
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))


class Rooms(LoadScopeScheduling):  # type: ignore[misc]
    """Spreads a run over processes, but keeps in one what shares a running platform; the largest come first."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return folder if folder in ("stack", "kubernetes", "alerting", "hosts") else nodeid

    def _assign_work_unit(self, node: Any) -> None:
        # Playbooks take what processors there are: they come when one of the live stacks is gone.
        if "hosts" in self.workqueue:
            gone = self.assigned_work.get(node, {}).keys() & {"stack", "kubernetes"}
            self.workqueue.move_to_end("hosts", last=not gone)
        super()._assign_work_unit(node)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside others, what only computes waits for the two live stacks, whose alerts have a minute to arrive."""
    if SPREAD and os.geteuid() == 0:
        live = item.nodeid.split("/")[1] in ("stack", "kubernetes")
        os.setpriority(os.PRIO_PROCESS, 0, 0 if live else 10)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rooms:
    """xdist's own grouping by marks does not work with this pytest."""
    return Rooms(config, log)
