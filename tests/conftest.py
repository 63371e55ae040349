"""Shared by all tests: figures that a test measured, shown at the end of the run."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from _pytest import runner
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.running import SPREAD

# pytest takes the test's name out of the environment after each, while threads of scenes copy the environment for the
# programs that they start, and requests looks through it for proxies: either fails where something goes meanwhile.
runner._update_current_test_var = lambda *_: None

Figure = Callable[[str], None]


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Say one measured figure in a line of the run's closing summary."""
    return lambda text: record_property("figure", text)


Tried = Callable[[str, Mapping[str, int]], None]


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    """Count bad input that a test tried: of which kind, and how many ended how. The closing summary has the sums."""
    return lambda kind, outcomes: record_property("tried", [kind, dict(outcomes)])


def _sums(reports: Iterable[pytest.TestReport]) -> list[str]:
    """What all tests tried of bad input, in one line; nothing where none of them ran."""
    sums: dict[str, Counter[str]] = {}
    found: list[Any] = [value for report in reports for name, value in report.user_properties if name == "tried"]
    for kind, outcomes in found:
        sums.setdefault(kind, Counter()).update(outcomes)
    kinds = (
        f"{counts.total()} {kind} ({', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))})"
        for kind, counts in sorted(sums.items())
    )
    return [f"bad input tried: {', '.join(kinds)}; none ended otherwise"] if sums else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all tests, also of those that ran in another process."""
    reports = [report for group in ("passed", "failed") for report in terminalreporter.stats.get(group, [])]
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    figures += _sums(terminalreporter.stats.get("passed", []))
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))


class Rooms(LoadScopeScheduling):  # type: ignore[misc]
    """Spreads a run over processes, but keeps in one what shares a running platform; the largest come first."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return folder if folder in ("stack", "kubernetes", "alerting", "fire", "hosts") else nodeid

    def _assign_work_unit(self, node: Any) -> None:
        # Playbooks and the faults of our own programs take what processors there are: they come when one of the live
        # stacks is gone.
        gone = self.assigned_work.get(node, {}).keys() & {"stack", "kubernetes"}
        for room in ("hosts", "fire"):
            if room in self.workqueue:
                self.workqueue.move_to_end(room, last=not gone)
        super()._assign_work_unit(node)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside others, what only computes waits for the two live stacks, whose alerts have a minute to arrive."""
    if SPREAD and os.geteuid() == 0:
        live = item.nodeid.split("/")[1] in ("stack", "kubernetes")
        os.setpriority(os.PRIO_PROCESS, 0, 0 if live else 10)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rooms:
    """xdist's own grouping by marks does not work with this pytest."""
    return Rooms(config, log)
