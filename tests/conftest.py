"""Shared by all tests: figures that a test measured, shown at the end of the run."""

from collections.abc import Callable

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a running platform stays in one process when the run is spread over several."""
    for item in items:
        if item.path.parent.name in ("stack", "alerting"):
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
    # The longest first: everything else runs beside it.
    items.sort(key=lambda item: item.path.parent.name != "stack")
