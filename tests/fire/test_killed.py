"""What is lost, and for how long nobody is told, when a program is killed as it works."""

from tests.alerting.scene import Scene
from tests.fire.conftest import Record
from tests.fire.killed import BEFORE_SENDING, PROMETHEUS, SENDING, AlertmanagerKilled
from tests.fire.stage import FIRST, FULL, PATIENCE, SECOND, THIRD
from tests.fire.table import Row, seconds

# Seconds in which Prometheus says again what fires, and what Alertmanager gathers before it sends.
_SAID_AGAIN = 60 + 5


def test_prometheus_killed_while_one_alert_fires_and_another_is_pending(row: Record) -> None:
    seen = PROMETHEUS.result(PATIENCE)
    row(Row(0, "none", page=seconds(seen.usual_page)))
    row(
        Row(
            1,
            f"Prometheus killed while alerts fire and are pending, away for {seen.away:.0f} s",
            samples=f"{seen.samples_lost} of {seen.samples_before}; not scraped while away",
            notifications=str(sum(count == 0 for count in seen.pages.values())),
            twice=str(sum(max(0, count - 1) for count in seen.pages.values())),
            blind=seconds(seen.blind),
            page=seconds(seen.page),
            tells="the heartbeat stops where it stays away for 4 min",
        )
    )
    assert seen.pages == {FIRST: 1, SECOND: 1}
    assert seen.others == []
    assert seen.false_ends == 0, "nothing had ended"
    assert seen.samples_before > 100
    assert seen.samples_lost == 0
    # By the time without evaluations, of which the first after a start does not count; anew would be all of this.
    assert 0 < seen.began_later < seen.pending_for + seen.away, "what an alert has waited is not waited anew"
    assert seen.blind < seen.away + 20
    if FULL:
        assert seen.ended == {FIRST: 1, SECOND: 1}


def _holds(row: Record, scene: Scene[AlertmanagerKilled], place: int, fault: str, slack_twice: int) -> None:
    seen = scene.result(PATIENCE)
    wanted = {FIRST: 1, SECOND: 1, THIRD: 0}
    row(
        Row(
            place,
            f"{fault}, away for {seen.away:.0f} s",
            notifications=str(sum(seen.pages[name] == 0 for name in (FIRST, SECOND))),
            twice=f"{sum(seen.pages.values()) - 2} pages, {sum(seen.slack.values()) - 2} in Slack",
            silences="0" if seen.silence_kept else "1",
            blind=seconds(seen.blind),
            page=seconds(seen.page),
            tells="AlertmanagerUnreachable and the heartbeat where it stays away",
        )
    )
    assert seen.silence_kept
    assert seen.pages == wanted
    assert seen.slack in ({**wanted, SECOND: count} for count in range(1, slack_twice + 2))
    assert seen.blind is not None
    assert seen.blind < seen.away + _SAID_AGAIN + 10


def test_alertmanager_killed_between_receipt_and_sending(row: Record) -> None:
    _holds(row, BEFORE_SENDING, 2, "Alertmanager killed with an alert it had told nobody", slack_twice=0)


def test_alertmanager_killed_as_it_sends(row: Record) -> None:
    """What Slack took and Alertmanager had not written down, Slack gets again."""
    _holds(row, SENDING, 3, "Alertmanager killed while a receiver has its request", slack_twice=1)
