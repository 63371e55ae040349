"""Backup and restore as docs/K8S_DEPLOYMENT.md says: a volume is lost, and what was on it comes back.

Prometheus writes its first block three hours after it starts. The tests put one of yesterday into a replica.
"""

import json
import os
import random
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.settings import ROOT
from infra.surroundings import NAMESPACE
from tests.conftest import Figure
from tests.kubernetes.live import STACK, Live, Object, path_without_pulumi
from tests.markdown import CHANGES, commands
from tests.running import eventually, starting

PAGE = ROOT / "docs/K8S_DEPLOYMENT.md"
SERIES, STEP, SPAN = 20, 60, 6 * 3600
# A running Prometheus looks for blocks once a minute.
LOADED_WITHIN = 120
COMMENT = "it comes back"
# Reads lines of OpenMetrics; promtool works in TMPDIR, and the container's own disk is read-only.
BLOCKS = """
set -e
mkdir -p .yesterday && cat >.yesterday/lines
TMPDIR=.yesterday promtool tsdb create-blocks-from openmetrics .yesterday/lines .yesterday/blocks >/dev/null
mv .yesterday/blocks/01* . && rm -rf .yesterday
"""


def documented(heading: str) -> list[str]:
    """The commands that change something in a section of the page."""
    lines = PAGE.read_text().splitlines()
    start = lines.index(f"## {heading}") + 1
    end = next((n for n, line in enumerate(lines[start:], start + 1) if line.startswith("## ")), len(lines) + 1)
    return [command.text for command in commands(PAGE) if start < command.line < end and command.mark == CHANGES]


def run(live: Live, command: str, folder: Path) -> None:
    """Run a command of the page on this stack, with this folder as the backup."""
    command = re.sub(r"\b(STACK)=prod\b", rf"\1={STACK}", command)
    command = re.sub(r"\b(TO|FROM)=\S+", lambda match: f"{match[1]}={shlex.quote(str(folder))}", command)
    path = f"{Path(live.cluster.kubectl).parent}:{path_without_pulumi()}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(live.cluster.kubeconfig)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def yesterday(run: str) -> str:
    """Lines of OpenMetrics: some series of a few hours, a day ago, with the run as a label."""
    start = (int(time.time()) // 7200 - 12) * 7200
    moments = range(start, start + SPAN, STEP)
    lines = [
        f'backup_trial{{run="{run}",series="{series}"}} {random.random():.3f} {moment}'  # noqa: S311
        for series in range(SERIES)
        for moment in moments
    ]
    return "\n".join(["# TYPE backup_trial gauge", *lines, "# EOF", ""])


def silences(live: Live) -> list[Object]:
    """The silences that hold, without what Alertmanager gives them."""
    found = live.request(NAMESPACE, "alertmanager-1", 9093, "/api/v2/silences").json()
    return [
        {key: each[key] for key in ("matchers", "comment", "endsAt")}
        for each in found
        if each["status"]["state"] == "active"
    ]


def lines_of(live: Live, at: float) -> set[tuple[str, str]] | None:
    """The lines that Loki has of the two minutes before a Unix time; None while it does not answer."""
    params = {"query": '{service_name=~".+"}', "start": at - 120, "end": at, "limit": 5000}
    answer = live.request(NAMESPACE, "loki-0", 3100, "/loki/api/v1/query_range", params=params, signed_in=False)
    if not answer.ok:
        return None
    return {(moment, line) for stream in answer.json()["data"]["result"] for moment, line, *_ in stream["values"]}


def written(live: Live) -> float:
    """Have Loki write what it has with its index, as when it starts; the Unix time up to which all is written."""
    # What the collectors had not sent by now is in memory afterwards.
    at = time.time() - 30
    assert live.request(NAMESPACE, "loki-0", 3100, "/flush", method="POST", signed_in=False).ok
    assert live.exec(NAMESPACE, "loki-0", "sh", "-c", "touch /loki/.flushed").returncode == 0
    live.kubectl("delete", "pod", "loki-0", f"--namespace={NAMESPACE}")
    find = ("sh", "-c", "find /loki/chunks/index/index_* -name '*.gz' -newer /loki/.flushed")
    eventually("Loki has written its index", lambda: live.exec(NAMESPACE, "loki-0", *find).stdout, seconds=90)
    eventually("Loki answers", lambda: lines_of(live, at), seconds=60)
    return at


@pytest.fixture
def silence(live: Live) -> Iterator[str]:
    """The id of a silence for an hour, which is gone at the end however often it was set."""
    now = datetime.now(UTC)
    matcher = {"name": "alertname", "value": "BackupTrial", "isRegex": False, "isEqual": True}
    body = {
        "matchers": [matcher],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "tests",
        "comment": COMMENT,
    }
    answer = live.request(NAMESPACE, "alertmanager-0", 9093, "/api/v2/silences", method="POST", body=body)
    yield str(answer.json()["silenceID"])
    for each in live.request(NAMESPACE, "alertmanager-0", 9093, "/api/v2/silences").json():
        if each["comment"] == COMMENT and each["status"]["state"] != "expired":
            live.request(NAMESPACE, "alertmanager-0", 9093, f"/api/v2/silence/{each['id']}", method="DELETE")


# A connection to the Loki that goes is cut in the thread that forwards it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_was_on_a_lost_volume_comes_back(live: Live, silence: str, tmp_path: Path, figure: Figure) -> None:
    (backup,) = documented("Back up")
    trial = f'sum(count_over_time(backup_trial{{run="{tmp_path.name}"}}[2d]))'
    *replacing, restore = documented("Replace a lost volume, and restore")
    assert "make backup" in backup
    assert "make restore" in restore
    inside = ("exec", "--stdin", f"--namespace={NAMESPACE}", "prometheus-0", "--container=prometheus", "--")
    made = live.run_kubectl(*inside, "sh", "-c", BLOCKS, text=yesterday(tmp_path.name))
    assert made.returncode == 0, made.stderr
    at = written(live)
    logged, silenced = lines_of(live, at), silences(live)
    assert logged
    assert any(each["comment"] == COMMENT for each in silenced)

    start = time.monotonic()
    run(live, backup, tmp_path)
    saved = time.monotonic() - start
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert live.request(NAMESPACE, "alertmanager-0", 9093, f"/api/v2/silence/{silence}", method="DELETE").ok
    with starting():
        start = time.monotonic()
        *lost, up = replacing
        for command in lost:
            run(live, command, tmp_path)
            run(live, command.replace("prometheus", "loki").replace("loki-1", "loki-0"), tmp_path)
        run(live, up, tmp_path)
        replaced = time.monotonic() - start
    assert live.value(trial, 1) is None
    # The collector sends again what Loki did not confirm.
    assert logged - (lines_of(live, at) or set())

    start = time.monotonic()
    run(live, restore, tmp_path)
    restored = time.monotonic() - start
    eventually("the blocks are loaded", lambda: live.tried_query(trial, 1), seconds=LOADED_WITHIN)
    assert live.value(trial, 1) == live.value(trial, 0) == SERIES * SPAN / STEP
    # It looks for what is new in its index when it starts, and every 5 minutes.
    live.kubectl("delete", "pod", "loki-0", f"--namespace={NAMESPACE}")
    eventually("the log lines are back", lambda: (lines_of(live, at) or set()) >= logged, seconds=LOADED_WITHIN)
    assert [each for each in silenced if each not in silences(live)] == []
    left = live.exec(NAMESPACE, "prometheus-1", "sh", "-c", "ls -a /prometheus", container="prometheus").stdout
    assert not re.search(r"\.(backup|restore|yesterday)", left)
    figure(
        f"cluster: backup {saved:.0f} s ({size / 1e6:.1f} MB), two volumes replaced {replaced:.0f} s, restore "
        f"{restored:.0f} s; {SERIES * SPAN // STEP} samples, {len(logged)} lines and {len(silenced)} silences are back"
    )


def test_a_damaged_backup_changes_nothing(live: Live, tmp_path: Path) -> None:
    (tmp_path / "loki.tar.gz").write_bytes(b"\x1f\x8b\x08\x00 cut short")
    (tmp_path / "silences.json").write_text(json.dumps([]))
    before = live.get("pod", "loki-0", f"--namespace={NAMESPACE}")[0]["metadata"]["uid"]
    restore = documented("Replace a lost volume, and restore")[-1]
    with pytest.raises(AssertionError, match="is not whole"):
        run(live, restore, tmp_path)
    assert live.get("pod", "loki-0", f"--namespace={NAMESPACE}")[0]["metadata"]["uid"] == before
    assert live.get("pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=copier") == []
