"""What is lost, and who is told, when a receiver is down or everything fires at once."""

from infra.workload import MIB
from tests.fire.conftest import Record
from tests.fire.receivers import FLOOD, RECEIVER
from tests.fire.stage import FIRST, FULL, PATIENCE, SECOND, THIRD
from tests.fire.table import Row, after, seconds

# From a fault to the notification, in seconds: the platform's promise.
_PROMISED = 60


def test_a_receiver_that_is_down(row: Record) -> None:
    seen = RECEIVER.result(PATIENCE)
    later = ", ".join(seconds(value) for value in seen.pages.values())
    row(
        Row(
            14,
            f"Slack down for {seen.down_for:.0f} s",
            notifications=f"{sum(seen.slack[name] == 0 for name in (FIRST, SECOND))}; "
            "of what began and ended meanwhile PagerDuty alone tells",
            twice=str(sum(max(0, count - 1) for count in seen.slack.values())),
            blind=f"0; Slack had everything {seconds(seen.slack_after)} s after its return",
            page=f"{later} by PagerDuty",
            tells=f"NotificationsFailing by PagerDuty{after(seen.failing_told, 'the fault')}",
        )
    )
    assert all(value is not None and value < _PROMISED for value in seen.pages.values()), seen.pages
    assert seen.slack_meanwhile == 0
    # What Slack was never told of, Alertmanager does not tell it to be over.
    assert seen.slack == {FIRST: 1, SECOND: 1, THIRD: 0}
    assert seen.ended == 1
    assert seen.slack_after < 75
    if FULL:
        assert seen.failing_told is not None
        assert seen.failing_told < 300


def test_ten_thousand_alerts_at_once(row: Record) -> None:
    seen = FLOOD.result(PATIENCE)
    row(
        Row(
            15,
            f"{seen.alerts:,} alerts at once in {seen.groups:,} groups",
            notifications="0",
            twice=str(seen.repeated),
            blind=f"0; the first message after {seconds(seen.first)} s, the last after {seconds(seen.last)} s",
            page=f"{seconds(seen.urgent)} of another team",
            tells=f"{seen.messages['pagerduty']} pages, {seen.messages['slack']} Slack messages; Alertmanager's memory "
            f"{seen.memory_before / MIB:.0f} to {seen.memory_peak / MIB:.0f} of {seen.memory_limit / MIB:.0f} MiB",
        )
    )
    assert seen.alerts == 10_000
    # One page, and one message in Slack, for each group; and the other team's.
    assert seen.messages == {"pagerduty": seen.groups // 2 + 1, "slack": seen.groups + 1}
    assert seen.repeated == 0
    assert seen.urgent is not None
    assert seen.urgent < _PROMISED
    assert seen.memory_peak < seen.memory_limit
