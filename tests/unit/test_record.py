"""Recorded metrics: the names a scrape gives, kept from run to run as long as the versions are the same."""

from pathlib import Path

import pytest

from operate.record import parse, read, write

PAGE = """\
# HELP pg_stat_database_xact_commit Transactions.
# TYPE pg_stat_database_xact_commit counter
pg_stat_database_xact_commit{datname="exchange",datid="1"} 7
# TYPE requests_total counter
requests_total{code="200"} 1
requests_total{code="500",reason="none"} 1
# TYPE latency_seconds histogram
latency_seconds_bucket{le="+Inf"} 2
latency_seconds_sum 0.1
latency_seconds_count 2
# TYPE pauses summary
pauses{quantile="0.5"} 1
pauses_sum 1
pauses_count 1
# TYPE odd untyped
odd 3
bare{path="/"} 4
"""
LINES = [
    "bare untyped path",
    "latency_seconds_bucket histogram le",
    "latency_seconds_count histogram -",
    "latency_seconds_sum histogram -",
    "odd untyped -",
    "pauses summary quantile",
    "pauses_count summary -",
    "pauses_sum summary -",
    "pg_stat_database_xact_commit counter datid,datname",
    "requests_total counter code,reason",
]


def test_a_page_is_recorded_by_the_names_of_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "job.txt"
    assert write(path, "# exporter 1.0", parse(PAGE)) == len(LINES)
    assert path.read_text().splitlines() == ["# exporter 1.0", *LINES]
    assert read(path) == ("# exporter 1.0", parse(PAGE))


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("# exporter 1.0", [line.replace("path", "path,user") for line in LINES]),
        ("# exporter 1.1", ["bare untyped user"]),
    ],
)
def test_what_appears_only_with_an_event_stays_until_the_version_changes(
    tmp_path: Path, header: str, lines: list[str]
) -> None:
    path = tmp_path / "job.txt"
    write(path, "# exporter 1.0", parse(PAGE))
    write(path, header, parse('bare{user="a"} 4\n'))
    assert path.read_text().splitlines() == [header, *lines]


def test_a_page_that_is_no_metrics_page_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid metric name"):
        parse("<html> </html>\n")
