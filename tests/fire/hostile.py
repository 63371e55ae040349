"""Scrape targets that answer with too much, too slowly or not at all, and what they do to everybody else."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from infra import assembly
from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import FULL, SECOND, Stage, resident_bytes, stage
from tests.unit.loopback import LOOPBACK

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n"
# Seconds; in the long form until the alerts about exporters, which wait for 5 minutes, are told. Not for longer: what
# gives other series each time is bounded by no limit of a scrape, and takes all memory in ten minutes.
_LASTS = 345 if FULL else 45
MIB = 2**20
Answer = Callable[[socket.socket], None]


def _sends(page: Callable[[], bytes]) -> Answer:
    return lambda client: client.sendall(_HEAD + page())


def _nothing(_client: socket.socket) -> None:
    time.sleep(30)


def _a_byte_a_second(client: socket.socket) -> None:
    client.sendall(_HEAD)
    for _ in range(60):
        client.sendall(b"#")
        time.sleep(1)


def _fifty_mib() -> bytes:
    line = b"# HELP " + b"x" * 92 + b"\n"
    return line * (50 * MIB // len(line))


def _many_series(count: int) -> bytes:
    return b"".join(b'many{n="%d"} 1\n' % number for number in range(count))


def _long_value() -> bytes:
    return b'long{value="' + b"x" * MIB + b'"} 1\n'


def _many_labels() -> bytes:
    return b"wide{" + b",".join(b'l%d="v"' % number for number in range(10_000)) + b"} 1\n"


_turns = itertools.count()


def _new_each_time() -> bytes:
    turn = next(_turns)
    return b"".join(b'changing{request="%d-%d"} 1\n' % (turn, number) for number in range(5_000))


# By what it does.
BIG, MANY, LONG, WIDE = "a page of 50 MiB", "a page of a million series", "a label value of 1 MiB", "10,000 labels"
SERIES = "a page of 100,000 series"
SILENT, SLOW, CHANGING = "no answer", "a byte a second", "5,000 series, others each time"
# The exporter whose place each takes.
_ADDRESSES = {
    BIG: "exchange-control:9100",
    MANY: "loki:3100",
    SERIES: "postgres-primary-exporter:9187",
    LONG: "log-collector:8888",
    WIDE: "cadvisor:8080",
    SILENT: "node-exporter:9100",
    SLOW: "postgres-replica-exporter:9187",
    CHANGING: "redis-exporter:9121",
}


def _answers() -> dict[str, Answer]:
    big, many, series = _fifty_mib(), _many_series(1_000_000), _many_series(100_000)
    return {
        BIG: _sends(lambda: big),
        MANY: _sends(lambda: many),
        SERIES: _sends(lambda: series),
        LONG: _sends(_long_value),
        WIDE: _sends(_many_labels),
        SILENT: _nothing,
        SLOW: _a_byte_a_second,
        CHANGING: _sends(_new_each_time),
    }


class Target:
    """A service's page that is well until it is `hostile`."""

    def __init__(self, answer: Answer) -> None:
        self.hostile = False
        self._answer, self._ended = answer, threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0), backlog=64)
        self._listener.settimeout(0.2)
        self.place = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._ended.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Whoever asked may be gone.
        with client, suppress(OSError):
            client.recv(65536)
            if self.hostile:
                self._answer(client)
            else:
                client.sendall(_HEAD)


@contextmanager
def _targets() -> Iterator[dict[str, Target]]:
    found = {kind: Target(answer) for kind, answer in _answers().items()}
    try:
        yield found
    finally:
        for target in found.values():
            target.close()


@dataclass(frozen=True)
class Endured:
    """What targets did to the others while they were hostile. Seconds, bytes and counts."""

    kinds: tuple[str, ...]
    errors: dict[str, str]  # what Prometheus says of each
    longest_gap: float  # between two scrapes of another target
    missed: float  # evaluations of rules that were left out
    slowest: float  # evaluation of the group whose alerts page
    memory_before: int
    memory_peak: int
    memory_limit: int
    series_before: float
    series_after: float
    page: float | None  # of SECOND, which stopped meanwhile
    told: list[str]  # titles of what was told besides


def all_at_once(folder: Path) -> Endured:
    """Every kind at the same time."""
    with _targets() as targets:
        return _endured(folder, targets, list(targets))


def _endured(folder: Path, targets: dict[str, Target], kinds: Iterable[str]) -> Endured:
    instead = {_ADDRESSES[kind]: target.place for kind, target in targets.items()}
    with stage(folder, instead=instead) as found:
        process = found.platform.processes["prometheus"].pid
        before, series = resident_bytes(process), found.metric("prometheus_tsdb_head_series")
        begun, peak = time.time(), [before]
        for kind in kinds:
            targets[kind].hostile = True
        second = found.stop(SECOND)
        slowest = [0.0]

        def watch() -> bool:
            if found.platform.processes["prometheus"].poll() is None:
                peak.append(resident_bytes(process))
            slowest.append(_slowest(found))
            return False

        wait_for(watch, _LASTS)
        page = found.paged(SECOND, second, 30)
        scraped = _scraped(found)
        instances = {scraped[target.place]["labels"]["instance"] for target in targets.values()}
        kept = found.platform.inbox.kept(status="firing")
        workloads = {workload.name: workload for workload in assembly.workloads(found.platform.stack, environ={})}
        return Endured(
            kinds=tuple(kinds),
            errors={kind: scraped[targets[kind].place]["lastError"] for kind in kinds},
            longest_gap=_gap(found, instances, int(time.time() - begun)),
            missed=found.metric("prometheus_rule_group_iterations_missed_total"),
            slowest=max(slowest),
            memory_before=before,
            memory_peak=max(peak),
            memory_limit=workloads["prometheus"].resources.memory,
            series_before=series,
            series_after=found.metric("prometheus_tsdb_head_series"),
            page=page,
            told=sorted({each["title"] for each in kept if SECOND not in each["title"]}),
        )


def _slowest(found: Stage) -> float:
    name = "prometheus_rule_group_last_duration_seconds"
    try:
        durations = found.platform.metric(found.platform.prometheus_url, name)
    except requests.RequestException:
        return 0.0
    return max((value for labels, value in durations.items() if "rules/critical.yml" in labels), default=0.0)


def _scraped(found: Stage) -> dict[str, Any]:
    """The targets as Prometheus sees them, by the address that it asks."""
    answer = requests.get(f"{found.platform.prometheus_url}/api/v1/targets", timeout=10).json()
    return {target["scrapeUrl"].split("/")[2]: target for target in answer["data"]["activeTargets"]}


def _gap(found: Stage, instances: set[str], seconds: int) -> float:
    """The longest time between two scrapes of a target that is none of these."""
    left = f'{{job!="health",service!="{SECOND}",instance!~"{"|".join(instances)}"}}'
    moments = [[t for t, _ in each["values"]] for each in found.query(f"up{left}[{seconds}s]")]
    return max(float(after - before) for each in moments for before, after in itertools.pairwise(each))


ALL = Scene(all_at_once)
