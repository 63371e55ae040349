"""What may run out: each quantity, how it is asked for, its limit, and the setting that moves the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra import capacity, rules
from infra.components.prometheus import RETAINED_SHARE
from infra.stack import Stack
from infra.workload import GIB, MIB, Workload

# Series labels of one subject.
Labels = dict[str, str]
# From a subject and how many times its limit is needed to what has to be changed, in words.
Remedy = Callable[[Labels, float], str]

_RATIO, _BYTES, _COUNT = "ratio", "bytes", ""


@dataclass(frozen=True)
class Quantity:
    """One kind of thing that fills up.

    `expr` is its mean over an hour, one series for each subject; `limit` a number or PromQL that gives one for each
    subject, None where growth alone is told. `started` is PromQL of the Unix time at which the subject began anew.
    `remedy` says what to change when `times` the present limit is needed.
    """

    name: str
    expr: str
    subject: tuple[str, ...]
    limit: float | None
    unit: str
    remedy: Remedy
    started: str = ""


def of(stack: Stack, workloads: Sequence[Workload]) -> list[Quantity]:
    """Everything that is looked at on a stack."""
    return [
        *_prometheus(stack, workloads),
        *_memory(stack, workloads),
        _file_systems(),
        *([_volumes()] if stack.settings.target == "kubernetes" else []),
        *_stores(stack),
        *_loki(stack, workloads),
    ]


def _prometheus(stack: Stack, workloads: Sequence[Workload]) -> list[Quantity]:
    settings, own = stack.settings, _workload(workloads, "prometheus")
    assert own.storage is not None
    room, kept = own.storage.size * RETAINED_SHARE, settings.retention_days
    samples = "max(sum by (instance) (rate(prometheus_tsdb_head_samples_appended_total[1h])))"

    def planned(_labels: Labels, times: float) -> str:
        wanted = _rounded(settings.expected_series * times)
        return f"set monitoring:expectedSeries to {wanted}; make render then checks the volume"

    def storage(_labels: Labels, times: float) -> str:
        return f"{_storage('prometheus', own, times)}, or keep fewer monitoring:retentionDays (now {kept})"

    return [
        Quantity(
            "active series",
            "max(avg_over_time(prometheus_tsdb_head_series[1h]))",
            (),
            settings.expected_series,
            _COUNT,
            planned,
        ),
        Quantity("samples a second", samples, (), None, _COUNT, lambda _labels, _times: ""),
        Quantity(
            # What is on the disk levels off when the oldest blocks are deleted; what it would have to hold does not.
            f"Prometheus' disk, {kept} days of samples",
            f"{samples} * {kept * 86_400} * {capacity.BYTES_PER_SAMPLE}",
            (),
            room,
            _BYTES,
            storage,
        ),
    ]


def _memory(stack: Stack, workloads: Sequence[Workload]) -> list[Quantity]:
    parts = [workload for workload in workloads if workload.part_of == "platform" and workload.scrapes]
    names = {workload.scrapes[0].labels["service"]: workload for workload in parts}

    def of_part(labels: Labels, times: float) -> str:
        part = names.get(labels["service"])
        if part is None:
            return f"raise the memory limit of {labels['service']} to {times:.1f} times what it is"
        return _memory_of(part, times)

    def of_container(labels: Labels, times: float) -> str:
        part = next((workload for workload in workloads if workload.name == labels["name"]), None)
        if part is None:
            return f"raise the memory limit of {labels['name']} to {times:.1f} times what it is"
        return _memory_of(part, times)

    # Docker's names carry the stack's.
    prefix = f"monitoring-{stack.name}-"
    others = "|".join(f"{prefix}{workload.name}" for workload in parts)

    def by_name(expr: str) -> str:
        return f'max by (name) (label_replace({expr}, "name", "$1", "name", "{prefix}(.+)"))'

    return [
        Quantity(
            "memory of limit",
            "max by (service) (avg_over_time(instance:component_memory_used:ratio[1h]))",
            ("service",),
            1.0,
            _RATIO,
            of_part,
            "max by (service) (process_start_time_seconds)",
        ),
        Quantity(
            "memory of limit, container",
            by_name(f'avg_over_time(container:memory_used:ratio{{name!~"{others}"}}[1h])'),
            ("name",),
            1.0,
            _RATIO,
            of_container,
            by_name('container_start_time_seconds{name!=""}'),
        ),
    ]


def _file_systems() -> Quantity:
    return Quantity(
        "file system used",
        "1 - min by (instance, device) (avg_over_time(device:node_filesystem_avail:ratio[1h]))",
        ("instance", "device"),
        1.0,
        _RATIO,
        lambda labels, times: f"enlarge {labels['device']} of {labels['instance']} to {times:.1f} times its size",
    )


def _volumes() -> Quantity:
    return Quantity(
        "volume used",
        "1 - min by (namespace, persistentvolumeclaim) (avg_over_time(volume:kubelet_volume_available:ratio[1h]))",
        ("namespace", "persistentvolumeclaim"),
        1.0,
        _RATIO,
        lambda labels, times: (
            f"raise storage of its workload in monitoring:sizes, for claim {labels['persistentvolumeclaim']}, "
            f"to {times:.1f} times what it is"
        ),
    )


def _stores(stack: Stack) -> list[Quantity]:
    alerting = rules.read(stack)
    backlog = alerting.thresholds["RabbitMQQueueBacklogCritical"].threshold
    return [
        Quantity(
            "connections of max_connections",
            "max by (instance) (avg_over_time(job:pg_connection_pool_usage[1h]))",
            ("instance",),
            1.0,
            _RATIO,
            lambda labels, times: (
                f"raise max_connections of {labels['instance']} to {times:.1f} times it, or smaller pools"
            ),
        ),
        Quantity(
            "Redis memory of maxmemory",
            "max by (instance) (avg_over_time(instance:redis_memory_used:ratio[1h]))",
            ("instance",),
            1.0,
            _RATIO,
            lambda labels, times: f"raise maxmemory of {labels['instance']} to {times:.1f} times it, or shorter expiry",
            "max by (instance) (redis_start_time_seconds)",
        ),
        Quantity(
            "messages in queue",
            "max by (queue) (avg_over_time(rabbitmq_detailed_queue_messages[1h]))",
            ("queue",),
            backlog,
            _COUNT,
            lambda labels, _times: f"give {labels['queue']} more consumers, or find what they wait for",
        ),
    ]


def _loki(stack: Stack, workloads: Sequence[Workload]) -> list[Quantity]:
    own = next((workload for workload in workloads if workload.name == "loki"), None)
    if own is None or own.storage is None:
        return []
    kept = stack.settings.retention_days

    def remedy(_labels: Labels, times: float) -> str:
        return f"{_storage('loki', own, times)}, or keep fewer monitoring:retentionDays (now {kept})"

    return [
        Quantity(
            f"Loki's disk, {kept} days of chunks",
            f"sum(rate(loki_ingester_chunk_stored_bytes_total[1h])) * {kept * 86_400}",
            (),
            own.storage.size,
            _BYTES,
            remedy,
        )
    ]


def _workload(workloads: Sequence[Workload], name: str) -> Workload:
    return next(workload for workload in workloads if workload.name == name)


def _storage(name: str, workload: Workload, times: float) -> str:
    assert workload.storage is not None
    return f"set monitoring:sizes {{{name}: {{storage: {_size(workload.storage.size * times)}}}}}"


def _memory_of(workload: Workload, times: float) -> str:
    return f"set monitoring:sizes {{{workload.name}: {{memory: {_size(workload.resources.memory * times)}}}}}"


def _size(wanted: float) -> str:
    """Bytes as a setting takes them, rounded up: to 64 Mi below 2 Gi, to Gi above."""
    if wanted < 2 * GIB:
        return f"{-(-wanted // (64 * MIB)) * 64:.0f}Mi"
    return f"{-(-wanted // GIB):.0f}Gi"


def _rounded(wanted: float) -> str:
    return f"{-(-wanted // 1000) * 1000:.0f}"
