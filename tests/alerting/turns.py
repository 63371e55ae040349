"""The scene in which two Prometheus tell three Alertmanagers of the same alerts, each at its own moment.

The rounds of a page's group and the turns of the replicas are those of prod; the receiver counts what arrives.
"""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import requests

from infra import documents
from infra.components import alertmanager
from operate import tools
from tests.alerting.platform import ALERT_LASTS, stop
from tests.alerting.scene import Scene
from tests.unit.loopback import LOOPBACK, closed_port
from tests.unit.manifests import declared

ALERTS = 15
# Seconds by which the second Prometheus may see a beginning or an end later: a scrape.
_APART = 15
# Seconds for which nothing may stand still, or replicas speak out of turn: half of what each waits for the one before.
STILL = 3.0
# Seconds that an alert lasts; and after which its end is said once more.
_LASTS, _SENDS = (20, 45), 30
# Whatever is told twice is told within two rounds.
_TOLD_TWICE = 30
# Until replicas know each other's place in the row.
_SETTLES = 20


@dataclass(frozen=True)
class Turns:
    """How often each alert was told to fire, and to be over; `judged` are those in whose time nothing stood still."""

    firing: Counter[str]
    resolved: Counter[str]
    judged: list[str]


def three_take_turns(folder: Path) -> Turns:
    """Alerts begin a second apart, and end whenever it comes."""
    with _receiver() as (url, told), _alertmanagers(folder, url) as addresses, _stills(addresses) as stills:
        began: dict[str, datetime] = {}
        times: dict[str, list[float]] = {}
        start = time.time()
        for at, name, fires in _said(random.Random(7)):  # noqa: S311 - the same each time
            time.sleep(max(0.0, start + at - time.time()))
            now = datetime.now(UTC)
            alert = {
                "labels": {"alertname": "Turns", "service": name},
                "startsAt": began.setdefault(name, now).isoformat(),
                "endsAt": (now + (ALERT_LASTS if fires else timedelta())).isoformat(),
            }
            for address in addresses:
                assert requests.post(f"http://{address}/api/v2/alerts", json=[alert], timeout=60).ok
            times.setdefault(name, []).append(time.time())
        time.sleep(_TOLD_TWICE)
        firing, resolved = (Counter(name for status, name in told if status == each) for each in ("firing", "resolved"))
        judged = [
            name
            for name, moments in times.items()
            if not any(moments[0] < end and begin < moments[-1] + _TOLD_TWICE for begin, end in stills)
        ]
        return Turns(firing, resolved, judged)


@contextmanager
def _stills(addresses: list[str]) -> Iterator[list[tuple[float, float]]]:
    """Begin and end, in Unix seconds, of each time in which this process or a replica answered nothing for `STILL`."""
    found: list[tuple[float, float]] = []
    over = Event()

    def look() -> None:
        last = time.time()
        while not over.wait(0.5):
            for address in addresses:
                requests.get(f"http://{address}/-/ready", timeout=60)
            now = time.time()
            if now - last > STILL:
                found.append((last, now))
            last = now

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _said(chance: random.Random) -> list[tuple[float, str, bool]]:
    """What both Prometheus say, in order: seconds from the start, the alert, and whether it fires."""
    found = []
    for number in range(ALERTS):
        end = number + chance.uniform(*_LASTS)
        later, over_later = number + chance.uniform(0, _APART), end + chance.uniform(0, _APART)
        # The second one's turn to send may come in the last moment before it sees the end.
        found += [(at, f"s{number}", True) for at in (float(number), later, chance.uniform(end, over_later))]
        found += [(at + more, f"s{number}", False) for at in (end, over_later) for more in (0, _SENDS)]
    return sorted(found)


@contextmanager
def _receiver() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A webhook's address, and the status and the alert of everything that it was sent."""
    told: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.extend((alert["status"], alert["labels"]["service"]) for alert in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/", told
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _alertmanagers(folder: Path, receiver: str) -> Iterator[list[str]]:
    """The addresses of prod's replicas, with prod's flags and the times of its pages."""
    prod = declared("prod")
    workload = prod.workload("alertmanager")
    route = alertmanager.config(prod.stack, pagerduty_is_real=False)["route"]
    times = {key: route[key] for key in ("group_by", "group_wait", "group_interval", "repeat_interval")}
    config = folder / "alertmanager.yml"
    hooks = [{"url": receiver}]
    config.write_text(
        documents.dump({"route": {"receiver": "r", **times}, "receivers": [{"name": "r", "webhook_configs": hooks}]})
    )
    kept = [flag for flag in workload.args if flag.startswith(("--data.", "--cluster.peer-timeout="))]
    addresses = [f"{LOOPBACK}:{closed_port()}" for _ in range(workload.replicas)]
    gossip = [f"{LOOPBACK}:{closed_port()}" for _ in addresses]
    with ExitStack() as running:
        for number, address in enumerate(addresses):
            own = folder / str(number)
            own.mkdir()
            flags = [f"--config.file={config}", f"--storage.path={own}", f"--web.listen-address={address}"]
            flags += [f"--cluster.listen-address={gossip[number]}", *(f"--cluster.peer={each}" for each in gossip)]
            log = running.enter_context((own / "log").open("wb"))
            process = subprocess.Popen(
                [tools.ensure("alertmanager"), *flags, *kept], stdout=log, stderr=subprocess.STDOUT
            )
            running.callback(stop, process)
        time.sleep(_SETTLES)
        yield addresses


TURNS = Scene(three_take_turns)
