"""Writes the generated month into a data directory, with what rules would have recorded, and serves it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from infra.errors import InputError
from operate import promql
from operate.dashboards import history
from operate.dashboards.history import DAY, END, START, Series
from operate.quiet_week.tsdb import serve
from operate.replay import Rule

# Prometheus' largest block at the retention of 30 days; the compactor would join them during a measurement.
_BLOCK_HOURS = 54
_NO_COMPACTION = tuple(f"--storage.tsdb.{which}-block-duration={_BLOCK_HOURS}h" for which in ("min", "max"))
_SAMPLE_SECONDS = 7200
# What one was seen to take, and a fifth for the index.
_SAMPLE_BYTES = 3.6
_OFFSET = re.compile(r"\boffset\s+-?\w+")


@dataclass(frozen=True)
class Month:
    """Blocks below `folder`; `generator` and `prometheus` are the programs."""

    folder: Path
    generator: Path
    prometheus: Path

    def write(self, series: Iterable[Series], start: int = START) -> None:
        """Write series from `start` (Unix seconds) to the end of the month."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        series = list(series)
        needed = sum((END - start) / one.interval for one in series) * _SAMPLE_BYTES
        if shutil.disk_usage(data).free < needed:
            raise InputError(
                f"{data}: {needed / 1e9:.0f} GB must be free for the generated month; set TMPDIR to a folder on a "
                "larger disk."
            )
        span = {"start": start * 1000, "end": END * 1000, "block": _BLOCK_HOURS * 3_600_000}
        text = "\n".join([json.dumps(span), *(one.line for one in series)])
        done = subprocess.run([self.generator, str(data)], input=text, text=True, check=False, stderr=subprocess.PIPE)
        if done.returncode:
            raise InputError(f"generated blocks cannot be written: {done.stderr.strip()}; correct operate/dashboards.")

    def serve(self) -> AbstractContextManager[str]:
        """The address of a Prometheus over the blocks."""
        return serve(self.folder, self.prometheus, 15, *_NO_COMPACTION)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def samples(self) -> int:
        """Samples in all blocks."""
        metas = (json.loads(path.read_text()) for path in self.folder.glob("data/*/meta.json"))
        return sum(int(meta["stats"]["numSamples"]) for meta in metas)


def recorded(sample: Month, scraped: Sequence[Series], rules: Iterable[Rule], wanted: set[str]) -> list[Series]:
    """The series the wanted recording rules make of the scraped ones, each after what it reads.

    Their labels and values come from one evaluation over two hours written into `sample`, in which all that comes and
    goes is there.
    """
    pending = [rule for rule in rules if not rule.alerting and rule.name in wanted]
    fresh, found = list(scraped), []
    while pending:
        waiting = {rule.name for rule in pending}
        ready = [rule for rule in pending if not promql.names(rule.expr) & waiting]
        if not ready:
            raise InputError(f"recording rules read each other: {', '.join(sorted(waiting))}; break the circle.")
        sample.write((replace(one, phase=0.0, every=0.0) for one in fresh), END - _SAMPLE_SECONDS)
        with sample.serve() as url:
            fresh = [series for rule in ready for series in _evaluated(url, rule)]
        found += fresh
        pending = [rule for rule in pending if rule not in ready]
    return found


def _evaluated(url: str, rule: Rule) -> list[Series]:
    # Two hours have no past to compare with; for labels the present does as well. Only what records a change, such as
    # that an alert began to fire, then says nothing: it needs a past in which there was nothing.
    found = _instant(url, rule, _OFFSET.sub("", rule.expr))
    if found or not _OFFSET.search(rule.expr):
        return found
    changed = _instant(url, rule, _OFFSET.sub(f"offset {_SAMPLE_SECONDS}s", rule.expr))
    return [replace(one, every=DAY, lasts=one.interval) for one in changed]


def _instant(url: str, rule: Rule, expr: str) -> list[Series]:
    form: dict[str, str | int] = {"query": expr, "time": END - 1}
    answer = requests.post(f"{url}/api/v1/query", data=form, timeout=120).json()
    if answer["status"] != "success":
        raise InputError(f"rule {rule.name}: Prometheus refuses its expression: {answer['error']}; correct the rule.")
    series = {}
    for result in answer["data"]["result"]:
        labels = {**{key: value for key, value in result["metric"].items() if key != "__name__"}, **rule.labels}
        value = float(result["value"][1])
        if abs(value) < float("inf"):
            series[tuple(sorted(labels.items()))] = history.recorded(rule, labels, value)
    return list(series.values())
