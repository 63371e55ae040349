"""Hosts and containers as their exporters show them on a normal day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operate.quiet_week import shapes
from operate.quiet_week.shapes import (
    Labels,
    Level,
    Scene,
    Shape,
    Table,
    backup,
    busy,
    each,
    flow,
    gauge,
    labelled,
    ones,
    repeated,
    several,
    started,
    zeros,
)
from operate.quiet_week.week import Array

GIB = 1024.0**3


def _used(scene: Scene) -> Array:
    """CPUs in use, 0 to 1: by day half of them, and the backup's compression at night."""
    return shapes.of(backup(busy(0.45, 0.12), 0.7), scene)


def _cpu(scene: Scene) -> Iterator[tuple[Labels, Array]]:
    shares = {"user": 0.7, "system": 0.22, "softirq": 0.02, "iowait": 0.04, "steal": 0.005, "irq": 0.0, "nice": 0.015}
    modes: dict[str, Level] = {mode: _share(share) for mode, share in shares.items()}
    modes["idle"] = lambda scene: 1 - _used(scene)
    yield from several(*(each(flow, "mode", modes, cpu=cpu) for cpu in ("0", "1")))(scene)


def _share(share: float) -> Level:
    return lambda scene: share * _used(scene)


def available(scene: Scene) -> Array:
    """Part of a file system that is free: it fills by 3 % a day, old files go at noon, the dump is moved at 04:00."""
    hour = scene.week.times % 86400 / 3600
    dump = np.interp(hour, [0, 2, 3, 4, 4.1, 24], [0, 0, 0.05, 0.05, 0, 0])
    filled = 0.03 * ((hour - 12) % 24) / 24
    return 0.55 - dump - filled


def _disk(scale: float) -> Level:
    return lambda scene: scale * available(scene)


_SYSTEMS: tuple[tuple[Labels, float], ...] = (
    ({"device": "/dev/vda1", "fstype": "ext4", "mountpoint": "/"}, 40 * GIB),
    ({"device": "/dev/vdb1", "fstype": "ext4", "mountpoint": "/data"}, 200 * GIB),
)


def _systems(level: float | None, available: float = 1.0) -> Shape:
    return several(
        *(labelled(place, gauge(level if level is not None else _disk(size * available))) for place, size in _SYSTEMS)
    )


NODE: Table = {
    "node_cpu_seconds_total": _cpu,
    "node_load1": gauge(busy(1.0, 0.2), noise=0.2),
    "node_load5": gauge(busy(1.0, 0.2), noise=0.1),
    "node_load15": gauge(busy(1.0, 0.2), noise=0.05),
    "node_memory_MemTotal_bytes": gauge(8 * GIB),
    "node_memory_MemAvailable_bytes": gauge(
        lambda s: 8 * GIB * (0.58 - 0.12 * s.week.activity), noise=0.005, whole=True
    ),
    "node_memory_MemFree_bytes": gauge(1.8 * GIB, noise=0.02, whole=True),
    "node_memory_Buffers_bytes": gauge(0.4 * GIB, noise=0.01, whole=True),
    "node_memory_Cached_bytes": gauge(2.4 * GIB, noise=0.01, whole=True),
    "node_filesystem_size_bytes": several(*(labelled(place, gauge(size)) for place, size in _SYSTEMS)),
    "node_filesystem_avail_bytes": _systems(None),
    "node_filesystem_free_bytes": _systems(None, 1.05),
    "node_filesystem_files": _systems(2_621_440.0),
    "node_filesystem_files_free": _systems(2_359_296.0),
    "node_filesystem_readonly": _systems(0.0),
    "node_filesystem_device_error": _systems(0.0),
    "node_disk_io_time_seconds_total": flow(backup(busy(0.15, 0.03), 0.7), device="vdb"),
    "node_disk_io_time_weighted_seconds_total": flow(backup(busy(0.2, 0.03), 2.0), device="vdb"),
    "node_disk_read_bytes_total": flow(backup(busy(1e6), 60e6), device="vdb"),
    "node_disk_written_bytes_total": flow(backup(busy(4e6, 1e6), 30e6), device="vdb"),
    "node_disk_reads_completed_total": flow(backup(busy(50), 800), device="vdb"),
    "node_disk_writes_completed_total": flow(backup(busy(150, 20), 400), device="vdb"),
    "node_disk_read_time_seconds_total": flow(backup(busy(0.05), 1.2), device="vdb"),
    "node_disk_write_time_seconds_total": flow(backup(busy(0.2), 1.0), device="vdb"),
    "node_network_receive_bytes_total": flow(busy(4e5, 2e4), device="eth0"),
    "node_network_transmit_bytes_total": flow(busy(6e5, 2e4), device="eth0"),
    **zeros("node_network_receive_errs_total", "node_network_transmit_errs_total", device="eth0"),
    **zeros("node_network_receive_drop_total", "node_network_transmit_drop_total", device="eth0"),
    **zeros(
        "node_vmstat_oom_kill",
        "node_textfile_scrape_error",
        "node_memory_SwapTotal_bytes",
        "node_memory_SwapFree_bytes",
    ),
    **ones("node_timex_sync_status"),
    "node_timex_offset_seconds": gauge(0.0001, noise=0.5),
    "node_timex_maxerror_seconds": gauge(0.02, noise=0.2),
    "node_filefd_allocated": gauge(busy(2600, 1800), noise=0.01, whole=True),
    "node_filefd_maximum": gauge(2_466_177.0),
    "node_nf_conntrack_entries": gauge(busy(900, 80), noise=0.03, whole=True),
    "node_nf_conntrack_entries_limit": gauge(262_144.0),
    "node_boot_time_seconds": started,
    # The playbook renews it a month before its end.
    "node_exporter_certificate_not_after_timestamp_seconds": gauge(lambda s: s.constant(s.week.end + 60 * 86400)),
    "node_time_seconds": gauge(lambda s: s.week.times),
    "node_context_switches_total": flow(busy(6000, 900)),
    "node_scrape_collector_success": each(gauge, "collector", dict.fromkeys(("cpu", "filesystem", "meminfo"), 1.0)),
    "node_uname_info": gauge(1.0, machine="x86_64", sysname="Linux"),
    "node_pressure_cpu_waiting_seconds_total": flow(backup(busy(0.05), 0.2)),
    "node_pressure_io_waiting_seconds_total": flow(backup(busy(0.02), 0.3)),
    "node_pressure_memory_waiting_seconds_total": gauge(0.0),
}


def _container(name: str) -> Labels:
    return {"name": name, "id": f"/docker/{name}", "image": name}


def _containers(shape: Shape) -> Shape:
    """A series for every container."""
    return repeated(lambda facts: map(_container, facts.containers), shape)


def _memory(part: float, noise: float = 0.02) -> Shape:
    """A series for every container, at a part of its memory limit."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        for name, limit in scene.facts.containers.items():
            yield from labelled(_container(name), gauge(part * limit, noise=noise, whole=True))(scene)

    return series


CADVISOR: Table = {
    "container_cpu_usage_seconds_total": _containers(flow(busy(0.05, 0.05 / 4), cpu="total")),
    "container_memory_working_set_bytes": _memory(0.45),
    "container_memory_usage_bytes": _memory(0.5),
    "container_memory_rss": _memory(0.4),
    "container_spec_memory_limit_bytes": _memory(1.0, noise=0.0),
    "container_oom_events_total": _containers(gauge(0.0)),
    "container_memory_failcnt": _containers(gauge(0.0)),
    "container_last_seen": _containers(gauge(lambda s: s.week.times)),
    "container_start_time_seconds": _containers(started),
    "container_network_receive_bytes_total": _containers(flow(busy(2e4, 5e3))),
    "container_network_transmit_bytes_total": _containers(flow(busy(2e4, 5e3))),
    **zeros("container_scrape_error"),
}
