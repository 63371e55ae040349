"""A real Prometheus that scrapes nothing and serves what was written into its blocks."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import requests

from infra import documents
from infra.errors import InputError
from operate.quiet_week.shapes import Labels
from operate.quiet_week.week import Array

_START_SECONDS = 60.0
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True)
class Tsdb:
    """Blocks in `folder`, written by `promtool` and served by `prometheus`.

    A sample counts as the present value for less than `lookback` seconds. A block cannot hold the staleness markers
    by which Prometheus ends a series at its first missed scrape; a lookback of one scrape interval ends it then.
    """

    folder: Path
    prometheus: Path
    promtool: Path
    lookback: float
    interval: float

    @property
    def data(self) -> Path:
        """Where the blocks lie."""
        return self.folder / "data"

    def write(self, times: Array, series: Iterable[tuple[Labels, Array]]) -> tuple[int, int]:
        """Write series sampled at `times` (Unix seconds; NaN is no sample) as one block; counts of series and samples.

        Safe to call from several processes at once. Prometheus sees the block when it starts.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        stamps = [f" {stamp:.3f}\n".replace(".000\n", "\n") for stamp in times.tolist()]
        counts = [0, 0]
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".om", buffering=1 << 20) as file:
            for labels, values in series:
                written = _lines(file, labels, values, stamps)
                counts[0] += written > 0
                counts[1] += written
            file.write("# EOF\n")
            file.flush()
            if counts[1]:
                self._create(file.name)
        return counts[0], counts[1]

    def _create(self, file: str) -> None:
        # The longest block there is: promtool reads its whole input again for every block it makes.
        options = ("--quiet", "--max-block-duration=486h")
        command = [str(self.promtool), "tsdb", "create-blocks-from", *options, "openmetrics", file, str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"promtool refuses generated samples: {done.stderr.strip()}; correct operate/quiet_week.")

    def serve(self) -> AbstractContextManager[str]:
        """Start Prometheus on loopback and give its address; it is stopped on the way out."""
        lookback = f"--query.lookback-delta={self.lookback * 1000 - 1:.0f}ms"
        # Prometheus 2 still sees a sample that is exactly as old as its lookback.
        return serve(self.folder, self.prometheus, self.interval, lookback)


@contextmanager
def serve(folder: Path, prometheus: Path, interval: float, *options: str) -> Iterator[str]:
    """Start Prometheus on loopback over the blocks in folder/data and give its address; it is stopped on the way out.

    `interval` is the evaluation interval in seconds.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "prometheus.yml"
    config.write_text(documents.dump({"global": {"evaluation_interval": f"{interval:g}s"}}))
    log = folder / "prometheus.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [
                prometheus,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                # What is served lies at a fixed date of the past.
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={address}",
                "--query.timeout=10m",
                "--query.max-samples=500000000",
                "--log.level=warn",
                *options,
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, f"http://{address}/-/ready", log)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise InputError(f"the Prometheus over generated samples did not start: {log.read_text().strip()[-500:]}")


def _lines(file: IO[str], labels: Labels, values: Array, stamps: list[str]) -> int:
    present = np.flatnonzero(~np.isnan(values))
    if not present.size:
        return 0
    pairs = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items() if key != "__name__")
    head = f"{labels['__name__']}{{{pairs}}} "
    kept = values[present]
    moments = stamps if present.size == len(stamps) else [stamps[index] for index in present.tolist()]
    if np.all(kept == kept[0]):
        # A constant is joined without formatting each of its samples.
        start = f"{head}{float(kept[0])!r}"
        file.write(start)
        file.write(start.join(moments))
    else:
        file.write("".join([f"{head}{value!r}{moment}" for value, moment in zip(kept.tolist(), moments, strict=True)]))
    return int(present.size)
