"""The scene in which no name resolves any more, and the small DNS server that stops answering."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.alerting.scene import Scene, wait_for
from tests.fire.stage import EXPORTER, FIRST, FULL, SECOND, THIRD, Stage, stage
from tests.unit.loopback import LOOPBACK

# Nothing else listens there.
_SERVER = "127.99.0.53"
_DOMAIN = "under-fire.test"
# Seconds; in the long form until the heartbeat's receiver has noticed, and not longer than this.
_GONE_FOR = 600 if FULL else 45
_PROGRAMS = ("prometheus", "alertmanager", "blackbox-exporter")


@dataclass
class Names:
    """A DNS server for the names of one domain; while it does not answer, resolvers wait for their time-outs."""

    addresses: dict[str, str] = field(default_factory=dict)
    answers: bool = True

    def name(self, label: str, address: str) -> str:
        """The name under which an address is found from now on."""
        name = f"{label}.{_DOMAIN}"
        self.addresses[name] = address
        return name

    @contextmanager
    def served(self) -> Iterator[None]:
        """Answers for as long as the context lasts."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((_SERVER, 53))
            server.settimeout(0.2)
            ended = threading.Event()
            thread = threading.Thread(target=self._serve, args=(server, ended), daemon=True)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def _serve(self, server: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                question, asker = server.recvfrom(512)
            except TimeoutError:
                continue
            if self.answers:
                server.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035: the question again, and an address of class IN, which holds for a second."""
        labels, place = [], 12
        while question[place]:
            labels.append(question[place + 1 : place + 1 + question[place]].decode())
            place += 1 + question[place]
        (kind,) = struct.unpack_from(">H", question, place + 1)
        address = self.addresses.get(".".join(labels).lower())
        found = address is not None and kind == 1
        status = 0x8180 if address is not None else 0x8183
        header = question[:2] + struct.pack(">HHHHH", status, 1, int(found), 0, 0)
        answer = b"" if not found else struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address or "")
        return header + question[12 : place + 5] + answer


@dataclass(frozen=True)
class Nameless:
    """With `FIRST` paged for, names were gone as `SECOND` stopped and `THIRD` was started anew. Seconds, counts."""

    gone_for: float
    page: float | None  # of SECOND
    page_meanwhile: bool
    pages: dict[str, int]
    told: list[str]  # titles of pages meanwhile, but those of FIRST and SECOND
    told_after: float | None  # the first of them, from the fault
    up_share: float  # of the scrapes of healthy targets meanwhile
    slowest: float  # answer of a healthy target meanwhile, on a connection of its own
    longest_gap: float  # between scrapes of a target that was neither stopped nor started
    heart_stopped: float | None  # from the fault; None where it did not stop in that time
    recovered: float  # from the names' return until every healthy target answers


def no_names(folder: Path) -> Nameless:
    """Targets, Alertmanager and receivers are looked for by name; the DNS server falls silent."""
    names = Names()
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {_SERVER}\n")
    # A resolver of their own, for these programs only.
    own = ("unshare", "--mount", "sh", "-c", f'mount --bind {resolver} /etc/resolv.conf && exec "$0" "$@"')
    hosts = {program: names.name(program, LOOPBACK) for program in (*_PROGRAMS, "inbox")}
    with names.served(), stage(folder, hosts=hosts, before=dict.fromkeys(_PROGRAMS, own), name=names.name) as found:
        platform = found.platform
        first = found.stop(FIRST)
        assert found.paged(FIRST, first) is not None
        seen = max(each["id"] for each in platform.inbox.kept())
        names.answers = False
        gone, second = time.time(), found.stop(SECOND, THIRD)
        found.heal(THIRD)
        stopped: list[float] = []
        answers = [0.0]

        def watch() -> bool:
            answers.append(found.services.answer_seconds(EXPORTER))
            if not stopped and not platform.inbox.heart()["beating"]:
                stopped.append(time.time() - gone)
            return bool(stopped)

        wait_for(watch, _GONE_FOR)
        meanwhile = bool(found.told(SECOND))
        others = [
            each
            for each in platform.inbox.kept(channel="pagerduty", status="firing")
            if each["id"] > seen and SECOND not in each["title"]
        ]
        share, gap = _scraped(found, int(time.time() - gone))
        names.answers = True
        back = time.time()
        lost = f'{{job!="certificates",service!~"{FIRST}|{SECOND}"}} == 0'
        wait_for(lambda: bool(found.query("up")) and not found.query(f"up{lost} or probe_success{lost}"), 90)
        recovered = time.time() - back
        page = found.paged(SECOND, second, 120)
        moments = sorted(_at(each["received_at"]) - gone for each in others)
        return Nameless(
            gone_for=back - gone,
            page=page,
            page_meanwhile=meanwhile,
            pages={name: len(found.told(name)) for name in (FIRST, SECOND)},
            told=[each["title"] for each in others],
            told_after=next(iter(moments), None),
            up_share=share,
            slowest=max(answers),
            longest_gap=gap,
            heart_stopped=next(iter(stopped), None),
            recovered=recovered,
        )


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _scraped(found: Stage, seconds: int) -> tuple[float, float]:
    """The share of the last scrapes that went well, and the longest time between two of a target."""
    left = f'{{job!~"health|certificates|{FIRST}|{SECOND}|{THIRD}"}}'
    (share,) = found.query(f"avg(avg_over_time(up{left}[{seconds}s]))")
    moments = [[t for t, _ in each["values"]] for each in found.query(f"up{left}[{seconds}s]")]
    gaps = [after - before for each in moments for before, after in itertools.pairwise(each)]
    return float(share["value"][1]), max(gaps)


NAMELESS = Scene(no_names)
