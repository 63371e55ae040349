"""`make preview`: what real edits of the description come out as, in words, objects and lines."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.settings import ROOT
from operate.preview import report, sides
from tests.unit.conftest import STAKING, Edit

SECRET = "hunter2-hunter2-hunter2"  # noqa: S105 - made up

ADDED = f"services:\n{STAKING}\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@exchange.com")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(project: Path) -> Path:
    """The description and the program that renders it, committed as `main`."""
    for room in ("infra", "operate", "policies", "simulator"):
        shutil.copytree(ROOT / room, project / room, ignore=shutil.ignore_patterns("__pycache__"))
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=before")
    return project


def preview(repository: Path, stack: str) -> str:
    return report.markdown(stack, "main", *sides.both(stack, "main", repository))


def test_words_of_many_edits(repository: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PASSWORD", SECRET)
    rules = "configs/prometheus/rules/warning.yml"
    edit("configs/prometheus/thresholds.yml", "HighErrorRate: {threshold: 0.05", "HighErrorRate: {threshold: 0.07")
    edit("configs/services.yaml", "services:\n", ADDED)
    edit(
        "configs/services.yaml",
        "    description: Deposits, withdrawals, hot wallets and the ledger.\n",
        "    description: Deposits, withdrawals, hot wallets and the ledger.\n"
        "    alerts:\n"
        "      APILatencyWarning: {threshold: 1.5}\n"
        '      LowCacheHitRate: {mute: "a cold cache until Friday"}\n',
    )
    edit(
        rules,
        "for: 10m\n        keep_firing_for: 5m\n        labels: {severity: warning,",
        "for: 5m\n        keep_firing_for: 5m\n        labels: {severity: critical,",
    )
    edit(rules, "takes {{ $value | humanizeDuration }} or more for", "needs {{ $value | humanizeDuration }} for")
    edit(rules, "job:http_requests:rate5m > 0.1\n", "job:http_requests:rate5m > 0.2\n")
    edit("configs/prometheus/rules/info.yml", "ServiceVersionChanged", "ServiceReleased")
    edit("Pulumi.prod.yaml", "loki: {cpu: 0.5, cpuLimit: 2, memory: 2Gi", "loki: {cpu: 0.5, cpuLimit: 2, memory: 3Gi")
    text = preview(repository, "prod")
    for words in (
        "**HighErrorRate**: threshold 0.05 → 0.07 ratio for all services",
        "**APILatencyWarning**: threshold 1 → 1.5 seconds for wallet-service",
        "**LowCacheHitRate**: muted for wallet-service: a cold cache until Friday",
        "**HighErrorRateWarning**: `for` 10m → 5m",
        "**HighErrorRateWarning**: severity warning → critical",
        "**APILatencyWarning**: its expression changes, as the lines below show",
        "**APILatencyWarning**: what it says changes: summary",
        "gone: **ServiceVersionChanged**; nothing tells of this any more",
        "new: **ServiceReleased** (info",
        "`StatefulSet/monitoring/loki` changes: its pods are replaced one after the other",
        "\n-            memory: 2Gi\n+            memory: 3Gi",
        "+- job_name: staking-service",
    ):
        assert words in text, words
    assert "- `app-performance` changes “" in text, "a threshold is a line in its dashboard"
    assert "PodDisruptionBudget" not in text, "what does not change is not told of"
    assert SECRET not in text


def test_words_of_the_reverse(repository: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "services:\n", ADDED)
    git(repository, "commit", "--quiet", "--all", "--message=one more")
    edit("configs/services.yaml", ADDED, "services:\n")
    edit(
        "Pulumi.dev.yaml",
        "monitoring:environment: dev\n",
        "monitoring:environment: dev\n  monitoring:retentionDays: 45\n",
    )
    text = preview(repository, "dev")
    assert "- `service staking-service` is removed" in text
    assert "+- --storage.tsdb.retention.time=45d" in text
    assert str(repository) not in text, "a reviewer does not care where the checkout lies"


def test_nothing_changes(repository: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "# The catalog:", "# A comment.\n# The catalog:")
    assert preview(repository, "dev") == "## dev\n\nNothing changes against main.\n"


def test_a_commit_that_is_unknown_or_does_not_render(repository: Path, edit: Edit) -> None:
    with pytest.raises(InputError, match="BASE=elsewhere is no commit of this repository"):
        sides.both("prod", "elsewhere", repository)
    edit("configs/services.yaml", "team: finance", "team: financial")
    git(repository, "commit", "--quiet", "--all", "--message=broken")
    edit("configs/services.yaml", "team: financial", "team: finance")
    with pytest.raises(InputError, match=r"HEAD does not render stack prod: .*financial.* Name another BASE"):
        sides.both("prod", "HEAD", repository)


def test_the_programs_own_edits_by_the_command(repository: Path, edit: Edit) -> None:
    edit("infra/versions.py", "grafana/loki:", "grafana/loki-canary:")
    command = [sys.executable, "-m", "operate", "--stack", "prod", "preview", "--base", "main"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "`StatefulSet/monitoring/loki` changes: its pods are replaced" in done.stdout
    assert "image: grafana/loki-canary:" in done.stdout


def test_bad_input_is_one_sentence(repository: Path, edit: Edit) -> None:
    edit("Pulumi.prod.yaml", "monitoring:webUser", "monitoring:webUsr")
    command = [sys.executable, "-m", "operate", "--stack", "prod", "preview", "--base", "main"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: Pulumi.prod.yaml: ")
    assert len(done.stderr.splitlines()) == 1
