"""What is lost, and who is told, when a block of Prometheus' history is damaged."""

from tests.fire.blocks import BLOCK
from tests.fire.conftest import Record
from tests.fire.stage import PATIENCE
from tests.fire.table import Row, seconds


def test_a_block_whose_samples_are_damaged(row: Record) -> None:
    seen = BLOCK.result(PATIENCE)
    row(
        Row(
            8,
            "a block of history damaged in its samples",
            samples="the block's; no others",
            notifications="0",
            twice="0",
            blind=f"0; {seen.failures:.0f} evaluations of rules failed in {seen.watched:.0f} s",
            page=seconds(seen.page),
            tells="who asks for that time, by an error; RuleEvaluationFailing where rules fail for long",
        )
    )
    assert seen.answers_when_well
    assert seen.refused, "damaged samples must not be answered as if they were well"
    assert seen.page is not None
    assert seen.page < 60


def test_a_block_whose_index_is_damaged(row: Record) -> None:
    seen = BLOCK.result(PATIENCE)
    assert not seen.starts_without_index, "then the documents must no longer say that it does not"
    row(
        Row(
            9,
            "a block of history damaged in its index",
            samples="the block's; no others",
            notifications="0",
            twice="0",
            blind=f"until the block is moved away; then {seconds(seen.blind)}",
            tells="Prometheus does not start and its log names the block; the heartbeat stops, or where there is a "
            "second replica ScrapePoolLosingTargets",
        )
    )
    assert "corrupted block" in seen.said, seen.said
