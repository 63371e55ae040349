"""What every scrape, every program and every probe says on a normal day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operate.quiet_week.shapes import (
    Labels,
    Scene,
    Table,
    busy,
    each,
    flow,
    gauge,
    started,
)
from operate.quiet_week.week import Array

_MIB = 1024.0**2


def _up(scene: Scene) -> Iterator[tuple[Labels, Array]]:
    values = scene.constant(1.0)
    values[lost(scene)] = 0
    yield {}, values


def lost(scene: Scene) -> list[int]:
    """Samples whose scrape the target did not answer."""
    week, own = scene.week, scene.target["job"] == scene.service
    indices = [*week.lost_scrapes(scene.target["instance"]), *scene.restarts()]
    if own and scene.service == "kyc-service":
        indices += np.flatnonzero(week.broken("service_down")).tolist()
    return [index for index in indices if index < week.times.size]


def _failed(scene: Scene) -> Array:
    """1 where the probe failed: at a restart, when one was slow, while the service is down."""
    values = scene.constant(0.0)
    for index in scene.week.failed_probes(scene.service):
        values[min(index, values.size - 1)] = 1
    if scene.service == "kyc-service":
        values[scene.week.broken("service_down")] = 1
    return values


# What every scrape makes of its target, and what programs say about their process.
EVERY: Table = {
    "up": _up,
    "scrape_duration_seconds": gauge(0.004, noise=0.2),
    "scrape_samples_scraped": gauge(400.0),
    "scrape_samples_post_metric_relabeling": gauge(400.0),
    "scrape_series_added": gauge(0.0),
}
PROCESS: Table = {
    "process_start_time_seconds": started,
    "process_cpu_seconds_total": flow(busy(0.05, 0.02)),
    "process_resident_memory_bytes": gauge(
        lambda s: s.constant(0.4 * s.facts.containers.get(s.service, 64 * _MIB)), noise=0.02, whole=True
    ),
    "process_virtual_memory_bytes": gauge(1.3e9),
    "process_open_fds": gauge(40.0, noise=0.05, whole=True),
    "process_max_fds": gauge(1_048_576.0),
}
GO: Table = {
    "go_goroutines": gauge(60.0, noise=0.05, whole=True),
    "go_threads": gauge(12.0),
    "go_memstats_heap_inuse_bytes": gauge(40 * _MIB, noise=0.05, whole=True),
    "go_memstats_alloc_bytes": gauge(30 * _MIB, noise=0.1, whole=True),
    "go_gc_duration_seconds": each(gauge, "quantile", {"0.5": 0.0001, "1": 0.0008}),
}

PROBE: Table = {
    "probe_success": gauge(lambda s: 1 - _failed(s)),
    "probe_duration_seconds": gauge(lambda s: 0.003 + 4 * _failed(s), noise=0.2),
    "probe_dns_lookup_time_seconds": gauge(0.0006, noise=0.2),
}
HEALTH: Table = {
    **PROBE,
    "probe_http_status_code": gauge(lambda s: 200 * (1 - _failed(s))),
    "probe_http_duration_seconds": each(gauge, "phase", {"connect": 0.0003, "processing": 0.001, "resolve": 0.0006}),
    "probe_failed_due_to_regex": gauge(0.0),
}
CERTIFICATE: Table = {
    **PROBE,
    "probe_ssl_earliest_cert_expiry": gauge(lambda s: s.constant(s.week.end + 60 * 86400)),
    "probe_ssl_last_chain_expiry_timestamp_seconds": gauge(lambda s: s.constant(s.week.end + 60 * 86400)),
}
