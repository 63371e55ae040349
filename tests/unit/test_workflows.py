"""What GitHub runs: both linters, the pins, what each job may do, and that what a workflow names exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.documents import load
from infra.settings import ROOT
from operate import tools
from tests.markdown import broken

GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: load(path.read_text()) for path in sorted((GITHUB / "workflows").glob("*.yml"))}
JOBS = {f"{name}/{job}": found for name, each in WORKFLOWS.items() for job, found in each["jobs"].items()}
SCRIPTS = sorted((GITHUB / "scripts").glob("*.sh"))
# What each job may do besides reading the sources.
MORE = {"preview/comment": {"pull-requests": "write"}, "drift/issue": {"issues": "write"}}
SECRET = re.compile(r"\$\{\{ *secrets\.(\w+)")

Project = Path


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job["steps"]
    return found


def commands() -> dict[str, str]:
    """Every shell text of workflows and scripts, by where it stands."""
    found = {
        f"{name} {place}": step["run"]
        for name, job in JOBS.items()
        for place, step in enumerate(steps(job))
        if "run" in step
    }
    return found | {path.name: path.read_text() for path in SCRIPTS}


def actionlint(folder: Path) -> subprocess.CompletedProcess[str]:
    # Without shellcheck and pyflakes, which not every machine has, so that the result is the same on each.
    return subprocess.run(
        [tools.ensure("actionlint"), "-shellcheck=", "-pyflakes=", "-no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".venv/bin/zizmor", "--offline", "--no-progress", "--strict-collection", "--color=never", ".github"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Project:
    """A repository with these workflows, to be spoiled."""
    shutil.copytree(GITHUB, tmp_path / ".github")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def spoil(project: Project, workflow: str, old: str, new: str) -> None:
    path = project / ".github" / "workflows" / workflow
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_actionlint_and_zizmor_find_nothing(copy: Project) -> None:
    assert set(WORKFLOWS) == {"checks", "preview", "deploy", "drift"}
    for linted in (actionlint(copy), zizmor(copy)):
        assert linted.returncode == 0, linted.stdout + linted.stderr
    # An ignored finding would be one that nobody sees.
    assert not [path for path in GITHUB.rglob("*") if path.is_file() and "zizmor: ignore" in path.read_text()]
    assert not list(GITHUB.glob("zizmor.y*ml"))


def test_actionlint_refuses_an_output_that_no_step_has(copy: Project) -> None:
    spoil(copy, "drift.yml", "steps.look.outputs.state == 'drift'", "steps.lok.outputs.state == 'drift'")
    said = actionlint(copy)
    assert said.returncode == 1
    assert 'property "lok" is not defined' in said.stdout


def test_zizmor_refuses_a_title_in_a_shell(copy: Project) -> None:
    spoil(copy, "preview.yml", "run: make .venv/.complete", 'run: echo "${{ github.event.pull_request.title }}"')
    said = zizmor(copy)
    assert said.returncode != 0
    assert "template-injection" in said.stdout


def test_the_linter_is_the_release_that_is_pinned() -> None:
    said = subprocess.run([tools.ensure("actionlint"), "-version"], capture_output=True, text=True, check=True).stdout
    module = (ROOT / "images/actionlint/go.mod").read_text()
    assert f"github.com/rhysd/actionlint {said.split()[0]} " in module


def test_every_action_is_a_digest_with_its_release_and_of_one_release_everywhere() -> None:
    releases: dict[str, set[str]] = {}
    for path in (GITHUB / "workflows").glob("*.yml"):
        for line in path.read_text().splitlines():
            if "uses:" not in line:
                continue
            found = re.search(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$", line)
            assert found, f"{path.name}: {line.strip()}"
            releases.setdefault(found[1], set()).add(found[2])
    assert {name: pins for name, pins in releases.items() if len(pins) > 1} == {}


def test_no_job_may_do_more_than_it_is_there_for() -> None:
    for name, each in WORKFLOWS.items():
        assert each["permissions"] == {}, name
        assert each["defaults"]["run"]["shell"] == "bash", f"{name}: a failure before a pipe would pass"
        triggers = set(each.get("on") or each[True])
        assert triggers <= {"pull_request", "push", "schedule", "workflow_dispatch"}, name
    for name, job in JOBS.items():
        assert job["permissions"] == {"contents": "read"} | MORE.get(name, {}), name
        assert job["timeout-minutes"] <= 90, name
        for step in steps(job):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_a_job_that_writes_to_github_has_no_secret_and_those_with_secrets_name_an_environment() -> None:
    having = {name for name, job in JOBS.items() if SECRET.search(str(job))}
    assert having == {"preview/engine-prod", "deploy/prod", "drift/prod"}
    assert not having & set(MORE)
    assert {name: JOBS[name]["environment"] for name in having} == {
        "preview/engine-prod": "preview",
        "deploy/prod": "production",
        "drift/prod": "preview",
    }


def test_a_secret_reaches_a_step_by_its_environment_only() -> None:
    for name, job in JOBS.items():
        for step in steps(job):
            rest = {key: value for key, value in step.items() if key != "env"}
            assert "secrets." not in str(rest), f"{name}: {step}"
    for where, text in commands().items():
        assert "${{" not in text, f"{where}: an expression becomes part of the shell's text"
        assert "--show-secrets" not in text, where
        assert not re.search(r"\bset -\w*x", text), where


def test_what_runs_only_where_it_is_switched_on_leaves_a_bare_repository_green() -> None:
    for name in ("preview/engine-dev", "deploy/dev", "deploy/prod", "drift/dev", "drift/prod"):
        stack = name.rpartition("/")[2].removeprefix("engine-").upper()
        assert f"vars.DEPLOY_{stack} == 'true'" in JOBS[name]["if"], name
    engine = JOBS["preview/engine-prod"]
    assert all("env.CREDENTIALS == 'true'" in step["if"] for step in steps(engine))


def test_a_fork_gets_no_job_with_secrets_with_a_token_that_writes_or_on_our_own_machine() -> None:
    own = "github.event.pull_request.head.repo.full_name == github.repository"
    for name, job in JOBS.items():
        if name.startswith("preview/") and name != "preview/words":
            assert own in job["if"], name
    assert "if" not in JOBS["preview/words"]
    assert all("self-hosted" not in job["runs-on"] for name, job in JOBS.items() if name.startswith("checks/"))


def test_one_deployment_of_a_stack_at_a_time_and_none_is_broken_off() -> None:
    for stack in ("dev", "prod"):
        assert JOBS[f"deploy/{stack}"]["concurrency"] == {"group": f"deploy-{stack}", "cancel-in-progress": False}


def test_every_verb_and_stack_that_is_named_exists() -> None:
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.sub(r"(^|\s)#.*|apt-get install.*", "", "\n".join(commands().values()))
    verbs = set(re.findall(r"\bmake ([a-z][\w-]*)", code))
    assert {"lint", "test", "preview", "policies", "up"} <= verbs <= rules
    named = re.findall(
        r"(?:STACK=|--stack |engine\.sh (?:preview|drift|up) |drift\.sh |for stack in )([a-z][a-z ]*)", code
    )
    stacks = {stack for words in named for stack in words.split()}
    assert stacks == {path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml")} - {"test"}


def test_the_engine_is_of_the_release_of_its_sdk() -> None:
    sdk = re.search(r'"pulumi==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert sdk
    versions = [
        step["with"]["pulumi-version"]
        for job in JOBS.values()
        for step in steps(job)
        if "pulumi/actions" in step.get("uses", "")
    ]
    assert set(versions) == {sdk[1]}
    # A job that runs the engine has it.
    for job in JOBS.values():
        runs = [step for step in steps(job) if re.search(r"(engine|drift)\.sh", step.get("run", ""))]
        assert bool(runs) == any("pulumi/actions" in step.get("uses", "") for step in steps(job))


def test_contributing_names_what_the_workflows_ask_of_github() -> None:
    page = ROOT / "CONTRIBUTING.md"
    text = page.read_text()
    whole = "".join(path.read_text() for path in (GITHUB / "workflows").glob("*.yml"))
    asked = set(re.findall(r"\b(?:secrets|vars)\.(\w+)", whole)) | {
        job["environment"] for job in JOBS.values() if "environment" in job
    }
    assert {"DEPLOY_PROD", "KUBECONFIG", "production"} <= asked
    assert [name for name in asked | {"monitoring-dev"} if f"`{name}`" not in text and f"`{name} " not in text] == []
    assert list(broken(page)) == []
