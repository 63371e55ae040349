"""The scripts behind the workflows, Renovate's patterns and the hooks before a commit."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import versions
from infra.settings import ROOT

SCRIPTS = ROOT / ".github" / "scripts"
# Stands in for the engine: says what it was given, and what it sees of a kubeconfig.
PULUMI = """#!/bin/sh
echo "$@"
echo "backend=$PULUMI_BACKEND_URL token=${PULUMI_ACCESS_TOKEN-none} content=${KUBECONFIG_CONTENT-none}"
[ -z "$KUBECONFIG" ] || { echo "file=$KUBECONFIG"; stat -c mode=%a "$KUBECONFIG"; cat "$KUBECONFIG"; }
[ -z "$LINGER" ] || sleep 60
exit "${STATUS:-0}"
"""
# Stands in for GitHub: answers reads from a file, and notes what is written.
GH = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
method, path = words[words.index("--method") + 1], words[words.index("--method") + 2]
folder = pathlib.Path("{folder}")
if method == "GET":
    print((folder / "there.json").read_text())
else:
    with (folder / "written").open("a") as file:
        file.write(json.dumps([method, path, json.load(sys.stdin)]) + "\\n")
    print("{{}}")
"""
MARK = "<!-- written by .github/scripts/publish.py -->\n"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A repository's scripts and a PATH whose engine only speaks."""
    program(tmp_path, "pulumi", PULUMI)
    (tmp_path / ".github" / "scripts").mkdir(parents=True)
    for path in SCRIPTS.glob("*.sh"):
        program(tmp_path / ".github" / "scripts", path.name, path.read_text())
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }


def run(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / ".github" / "scripts" / script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_kubeconfig_is_a_file_for_its_owner_while_the_engine_runs(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    said = run(tmp_path, "engine.sh", "preview", "prod", **environment, KUBECONFIG_CONTENT="kind: Config").stdout
    assert "mode=600\nkind: Config" in said
    assert "content=none" in said
    (place,) = re.findall(r"file=(\S+)", said)
    assert not Path(place).exists()


def test_the_kubeconfig_is_gone_when_the_job_is_cancelled(tmp_path: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [tmp_path / ".github/scripts/engine.sh", "preview", "prod"],
        env=environment | {"KUBECONFIG_CONTENT": "kind: Config", "LINGER": "yes"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    place = next(line for line in process.stdout if line.startswith("file=")).removeprefix("file=").strip()
    assert Path(place).exists()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(10) != 0
    assert not Path(place).exists()


def test_an_empty_secret_is_none(tmp_path: Path, environment: dict[str, str]) -> None:
    nothing = {"PULUMI_BACKEND_URL": "", "PULUMI_ACCESS_TOKEN": "", "KUBECONFIG_CONTENT": ""}
    said = run(tmp_path, "engine.sh", "preview", "dev", **environment, **nothing).stdout
    assert f"backend=file://{tmp_path}/.pulumi-state token=none content=none" in said
    said = run(tmp_path, "engine.sh", "preview", "dev", **environment, **nothing | {"PULUMI_ACCESS_TOKEN": "t"}).stdout
    assert "backend=https://api.pulumi.com token=t" in said


def test_a_preview_is_held_against_the_policies_and_drift_against_what_runs(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    preview = run(tmp_path, "engine.sh", "preview", "prod", **environment).stdout
    assert preview.startswith("preview --stack prod ")
    assert "--policy-pack policies" in preview
    drift = run(tmp_path, "engine.sh", "drift", "prod", **environment).stdout
    assert "--refresh --expect-no-changes" in drift


@pytest.mark.parametrize(("status", "state", "exit_status"), [(0, "same", 0), (7, "drift", 0), (1, "", 1), (3, "", 3)])
def test_drift_is_told_from_an_engine_that_could_not_look(
    tmp_path: Path, environment: dict[str, str], status: int, state: str, exit_status: int
) -> None:
    output = tmp_path / "output"
    output.touch()
    done = run(tmp_path, "drift.sh", "prod", str(tmp_path / "found"), **environment, STATUS=str(status))
    assert done.returncode == exit_status
    assert output.read_text() == (f"state={state}\n" if state else "")
    assert "preview --stack prod" in (tmp_path / "found").read_text()


def publish(folder: Path, there: list[dict[str, Any]], *arguments: str) -> list[Any]:
    """What is written to GitHub, where it has `there`."""
    program(folder, "gh", GH.format(python=sys.executable, folder=folder))
    (folder / "there.json").write_text(json.dumps([there[:1], there[1:]]))
    written = folder / "written"
    written.unlink(missing_ok=True)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "mycrypto/monitoring"}
    subprocess.run([sys.executable, SCRIPTS / "publish.py", *arguments], env=environment, check=True)
    return [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []


def said_by(login: str, body: str | None, **more: object) -> dict[str, Any]:
    return {"id": 5, "number": 8, "user": {"login": login}, "body": body, "title": "Drift", **more}


BOT, PERSON = "github-actions[bot]", "somebody"


def test_a_pull_request_has_one_comment(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("words")
    others = [said_by(PERSON, MARK), said_by(BOT, "another workflow's"), said_by(BOT, None)]
    first = publish(tmp_path, others, "comment", "12", str(text))
    assert first == [["POST", "repos/mycrypto/monitoring/issues/12/comments", {"body": MARK + "words"}]]
    again = publish(tmp_path, [*others, said_by(BOT, MARK + "old", id=77)], "comment", "12", str(text))
    assert again == [["PATCH", "repos/mycrypto/monitoring/issues/comments/77", {"body": MARK + "words"}]]


def test_drift_has_one_issue_that_closes_when_it_is_gone(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("words")
    others = [said_by(PERSON, MARK), said_by(BOT, MARK, title="Another")]
    ours = [*others, said_by(BOT, MARK + "old", number=9)]
    opened = publish(tmp_path, others, "issue", "Drift", str(text))
    assert opened == [["POST", "repos/mycrypto/monitoring/issues", {"title": "Drift", "body": MARK + "words"}]]
    assert publish(tmp_path, ours, "issue", "Drift", str(text))[0][:2] == [
        "PATCH",
        "repos/mycrypto/monitoring/issues/9",
    ]
    assert publish(tmp_path, ours, "close", "Drift") == [
        ["PATCH", "repos/mycrypto/monitoring/issues/9", {"state": "closed"}]
    ]
    assert publish(tmp_path, others, "close", "Drift") == []


def report(folder: Path, kind: str = "preview") -> str:
    return subprocess.run(
        [sys.executable, SCRIPTS / "report.py", kind, folder], capture_output=True, text=True, check=True
    ).stdout


def test_a_report_begins_with_the_words_and_folds_what_is_long(tmp_path: Path) -> None:
    words = "## prod\n\n**Alerts and thresholds**\n\n- `HighErrorRate` pages from 8 %\n\n```diff\n--- a\n+++ a\n```\n"
    (tmp_path / "words-prod.md").write_text(words)
    (tmp_path / "words-dev.md").write_text("## dev\n\nNothing changes.\n")
    (tmp_path / "engine-prod.txt").write_text("~ update\n```\nnot the end\n")
    text = report(tmp_path)
    open_part, _, folded_part = text.partition("<details>")
    assert open_part.index("Nothing changes.") < open_part.index("`HighErrorRate` pages from 8 %")
    assert "+++ a" not in open_part
    assert "```diff\n--- a\n+++ a\n```\n" in folded_part
    # What is quoted does not end its own fence.
    assert "````\n~ update\n```\nnot the end\n````\n" in folded_part
    assert text.count("<details>") == text.count("</details>") == 2


def test_a_report_fits_a_comment_and_cuts_only_what_is_long(tmp_path: Path) -> None:
    (tmp_path / "words-prod.md").write_text("## prod\n\n- one\n\n```diff\n" + "+ short\n" * 10 + "```\n")
    (tmp_path / "engine-prod.txt").write_text("~ a line of the engine\n" * 9000)
    (tmp_path / "engine-dev.txt").write_text("= dev is short\n")
    text = report(tmp_path)
    assert 50_000 < len(MARK + text) < 65_536
    assert text.count("+ short") == 10
    assert "= dev is short" in text
    assert text.count("more in the job's log") == 1
    assert text.rstrip().endswith("</details>")


def found_by_renovate(manager: dict[str, Any], path: Path) -> list[dict[str, str]]:
    """What a manager's own pattern extracts; Renovate writes (?<name>...) where Python writes (?P<name>...)."""
    patterns = [pattern.replace("(?<", "(?P<") for pattern in manager["matchStrings"]]
    return [match.groupdict() for pattern in patterns for match in re.finditer(pattern, path.read_text())]


def managers_of(place: str) -> list[dict[str, Any]]:
    config = json.loads((ROOT / ".github/renovate.json").read_text())
    named = [
        (manager, pattern.strip("/"))
        for manager in config["customManagers"]
        for pattern in manager["managerFilePatterns"]
    ]
    return [manager for manager, pattern in named if re.search(pattern, place)]


def test_renovate_follows_every_version_that_is_pinned() -> None:
    place = "infra/versions.py"
    found = [item for manager in managers_of(place) for item in found_by_renovate(manager, ROOT / place)]
    images = {f"{item['depName']}:{item['currentValue']}" for item in found if item["datasource"] == "docker"}
    assert images == {image.upstream for image in versions.IMAGES if image.upstream} | {versions.PYTHON_BASE}
    others = {item["currentValue"] for item in found if item["datasource"] != "docker"}
    pinned = {value for name, value in vars(versions).items() if name.endswith("_VERSION")}
    assert others == pinned
    assert len(found) == (ROOT / place).read_text().count("# renovate:")


def test_renovate_follows_the_playbook_and_the_workflows() -> None:
    place = "playbooks/roles/node_exporter/defaults/main.yml"
    (manager,) = managers_of(place)
    exporter = next(image for image in versions.IMAGES if image.name == "node-exporter")
    assert [item["currentValue"] for item in found_by_renovate(manager, ROOT / place)] == [exporter.version]
    place = ".github/workflows/deploy.yml"
    (manager,) = managers_of(place)
    assert len(found_by_renovate(manager, ROOT / place)) == 2


def test_what_the_specification_pins_waits_for_somebody_to_ask() -> None:
    rules = json.loads((ROOT / ".github/renovate.json").read_text())["packageRules"]
    for package in ("prom/prometheus", "grafana/grafana", "prom/alertmanager"):
        said = [rule for rule in rules if package in rule.get("matchPackageNames", [])]
        assert [(rule["matchUpdateTypes"], rule["dependencyDashboardApproval"]) for rule in said] == [
            (["minor", "major"], True)
        ]


def test_the_hooks_download_nothing_and_are_valid() -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}
    assert len(re.findall(r"entry: \.venv/bin/", text)) == len(re.findall(r"- id:", text))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("notes.txt", "-----BEGIN EC PRIVATE" + " KEY-----\nMHcCAQEEIBase64Base64\n", "a private key"),
        ("cluster.yaml", "client-key-" + "data: LS0tLS1CRUdJTiBQUklWQVRF", "a kubeconfig's key"),
        ("env.sh", "export PULUMI_ACCESS_TOKEN=pul-" + "0123456789abcdef" * 2 + "01234567", "a token of Pulumi"),
        ("tls.key", "", "a file of secrets by its name"),
        ("kubeconfig", "", "a file of secrets by its name"),
    ],
)
def test_a_secret_is_refused_before_it_is_committed(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, SCRIPTS / "no_secrets.py", tmp_path / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert words in done.stdout


def test_nothing_in_the_repository_is_refused() -> None:
    rooms = (
        ".ci",
        ".github",
        "configs",
        "docs",
        "images",
        "infra",
        "operate",
        "playbooks",
        "policies",
        "simulator",
        "tests",
    )
    found = [path for room in rooms for path in (ROOT / room).rglob("*") if "__pycache__" not in path.parts]
    built = ROOT / "playbooks/files"
    named = [str(path) for path in (*found, *ROOT.glob("*")) if path.is_file() and built not in path.parents]
    assert len(named) > 400
    done = subprocess.run(
        [sys.executable, SCRIPTS / "no_secrets.py", *named], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
