"""The scene in which a block of Prometheus' history is damaged: first its samples, then its index."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from operate import tools
from tests.alerting.scene import Scene
from tests.fire.stage import FIRST, SECOND, stage

# Hours ago: inside the day that error budgets look back on, and older than what Prometheus holds in memory.
_FROM, _TO = 7, 4
_STEP = 60
_SERIES = f'service:http_requests:rate5m{{service="{FIRST}",team="compliance",tier="standard"}}'


@dataclass(frozen=True)
class DamagedBlock:
    """Seconds, and what was said."""

    answers_when_well: bool
    refused: str  # what a query over damaged samples is answered
    failures: float  # evaluations of rules that failed in those seconds
    watched: float
    page: float | None  # of a service that stopped with damaged samples
    starts_without_index: bool
    said: str
    blind: float  # from that start until rules are evaluated, the block having been moved away


def damaged_block(folder: Path) -> DamagedBlock:
    """A disk that gives back other bytes than were written."""
    data = folder / "prometheus/prometheus"
    _write_history(folder, data)
    with stage(folder) as found:
        platform = found.platform
        since = f"count_over_time({_SERIES}[{_FROM + 1}h])"
        well = bool(found.query(since))
        platform.kill("prometheus")
        for block in _blocks(data):
            chunks = block / "chunks/000001"
            with chunks.open("r+b") as file:
                file.seek(chunks.stat().st_size // 2)
                file.write(os.urandom(64))
        platform.start("prometheus")
        started = time.time()
        assert found.blind(started) < 60
        second = found.stop(SECOND)
        page = found.paged(SECOND, second)
        url = f"{platform.prometheus_url}/api/v1/query"
        refused = str(requests.get(url, params={"query": since}, timeout=10).json().get("error", ""))
        watched = time.time() - started
        failures = found.metric("prometheus_rule_evaluation_failures_total")
        platform.kill("prometheus")
        broken = _blocks(data)[0]
        index = broken / "index"
        os.truncate(index, index.stat().st_size // 2)
        fault = time.time()
        try:
            platform.start("prometheus")
            starts, said = True, platform.log("prometheus")
        except AssertionError as error:
            starts, said = False, str(error)
            broken.rename(folder / broken.name)
            platform.start("prometheus")
        blind = found.blind(fault)
        return DamagedBlock(
            answers_when_well=well,
            refused=refused,
            failures=failures,
            watched=watched,
            page=page,
            starts_without_index=starts,
            said=said,
            blind=blind,
        )


def _blocks(data: Path) -> list[Path]:
    return sorted(path.parent for path in data.glob("*/meta.json"))


def _write_history(folder: Path, data: Path) -> None:
    """Hours of a recorded series, as Prometheus would have them in its blocks."""
    now = int(time.time())
    lines = [f"{_SERIES} {20 + moment % 7} {moment}" for moment in range(now - _FROM * 3600, now - _TO * 3600, _STEP)]
    source = folder / "history.om"
    source.write_text("\n".join([*lines, "# EOF\n"]))
    made = folder / "blocks"
    command = (tools.ensure("promtool"), "tsdb", "create-blocks-from", "openmetrics", source, made)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    data.mkdir(parents=True)
    for block in made.iterdir():
        shutil.move(block, data / block.name)


BLOCK = Scene(damaged_block)
