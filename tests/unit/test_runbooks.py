"""The runbooks: one for each alert, of one shape, whose commands and queries name what is there."""

import re
from pathlib import Path

import pytest

from infra.settings import ROOT
from operate.documents import runbooks
from tests.documented import LOOKS
from tests.labels import Reader
from tests.markdown import CHANGES, Command, broken, commands, exported, query

FOLDER = ROOT / runbooks.RUNBOOKS
PAGES = sorted(FOLDER.glob("*.md"))


@pytest.fixture(scope="module")
def headers() -> dict[str, str]:
    return runbooks.headers()


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_alert_has_its_runbook_and_no_other_has(headers: dict[str, str]) -> None:
    assert {page.stem for page in PAGES} == headers.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_of_one_shape(page: Path, headers: dict[str, str]) -> None:
    text = page.read_text()
    assert text.startswith(headers[page.stem]), "its opening is not what the rule says: run `make documents`"
    assert tuple(sections(page)) == runbooks.SECTIONS
    empty = [title for title, body in sections(page).items() if len(body.split()) < 5]
    assert not empty, "say something"
    long = [line for line in text.splitlines() if len(line) > 120 and "|" not in line and "make query" not in line]
    assert not long, "wrap at 120 characters"
    assert not list(broken(page)), "links lead nowhere"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_three_checks_that_only_look(page: Path) -> None:
    body = sections(page)["First three checks"]
    steps = re.split(r"^\d\. ", body, flags=re.MULTILINE)[1:]
    assert len(steps) == 3
    assert all("```bash" in step for step in steps), "each check is a command"
    found = commands(page)
    wrong = [each.text for each in found if each.mark != CHANGES and not LOOKS.match(each.text)]
    assert not wrong, "commands that change something stand in a fence ```bash changes"
    for tool, other in (("docker", "kubectl"), ("kubectl", "docker")):
        for step in steps:
            forms = [line for line in step.splitlines() if line.strip().startswith((tool, other))]
            used = {line.split()[0] for line in forms}
            assert used in (set(), {tool, other}), f"only one form in: {step}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_queries_read_what_is_there(page: Path, reader: Reader) -> None:
    found = commands(page)
    variables = exported(found)
    queries = [asked for each in found if (asked := query(each.text, variables))]
    assert queries, "no check asks Prometheus"
    problems = [f"{query}: {problem}" for query in queries for problem in reader.problems(query)]
    assert not problems


def _unset(command: Command, variables: dict[str, str]) -> set[str]:
    return set(re.findall(r"\$([A-Z_]+)", command.text)) - variables.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_variables_are_set_at_the_top(page: Path) -> None:
    found = commands(page)
    unset = {name for each in found for name in _unset(each, exported(found))}
    assert not unset, "an export line in the checks sets each variable"
