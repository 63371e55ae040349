"""Every document: its links lead somewhere, its commands are of a kind that is tried, or say why they are not."""

import re
from pathlib import Path

import pytest

from infra.settings import ROOT
from tests import documented
from tests.documented import DOCUMENTS, LOOKS
from tests.markdown import CHANGES, OUTSIDE, broken, commands, fences

# Commands that do more than look at a running stack, and the file that has them run, with words that stand in it.
TRIED = {
    r"make up\b": ("tests/stack/conftest.py", 'operate("up")'),
    r"make down\b": ("tests/stack/test_up.py", 'operate("down")'),
    r"make test$": (".ci/run", "make test"),
    r"make lint": ("Makefile", "test: lint"),
    r"make test-rules": ("tests/rules/test_alerts.py", "def test_"),
    r"make quiet-week": ("tests/quiet_week/test_quiet_week.py", "quiet_week("),
    r"make storm": ("tests/alerting/test_storm.py", "STORM"),
    r"make fire": ("tests/fire/stage.py", "FIRE"),
    r"make drill": ("tests/stack/test_f_drill.py", 'operate("drill"'),
    r"make (review|capacity)": ("tests/stack/test_documents.py", "make review"),
    r"make rebaseline": ("tests/day_two/test_rebaseline.py", "rebaseline"),
    r"make policies": ("tests/unit/test_policies.py", "violations(declared(stack))"),
    r"make preview": ("tests/unit/test_preview.py", '"preview", "--base"'),
    r"make render\b": ("tests/kubernetes/test_d_documents.py", "infra.render"),
    r"cat \.render/prod/secrets\.txt": ("tests/unit/test_kubernetes_render.py", "secrets.txt"),
    r"make dashboards-page": ("tests/unit/test_dashboards_page.py", "picture.run("),
    r"kubectl apply --server-side -f": ("tests/kubernetes/test_d_documents.py", '"apply", "--server-side"'),
    r"make cluster-up": ("tests/kubernetes/conftest.py", "clusters.ensure("),
    r"make (backup|restore)": ("tests/kubernetes/test_h_documented.py", "make backup"),
    r"kubectl -n monitoring delete": ("tests/kubernetes/test_h_documented.py", "*replacing, restore"),
    r"kubectl -n monitoring port-forward": ("tests/kubernetes/test_d_documents.py", "port-forward"),
    r"(docker|kubectl) .*amtool.* silence |kubectl .*AMTOOL silence |curl .*/silences": (
        "tests/stack/test_documents.py",
        "SILENCING",
    ),
    r"docker (start|restart|rm) ": ("tests/stack/test_documents.py", '"docker restart"'),
    r"make node-exporter": ("tests/hosts/conftest.py", "hosts.build("),
    r"ansible-playbook playbooks/node-exporters": ("tests/hosts/test_a_lifecycle.py", "room.install("),
    r"ansible-playbook playbooks/remove": ("tests/hosts/test_d_removal.py", '"remove-node-exporters"'),
    r"\. \.venv/bin/activate": ("operate/bootstrap.sh", ".venv"),
    r"\.venv/bin/pre-commit install": ("tests/unit/test_workflow_scripts.py", "pre-commit"),
    r"curl .*(PUT|DELETE) .*/api/faults": ("tests/stack/conftest.py", "/api/faults/"),
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
    changing = [
        each.text for each in commands(page) if not each.mark and not LOOKS.match(each.text) and not tried(each.text)
    ]
    assert not changing, "commands that change something stand in a fence ```bash changes"


@pytest.mark.parametrize("page", DOCUMENTS, ids=place)
def test_an_interactive_shell_takes_them(page: Path) -> None:
    """There, ! before a word in double quotes is the history's; only = and blanks may follow it."""
    history = [command.text for command in commands(page) if re.search(r'"[^"]*![^=( "]', command.text)]
    assert not history


def tried(text: str) -> bool:
    return any(re.match(pattern, text) for pattern in TRIED)


def test_what_changes_something_is_tried() -> None:
    untried = [f"{where}: {command.text}" for where, command in documented.changing() if not tried(command.text)]
    assert not untried, "name the test that runs it in TRIED, or mark its fence ```bash outside"


@pytest.mark.parametrize("pattern", TRIED)
def test_the_test_that_tries_it_is_there(pattern: str) -> None:
    file, words = TRIED[pattern]
    assert words in (ROOT / file).read_text()
    typed = [command.text for page in DOCUMENTS for command in commands(page)]
    assert any(re.match(pattern, text) for text in typed), "no document has it any more"
