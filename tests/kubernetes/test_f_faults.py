"""Faults of the platform itself: no alert is lost, none told twice.

Each fault has a stopped service whose alert is about to fire, fires, or ends meanwhile. All of them befall the same
Prometheus: the other one counts the minutes of a node that has had no exporter since test_d_locked_down.py.
"""

import json
import os
import subprocess
import time
import warnings
from collections.abc import Iterator

import pytest

from infra.components.alertmanager import TURNS_WITHIN
from infra.surroundings import NAMESPACE
from tests.conftest import Figure
from tests.kubernetes import faults_node
from tests.kubernetes.faults_node import SmallVolume, Unscheduled
from tests.kubernetes.faults_scene import Scene, Watch, received
from tests.kubernetes.live import Live, Object
from tests.running import eventually

# A connection ends with its pod, in a thread of the client's own.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

# Of teams of their own, so that no two are one fault.
DRAINED, DELETED, LEADERLESS = "kyc-service", "api-gateway", "bitcoin-node"
KILLED, FULL = "wallet-service", "auth-service"
# What says that a volume fills and is full.
OF_THE_VOLUME = {"VolumeSpaceCritical"}
# Seconds for which the volume stays full after all that is told meanwhile is told.
FULL_FOR = 480 if os.environ.get("FAULTS") == "full" else 0
# VolumeSpaceCritical begins below 8 %.
NEARLY_FULL = 0.05
# Seconds in which a deleted Prometheus ends; 3 on a quiet machine.
ENDS_WITHIN = 20
# Data stores have one pod each, so that to drain their node is another fault.
EVICTED = "--pod-selector=app.kubernetes.io/name in (prometheus,alertmanager,blackbox-exporter)"


@pytest.fixture(scope="module")
def scene(live: Live) -> Iterator[Scene]:
    """The stack as it was found, and once more at the end."""
    # Of what other tests took away, nobody waits to hear the end.
    eventually("no service is down", lambda: "ServiceDown" not in map(_name, live.alerts()), seconds=180)
    scene = Scene(live, before=set(map(_name, live.alerts())))
    yield scene
    scene.heal_all()
    eventually("every service is back", lambda: not live.query("service:down == 1"), seconds=90)


def _name(alert: Object) -> str:
    return str(alert["labels"]["alertname"])


@pytest.fixture(scope="module")
def watch(live: Live) -> Iterator[Watch]:
    """What it saw from the first fault to the last."""
    watch = Watch(live)
    watch.start()
    yield watch
    watch.end()


@pytest.fixture(scope="module")
def volume(scene: Scene, away: int) -> Iterator[SmallVolume]:
    """The volume of the drained one, to be made small while it is away."""
    volume = SmallVolume(scene.live, f"prometheus-{away}")
    yield volume
    if volume.small:
        volume.clear()
        with scene.cordoned(volume.node):
            start = time.time()
            flags = (f"--namespace={NAMESPACE}", "--grace-period=30", "--wait=false")
            scene.live.kubectl("delete", "pod", volume.pod, *flags)
            eventually("it has no node", lambda: scene.pending(volume.pod), seconds=120)
            if time.time() - start > ENDS_WITHIN:
                warnings.warn(f"{volume.pod} ended {time.time() - start:.0f} s after its deletion", stacklevel=1)
            volume.restore()
        eventually("both Prometheus are ready", lambda: scene.ready("prometheus"), seconds=90)


def test_a_drained_node(scene: Scene, watch: Watch, away: int, volume: SmallVolume, figure: Figure) -> None:
    """What budgets guard is evicted as `kubectl drain` does it; where volumes are bound to a node, pods wait for it."""
    live, keeper, node = scene.live, 1 - away, volume.node
    scene.stop(DRAINED)
    scene.until("pending", DRAINED, keeper)
    start, before = time.time(), scene.uid(volume.pod)
    kubectl = (live.cluster.kubectl, f"--kubeconfig={live.cluster.kubeconfig}")
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", EVICTED)
    drain = subprocess.Popen(
        (*kubectl, "drain", node, *flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        eventually(f"{volume.pod} is evicted", lambda: scene.uid(volume.pod) != before)
        evicted = time.time()
        if live.cluster.source == "packages":
            eventually("the next one has no node", lambda: scene.pending(volume.pod))
            volume.shrink()
        seconds = scene.paged(DRAINED)
    finally:
        drain.terminate()
        said = drain.communicate()[0]
        live.kubectl("uncordon", node)
    eventually("both Prometheus are ready", lambda: scene.ready("prometheus"), seconds=90)
    back = time.time()
    if volume.small:
        volume.fill(NEARLY_FULL)
    eventually("all Alertmanagers are ready", lambda: scene.ready("alertmanager"), seconds=60)
    gap = scene.gap(keeper, start)
    figure(f"{node} drained: {DRAINED} paged {seconds:.0f} s after its stop")
    figure(f"  {volume.pod} evicted in {evicted - start:.1f} s, ready {back - start:.0f} s after the drain began")
    figure(f"  {said.count('would violate')} evictions refused; ready at any moment: {watch.least}")
    figure(f"  longest gap of prometheus-{keeper}: {gap:.1f} s")
    assert min(watch.least.values()) >= 1
    assert gap < 2 * scene.interval


def test_a_deleted_alertmanager(scene: Scene, away: int, figure: Figure) -> None:
    """The one whose turn it is to notify, in the seconds before it does; another alert ends meanwhile."""
    live = scene.live
    names = {}
    for number in live.replicas("alertmanager"):
        status = live.request(NAMESPACE, f"alertmanager-{number}", 9093, "/api/v2/status").json()
        names[status["cluster"]["name"]] = f"alertmanager-{number}"
    first = names[min(names)]
    scene.stop(LEADERLESS)
    scene.heal(DRAINED)
    scene.until("firing", LEADERLESS, 1 - away)
    live.kubectl("delete", "pod", first, f"--namespace={NAMESPACE}", "--wait=false")
    seconds = scene.paged(LEADERLESS)
    figure(f"{first} deleted when it was to notify: {LEADERLESS} paged {seconds:.0f} s after its stop")
    eventually("all Alertmanagers are ready", lambda: scene.ready("alertmanager"), seconds=60)


def test_a_deleted_prometheus(scene: Scene, away: int, figure: Figure) -> None:
    """While an alert is about to fire and another fires."""
    eventually("both Prometheus are ready", lambda: scene.ready("prometheus"), seconds=60)
    scene.stop(DELETED)
    scene.until("pending", DELETED, away)
    start = time.time()
    scene.live.kubectl("delete", "pod", f"prometheus-{away}", f"--namespace={NAMESPACE}", "--wait=false")
    seconds = scene.paged(DELETED)
    # One evaluation may still have been the old one's.
    eventually("it evaluates again", lambda: scene.evaluates(away, start + 5), seconds=60)
    gap = scene.gap(1 - away, start)
    figure(f"prometheus-{away} deleted: {DELETED} paged {seconds:.0f} s after its stop; gap of the other {gap:.1f} s")
    assert gap < 2 * scene.interval


def test_a_killed_prometheus(scene: Scene, away: int, figure: Figure) -> None:
    """kill -9 as it writes: what it had scraped is there again. Another alert ends meanwhile."""
    if scene.live.cluster.source != "packages":
        pytest.skip("to kill a pod's process needs the nodes of the cluster from packages")
    eventually("both Prometheus are ready", lambda: scene.ready("prometheus"), seconds=60)
    # Else what it has not scraped since its deletion would count as lost.
    eventually("it has scraped its targets", lambda: scene.scraped(away), seconds=60)
    scene.stop(KILLED)
    scene.until("pending", KILLED, away)
    scene.heal(DELETED)
    moment = faults_node.kill(scene.live, f"prometheus-{away}")
    eventually("it evaluates again", lambda: scene.evaluates(away, moment), seconds=60, every=0.2)
    back = time.time() - moment
    seconds = scene.paged(KILLED)
    kept = [[t for t in moments if t <= moment] for moments in scene.samples(away, moment - 60)]
    lost = [moment - max(moments) for moments in kept if moments]
    replay = scene.metric(away, "prometheus_tsdb_data_replay_duration_seconds")
    gap = scene.gap(1 - away, moment)
    figure(f"prometheus-{away} killed as it wrote: {KILLED} paged {seconds:.0f} s after its stop")
    figure(f"  it evaluated again after {back:.1f} s, with {replay:.2f} s of replay; gap of the other {gap:.1f} s")
    figure(f"  last samples of {len(lost)} targets: {min(lost):.1f} to {max(lost):.1f} s before the kill")
    assert scene.metric(away, "prometheus_tsdb_wal_corruptions_total") == 0
    # A scrape that was under way may have had 5 s.
    assert max(lost) <= scene.interval + 5
    assert gap < 2 * scene.interval
    assert scene.restarts(f"prometheus-{away}") == {"prometheus": 1, "config-reloader": 0}
    scene.heal(LEADERLESS)


def needs_small(volume: SmallVolume) -> None:
    """Skip where the volume has its whole size."""
    if not volume.small:
        pytest.skip("to make a volume small needs the nodes of the cluster from packages")


def test_a_filling_volume_is_told_before_it_is_full(
    scene: Scene, away: int, volume: SmallVolume, figure: Figure
) -> None:
    needs_small(volume)

    def told() -> bool:
        pages = scene.told("pagerduty", "VolumeSpaceCritical", "firing")
        return any(f"data-{volume.pod}" in json.dumps(page["raw"]) for page in pages)

    eventually("the page that the volume fills", told, seconds=360)
    free = volume.free_ratio()
    figure(f"VolumeSpaceCritical: paged with {free:.1%} of the volume free")
    assert free > 0
    assert scene.evaluates(away, time.time() - scene.interval)


def test_a_full_volume(scene: Scene, away: int, volume: SmallVolume, figure: Figure) -> None:
    """One replica falls silent; the other alerts on, and what ends meanwhile ends. With space it records again."""
    needs_small(volume)
    live, keeper = scene.live, 1 - away
    scene.until("firing", KILLED, away)
    volume.fill_up()
    start = time.time()

    def silent() -> bool:
        return not live.request(NAMESPACE, volume.pod, 9090, "/-/healthy").ok

    eventually("it is silent", silent, seconds=30)
    fell_silent = time.time() - start
    scene.stop(FULL)
    scene.heal(KILLED)
    down = f'up{{job="prometheus",instance="{volume.pod}"}} == 0'
    eventually("the other one knows", lambda: live.query(down, keeper), seconds=60)
    known = time.time() - start
    seconds = scene.paged(FULL)
    fires = f'ALERTS{{alertname="ServiceDown",service="{KILLED}",alertstate="firing"}}'
    eventually("the other one has seen its end", lambda: not live.query(fires, keeper), seconds=90)
    scene.heal(FULL)
    time.sleep(FULL_FOR)
    held = time.time() - start
    assert silent()
    volume.clear()
    freed = time.time()
    eventually("it records again", lambda: scene.evaluates(away, freed), seconds=120, every=0.2)
    again = time.time() - freed
    gap = scene.gap(keeper, start)
    figure(f"full volume of {volume.pod}: silent after {fell_silent:.0f} s, known to the other after {known:.0f} s")
    figure(f"  {FULL} paged {seconds:.0f} s after its stop; gap of prometheus-{keeper}: {gap:.1f} s")
    restarts = scene.restarts(volume.pod)["prometheus"]
    figure(f"  full for {held:.0f} s, {restarts} restarts; records again {again:.1f} s after there was space")
    # The scrape of a target that hangs on its full volume may be lost.
    assert gap < 2.5 * scene.interval


def test_a_node_without_its_exporter(live: Live, unscheduled: Unscheduled, figure: Figure) -> None:
    def told() -> list[Object]:
        where = {"channel": "slack", "alertname": "ExporterDown", "status": "firing"}
        return live.notifications(since=unscheduled.since, **where)

    def ended(replica: int) -> bool:
        return "ExporterDown" not in map(_name, live.prometheus("alerts", replica)["alerts"])

    eventually("the message that the exporter does not answer", told, seconds=420)
    figure(f"ExporterDown of {unscheduled.node}: told {received(told()[0]) - unscheduled.since:.0f} s after the fault")
    unscheduled.end()
    eventually("it ends on both", lambda: ended(0) and ended(1), seconds=60)
    assert len(told()) == 1
    assert unscheduled.node in told()[0]["text"]


def test_each_alert_is_told_once_and_ends_once(scene: Scene, watch: Watch, figure: Figure) -> None:
    """At most one is what decision 7 allows: it ended between the rounds of two Alertmanagers."""
    scene.heal_all()
    between: dict[str, list[object]] = {}
    for service in scene.healed:
        for channel in ("pagerduty", "slack"):
            scene.ends(service, channel)
            moments = {
                status: list(map(received, scene.told(channel, "ServiceDown", status, service)))
                for status in ("firing", "resolved")
            }
            firing, resolved = moments.values()
            if len(firing) == len(resolved) == 2 and resolved[0] < firing[1] < resolved[0] + TURNS_WITHIN:
                between.setdefault(service, []).append((channel, moments))
                continue
            assert (len(firing), len(resolved)) == (1, 1), (
                *(service, channel, moments),
                {replica: scene.fired(replica, service) for replica in scene.live.replicas("prometheus")},
            )
    assert len(between) <= 1, between
    once = len(scene.healed) - len(between)
    figure(f"{len(scene.healed)} alerts through these faults: {once} told once and ended once on both channels")
    watch.end()
    figure(
        f"ready at any moment of {watch.looks}: {watch.least}; heartbeat never silent for over {watch.silence:.0f} s"
    )
    assert min(watch.least.values()) >= 1
    assert watch.silence < 120
    pages = scene.live.notifications(channel="pagerduty", status="firing", since=scene.start, limit=1000)
    # Of the platform itself: the machine under the nodes may have a full disk, or be too slow for a data store.
    told = {
        alert["alertname"]
        for page in pages
        for alert in page["alerts"]
        if alert["team"] == "platform" and alert["service"] != "host"
    }
    assert told <= {"ServiceDown", *OF_THE_VOLUME, *scene.before}
