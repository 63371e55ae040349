"""What targets that answer with too much, too slowly or not at all do to everybody else."""

from infra.workload import MIB
from tests.fire.conftest import Record
from tests.fire.hostile import ALL, CHANGING
from tests.fire.stage import FULL, PATIENCE
from tests.fire.table import Row, seconds

# In the configuration of the scrapes, in seconds.
_INTERVAL = 15


def test_hostile_targets_hurt_nobody_else(row: Record) -> None:
    seen = ALL.result(PATIENCE)
    told = ", ".join(sorted({title.removeprefix("[FIRING] ").split(": ")[0] for title in seen.told}))
    sizes = [size / MIB for size in (seen.memory_before, seen.memory_peak, seen.memory_limit)]
    memory = "{:.0f} to {:.0f} of {:.0f}".format(*sizes)
    row(
        Row(
            16,
            "scrape targets: " + ", ".join(seen.kinds),
            samples=f"0 of others; longest gap of another target {seen.longest_gap:.0f} s",
            notifications="0",
            twice="0",
            blind=f"0; {seen.missed:.0f} evaluations missed, the slowest {seen.slowest:.2f} s",
            page=seconds(seen.page),
            tells=f"{told or 'nobody yet'}. Prometheus' memory {memory} MiB, "
            f"series {seen.series_before:.0f} to {seen.series_after:.0f}",
        )
    )
    # It is well-formed, and small enough each time.
    assert {kind for kind, error in seen.errors.items() if not error} == {CHANGING}
    assert seen.longest_gap < 2 * _INTERVAL
    assert seen.missed == 0
    assert seen.memory_peak < seen.memory_limit
    assert seen.page is not None
    assert seen.page < 60
    if FULL:
        assert "ExporterDown" in told
