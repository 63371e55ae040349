"""Whether a volume can hold what it is meant to keep, by figures that were measured."""

from collections.abc import Iterator, Sequence

from infra.components.prometheus import RETAINED_SHARE
from infra.stack import Stack
from infra.workload import GIB, Workload

# Measured: a block of two hours of the dev stack, 19,946 series with 2.84 million samples, is 6.76 MB with its index.
# Blocks that were merged later take less.
BYTES_PER_SAMPLE = 2.4


def needed(stack: Stack) -> float:
    """Bytes that the planned series fill in the days they are kept."""
    settings = stack.settings
    samples = settings.retention_days * 86_400 / settings.scrape_interval_seconds * settings.expected_series
    return samples * BYTES_PER_SAMPLE


def warnings(stack: Stack, workloads: Sequence[Workload]) -> Iterator[str]:
    """What will not fit, in a sentence with the figures and the remedy."""
    prometheus = next(workload for workload in workloads if workload.name == "prometheus")
    assert prometheus.storage is not None
    wanted, there = needed(stack), prometheus.storage.size * RETAINED_SHARE
    if wanted > there:
        settings = stack.settings
        days = settings.retention_days * there / wanted
        yield (
            f"prometheus keeps {days:.0f} of {settings.retention_days} days: {settings.expected_series:,} series each "
            f"{settings.scrape_interval_seconds} s fill {wanted / GIB:.0f} GiB at {BYTES_PER_SAMPLE} bytes a sample, "
            f"and {RETAINED_SHARE:.0%} of its volume are {there / GIB:.0f} GiB; give it more with monitoring:sizes, "
            "keep fewer monitoring:retentionDays, or correct monitoring:expectedSeries."
        )
