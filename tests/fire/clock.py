"""The scenes in which a machine's clock is set while everything runs: the platform's own, or that of another node."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from operate import tools
from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import EXPORTER, FIRST, FULL, SECOND, Stage, stage
from tests.fire.vdso import set_clock
from tests.unit.loopback import LOOPBACK, closed_port

# Seconds after the jump in which what it wrongly tells would arrive.
_LISTENS = 120 if FULL else 60


@dataclass(frozen=True)
class Jumped:
    """With `FIRST` paged for, all programs' clock was set as `SECOND` stopped. Real seconds, and counts."""

    jump: float
    page: float | None  # of SECOND
    blind: float  # until a sample of the new time is recorded and rules are evaluated on it
    pages: dict[str, int]
    ends: int  # of FIRST, which had not ended
    others: list[str]  # titles of other pages
    refused: float  # samples that Prometheus would not record
    heart_stopped: float | None


def _jumped(folder: Path, jump: float, listens: float) -> Jumped:
    with stage(folder) as found:
        platform = found.platform
        first = found.stop(FIRST)
        assert found.paged(FIRST, first) is not None
        second = found.stop(SECOND)
        for process in platform.processes.values():
            set_clock(process.pid, jump)
        jumped = time.time()
        stopped: list[float] = []

        def seen() -> bool:
            if not stopped and not platform.inbox.heart()["beating"]:
                stopped.append(time.time() - jumped)
            return _alerts_at(found, jumped + max(0.0, jump))

        wait_for(seen, listens)
        blind = time.time() - jumped if _alerts_at(found, jumped + max(0.0, jump)) else float("nan")
        page = found.paged(SECOND, second, 90)
        wait_for(lambda: time.time() - jumped > listens, listens)
        kept = platform.inbox.kept(channel="pagerduty", status="firing")
        titles = [each["title"] for each in kept]
        return Jumped(
            jump=jump,
            page=page,
            blind=blind,
            pages={name: len(found.told(name)) for name in (FIRST, SECOND)},
            ends=len(found.told(FIRST, "resolved")),
            others=[title for title in titles if FIRST not in title and SECOND not in title],
            refused=_refused(found),
            heart_stopped=next(iter(stopped), None),
        )


def _alerts_at(found: Stage, moment: float) -> bool:
    """Whether rules were evaluated on what was recorded after a moment of the programs' time."""
    url, query = f"{found.platform.prometheus_url}/api/v1/query", "min(timestamp(service:down))"
    try:
        answer = requests.get(url, params={"query": query}, timeout=5).json()["data"]["result"]
    except requests.RequestException:
        return False
    return bool(answer) and float(answer[0]["value"][1]) > moment


def _refused(found: Stage) -> float:
    names = ("prometheus_tsdb_out_of_order_samples_total", "prometheus_tsdb_out_of_bound_samples_total")
    return sum(found.metric(name) for name in names)


def forwards(folder: Path) -> Jumped:
    """An hour ahead."""
    return _jumped(folder, 3600, _LISTENS)


def backwards(folder: Path) -> Jumped:
    """Half a minute back, or as long as the heartbeat's receiver needs to notice."""
    jump = 900 if FULL else 30
    return _jumped(folder, -jump, jump + 45)


@dataclass(frozen=True)
class Compared:
    """The clock of a node was set that this Prometheus does not run on. Seconds; None for what did not come."""

    jump: float
    deviates: float  # by what Prometheus recorded
    pending: float | None
    page: float | None  # in the long form
    others: list[str]  # titles of other pages


@contextmanager
def _node() -> Iterator[tuple[str, int]]:
    """A node exporter: where it answers, and its process."""
    place = f"{LOOPBACK}:{closed_port()}"
    command = [str(tools.ensure("node_exporter")), "--collector.disable-defaults", "--collector.time"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, f"--web.listen-address={place}"], stdout=quiet, stderr=quiet) as process:
        try:
            yield place, process.pid
        finally:
            process.terminate()


def other_node(folder: Path) -> Compared:
    """As far back as a Prometheus there would be blind in BACKWARDS."""
    alert, jump = "HostClockSkewed", -900.0
    with _node() as (place, process), stage(folder, instead={EXPORTER: place}) as found:
        set_clock(process, jump)
        since = time.time()
        seen = f'ALERTS{{alertname="{alert}"}}'
        wait_for(lambda: bool(found.query(seen)), 75)
        pending = time.time() - since if found.query(seen) else None
        deviates = found.query("instance:node_clock_deviation:seconds")
        page = found.paged("host", since, 240, alert=alert) if FULL else None
        titles = [each["title"] for each in found.platform.inbox.kept(channel="pagerduty", status="firing")]
        return Compared(
            jump=jump,
            deviates=float(deviates[0]["value"][1]) if deviates else float("nan"),
            pending=pending,
            page=page,
            others=[title for title in titles if alert not in title],
        )


FORWARDS = Scene(forwards)
BACKWARDS = Scene(backwards)
OTHER_NODE = Scene(other_node)
