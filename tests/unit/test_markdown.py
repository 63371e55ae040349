"""Every document: its links lead somewhere, its commands are of a kind that is tried, or say why they are not."""

import re
from pathlib import Path

import pytest

from infra.settings import ROOT
from tests import documented
from tests.documented import DOCUMENTS, LOOKS
from tests.markdown import CHANGES, OUTSIDE, broken, commands, fences

# What changes something is tried by the test that is named here; the words have to stand in it.
TRIED = {
    r"make up": ("tests/stack/conftest.py", 'operate("up")'),
    r"make test\b": (".ci/run", "make test"),
}


def place(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", DOCUMENTS, ids=place)
def test_links_lead_somewhere(page: Path) -> None:
    assert not list(broken(page))


@pytest.mark.parametrize("page", DOCUMENTS, ids=place)
def test_commands_are_marked_for_what_they_do(page: Path) -> None:
    unknown = [mark for language, mark in fences(page) if language == "bash" and mark not in ("", CHANGES, OUTSIDE)]
    assert not unknown
    bare = [language for language, _ in fences(page) if language in ("sh", "shell", "console")]
    assert not bare, "a fence of commands is ```bash"
    changing = [command.text for command in commands(page) if not command.mark and not LOOKS.match(command.text)]
    assert not changing, "commands that change something stand in a fence ```bash changes"


@pytest.mark.parametrize("page", DOCUMENTS, ids=place)
def test_an_interactive_shell_takes_them(page: Path) -> None:
    """There, ! before a word in double quotes is the history's; only = and blanks may follow it."""
    history = [command.text for command in commands(page) if re.search(r'"[^"]*![^=( "]', command.text)]
    assert not history


def test_what_changes_something_is_tried() -> None:
    untried = [f"{where}: {command.text}" for where, command in documented.changing() if not tried(command.text)]
    assert not untried, "name the test that runs it in TRIED, or mark its fence ```bash outside"


def tried(text: str) -> bool:
    return any(re.match(pattern, text) for pattern in TRIED)


@pytest.mark.parametrize("pattern", TRIED)
def test_the_test_that_tries_it_is_there(pattern: str) -> None:
    file, words = TRIED[pattern]
    assert words in (ROOT / file).read_text()
    assert any(re.match(pattern, command.text) for _, command in documented.changing()), "no document has it any more"
