"""A bare host that is not there: the page a node exporter on it would serve."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from simulator.chance import activity
from simulator.faults import FaultBook, FaultSpec, Parameter
from simulator.traffic import drift

_GIB = 1024.0**3
_CPUS = 2
_MEMORY = 8 * _GIB
_DISK_LABELS = ("device", "fstype", "mountpoint")
_FILESYSTEMS = {"/": ("/dev/vda1", 40 * _GIB, 0.62), "/data": ("/dev/vdb1", 200 * _GIB, 0.55)}
_USUAL_MODES = {
    "user": 0.14,
    "system": 0.05,
    "iowait": 0.01,
    "softirq": 0.004,
    "irq": 0.0,
    "nice": 0.0,
    "steal": 0.001,
}
_LONGEST_STEP_SECONDS = 300.0

_MOUNTPOINT = Parameter("mountpoint", "File system concerned.", "/data", choices=tuple(_FILESYSTEMS))
HOST_FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec(
        "disk_full",
        "A file system of the simulated host is nearly full.",
        (_MOUNTPOINT, Parameter("available_ratio", "Part still available.", 0.05)),
    ),
    FaultSpec(
        "disk_filling",
        "A file system of the simulated host fills up.",
        (
            _MOUNTPOINT,
            Parameter("initial_available_ratio", "Part available at the start.", 0.19),
            Parameter("seconds_until_full", "Time until nothing is available.", 3600, 60, 86400),
        ),
    ),
    FaultSpec("high_cpu", "The simulated host is busy.", (Parameter("ratio", "Part of the CPUs in use.", 0.95),)),
    FaultSpec("high_memory", "The simulated host's memory is short.", (Parameter("ratio", "Part in use.", 0.95),)),
    FaultSpec("host_down", "The simulated host's exporter refuses connections."),
)


class SimulatedHost(Collector):
    """Two CPUs, 8 GiB of memory and two disks, with names, types and labels as node_exporter 1.7.0 has them."""

    def __init__(self, faults: FaultBook, nodename: str = "simulated-host") -> None:
        self._faults, self._nodename = faults, nodename
        self._boot = time.time()
        self._last = self._boot
        self._cpu = {(str(cpu), mode): 0.0 for cpu in range(_CPUS) for mode in (*_USUAL_MODES, "idle")}
        self._totals = {"received": 0.0, "sent": 0.0, "read": 0.0, "written": 0.0, "io": 0.0}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        """The page a scrape reads."""
        return generate_latest(self._registry)

    def advance(self) -> None:
        """Let the counters catch up with the clock."""
        now = time.time()
        elapsed = min(max(now - self._last, 0.0), _LONGEST_STEP_SECONDS)
        self._last = now
        busy = activity(now)
        modes = {mode: share * (0.5 + busy) for mode, share in _USUAL_MODES.items()}
        used = self._faults.number("high_cpu", "ratio", -1)
        if used >= 0:
            modes.update(user=max(0.0, used - modes["system"]), iowait=0.0)
        modes["idle"] = max(0.0, 1 - sum(modes.values()))
        for cpu, mode in self._cpu:
            self._cpu[cpu, mode] += modes[mode] * elapsed
        for name, per_second in (
            ("received", 4e5),
            ("sent", 6e5),
            ("read", 1e5),
            ("written", 8e5),
            ("io", 0.03),
        ):
            self._totals[name] += per_second * busy * elapsed

    def collect(self) -> Iterator[Metric]:
        self.advance()
        yield from self._processor()
        yield from self._memory()
        yield from self._file_systems()
        yield from self._transfers()
        yield _info(
            "node_uname_info",
            {
                "domainname": "(none)",
                "machine": "x86_64",
                "nodename": self._nodename,
                "release": "6.1.0-18-amd64",
                "sysname": "Linux",
                "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1",
            },
        )
        yield _info(
            "node_exporter_build_info",
            {
                "branch": "HEAD",
                "goarch": "amd64",
                "goos": "linux",
                "goversion": "go1.21.4",
                "revision": "simulated",
                "tags": "netgo osusergo static_build",
                "version": "1.7.0",
            },
        )

    def _processor(self) -> Iterator[Metric]:
        seconds = CounterMetricFamily(
            "node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", labels=("cpu", "mode")
        )
        for (cpu, mode), value in self._cpu.items():
            seconds.add_metric((cpu, mode), value)
        yield seconds
        load = _CPUS * self._faults.number("high_cpu", "ratio", 0.2) * 1.2
        for name, swing in (("node_load1", 0.2), ("node_load5", 0.1), ("node_load15", 0.05)):
            yield GaugeMetricFamily(name, "Load average.", load * (1 + swing * drift(self._last, 400, 0)))
        yield GaugeMetricFamily("node_boot_time_seconds", "Node boot time, in unixtime.", self._boot)
        yield GaugeMetricFamily("node_time_seconds", "System time in seconds since epoch.", self._last)

    def _memory(self) -> Iterator[Metric]:
        used = self._faults.number("high_memory", "ratio", 0.42 + 0.03 * drift(self._last, 3600, 0.5))
        available = _MEMORY * (1 - used)
        sizes = {
            "MemTotal": _MEMORY,
            "MemAvailable": available,
            "MemFree": available * 0.4,
            "Buffers": available * 0.1,
            "Cached": available * 0.5,
            "SwapTotal": 0.0,
            "SwapFree": 0.0,
        }
        for name, size in sizes.items():
            yield GaugeMetricFamily(f"node_memory_{name}_bytes", f"Memory information field {name}_bytes.", size)

    def _available(self, mountpoint: str, usual: float) -> float:
        """Part of a file system that is available, 0 to 1."""
        full = self._faults.active("disk_full")
        if full is not None and full.text("mountpoint") == mountpoint:
            return full.number("available_ratio")
        filling = self._faults.active("disk_filling")
        if filling is not None and filling.text("mountpoint") == mountpoint:
            passed = (self._last - filling.since) / filling.number("seconds_until_full")
            return max(0.0, filling.number("initial_available_ratio") * (1 - passed))
        return usual

    def _file_systems(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {
            name: GaugeMetricFamily(f"node_filesystem_{name}", f"Filesystem {name}.", labels=_DISK_LABELS)
            for name in (
                "size_bytes",
                "avail_bytes",
                "free_bytes",
                "readonly",
                "device_error",
                "files",
                "files_free",
            )
        }
        for mountpoint, (device, size, usual) in _FILESYSTEMS.items():
            available = size * self._available(mountpoint, usual)
            values = {
                "size_bytes": size,
                "avail_bytes": available,
                # ext4 keeps 5 % for root: free is more than available.
                "free_bytes": min(size, available + 0.05 * size),
                "readonly": 0,
                "device_error": 0,
                "files": size / 16384,
                "files_free": size / 16384 * 0.9,
            }
            for name, value in values.items():
                families[name].add_metric((device, "ext4", mountpoint), value)
        yield from families.values()

    def _transfers(self) -> Iterator[Metric]:
        totals = self._totals
        counters: Mapping[str, tuple[str, float]] = {
            "node_network_receive_bytes_total": ("eth0", totals["received"]),
            "node_network_transmit_bytes_total": ("eth0", totals["sent"]),
            "node_network_receive_errs_total": ("eth0", 0),
            "node_network_transmit_errs_total": ("eth0", 0),
            "node_disk_read_bytes_total": ("vdb", totals["read"]),
            "node_disk_written_bytes_total": ("vdb", totals["written"]),
            "node_disk_io_time_seconds_total": ("vdb", totals["io"]),
        }
        for name, (device, value) in counters.items():
            family = CounterMetricFamily(name, name.replace("_", " "), labels=("device",))
            family.add_metric((device,), value)
            yield family


def _info(name: str, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(name, "Always 1.", labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1)
    return family
