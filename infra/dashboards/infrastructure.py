"""Do the hosts, the containers and the monitoring itself have what they need?"""

from infra.dashboards import infrastructure_parts
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, number, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    DAYS,
    NUMBER,
    PER_SECOND,
    RATIO,
    SECONDS,
    STATE,
)

OF_HOST = variables.HOST.chosen
_THIS_HOST = [links.to("Only this host", "infrastructure", host="instance")]


def build(source: Source) -> Page:
    """uid infrastructure."""
    draft = Draft(
        "infrastructure",
        "Infrastructure",
        "Hosts by use, saturation and errors; containers; and the parts of the monitoring platform.",
        [variables.HOST],
    )
    draft.row("Does what everything stands on hold?", *_answer(source))
    draft.row("Which host?", _hosts(source))
    draft.row("Are CPU and memory enough?", *_compute(source))
    draft.row("Are the disks?", *_disks(source))
    draft.row("Is the network?", *_network())
    draft.row("Which container?", *infrastructure_parts.containers())
    draft.row("Does everything that is watched answer?", *infrastructure_parts.targets(source))
    draft.row("Does the monitoring itself hold?", *infrastructure_parts.health(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    parts = "catalog:component:expected unless on (service) (max by (service) (up) == 1)"
    exporters = (
        'up{job!~"health|certificates"} == 0'
        " unless on (service) catalog:service:expected unless on (service) catalog:component:expected"
    )
    return [
        number(
            "Busiest host",
            Query(worst(f"instance:node_cpu_used:ratio{{{OF_HOST}}}", "HighCPUUsage"), "{{instance}}"),
            unit=RATIO,
            limits=source.limits("HighCPUUsage"),
            absent="no host",
            links=_THIS_HOST,
            what="Share of its CPUs in use over 5 minutes, of the host nearest to its limit.",
            wrong="Find the container that takes it below; stop what can wait, or move services away.",
        ),
        number(
            "Fullest memory",
            Query(worst(f"instance:node_memory_used:ratio{{{OF_HOST}}}", "HighMemoryUsage"), "{{instance}}"),
            unit=RATIO,
            limits=source.limits("HighMemoryUsage"),
            absent="no host",
            links=_THIS_HOST,
            what="Share of memory that the kernel could not give to anybody else, of the host nearest to its limit.",
            wrong="Restart the container that grew, before the kernel chooses one itself.",
        ),
        number(
            "Least disk space",
            Query(
                worst(f"device:node_filesystem_avail:ratio{{{OF_HOST}}}", "DiskSpaceCritical", below=True),
                "{{instance}} {{device}}",
            ),
            unit=RATIO,
            limits=source.limits("DiskSpaceWarning", "DiskSpaceCritical", below=True),
            absent="no host",
            links=_THIS_HOST,
            what="Free share of the disk nearest to its limit.",
            wrong="Remove old logs, images and backups first; drop a replication slot that nobody reads.",
        ),
        number(
            "Platform parts down",
            Query(f"count({parts}) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            links=[links.to("Alerting", "alerting")],
            what="Parts of the monitoring platform of which no instance answers.",
            wrong="Start it again; until then alerts, logs or dashboards are missing. The strips below name it.",
        ),
        number(
            "Exporters down",
            Query(f"count({exporters}) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Exporters of hosts, containers and data stores that do not answer.",
            wrong="If what it watches is down too, bring that back first; else restart the exporter: it sees nothing.",
        ),
        number(
            "First certificate to end",
            Query(worst("instance:certificate_remaining:days", "CertificateExpiring", below=True), "{{instance}}"),
            unit=DAYS,
            limits=source.limits("CertificateExpiresSoon", "CertificateExpiring", below=True),
            absent="no probe",
            what="Days until the first of the probed certificates ends.",
            wrong="Automatic renewal has failed: renew by hand, then see that the endpoint has loaded the new one.",
        ),
    ]


def _hosts(source: Source) -> Panel:
    def of(expr: str) -> str:
        return f"max by (instance) ({expr})"

    faults = f"sum by (instance) (instance:node_network_faults:rate5m{{{OF_HOST}}})"
    return rows(
        "Hosts",
        ["instance"],
        [
            Column("CPU", of(f"instance:node_cpu_used:ratio{{{OF_HOST}}}"), RATIO, source.limits("HighCPUUsage")),
            Column("Load per core", of(f"instance:node_load5:per_core{{{OF_HOST}}}"), NUMBER),
            Column(
                "Memory", of(f"instance:node_memory_used:ratio{{{OF_HOST}}}"), RATIO, source.limits("HighMemoryUsage")
            ),
            Column(
                "Least disk free",
                f"min by (instance) (device:node_filesystem_avail:ratio{{{OF_HOST}}})",
                RATIO,
                source.limits("DiskSpaceWarning", "DiskSpaceCritical", below=True),
            ),
            Column("Disk busy", of(f"instance:node_disk_busy:ratio_rate5m{{{OF_HOST}}}"), RATIO),
            Column("Network faults", faults, PER_SECOND),
            Column("Open files", of(f"instance:node_filefd_used:ratio{{{OF_HOST}}}"), RATIO),
            Column("Running for", of(f"time() - node_boot_time_seconds{{{OF_HOST}}}"), SECONDS),
            Column(
                "Clock off by",
                of(f"abs(instance:node_clock_deviation:seconds{{{OF_HOST}}})"),
                SECONDS,
                source.limits(critical="HostClockSkewed"),
            ),
            Column(
                "Certificate ends in",
                f"min by (instance) (instance:host_certificate_remaining:days{{{OF_HOST}}})",
                DAYS,
                source.limits("HostCertificateExpiring", below=True),
            ),
        ],
        sort="CPU",
        links=[links.from_row("Only this host", "infrastructure", host="Instance")],
        what="Use, saturation and errors of every host, over 5 minutes; open files as a share of the kernel's limit; "
        "a clock is compared with most hosts'; the certificate is the exporter's on a bare host.",
        wrong="One host stands out: move work away from it. All do: there is too little capacity.",
        height=6,
    )


def _compute(source: Source) -> list[Panel]:
    return [
        graph(
            "CPU",
            [Query(f"instance:node_cpu_used:ratio_by_minute{{{OF_HOST}}}", "{{instance}}")],
            unit=RATIO,
            limits=source.limits("HighCPUUsage"),
            maximum=1,
            links=_THIS_HOST,
            what="Share of each host's CPUs in use, over 5 minutes.",
            wrong="A step: stop what was started then. A slope: traffic; add capacity before it reaches the line.",
            width=8,
        ),
        graph(
            "Load per core",
            [Query(f"instance:node_load5:per_core{{{OF_HOST}}}", "{{instance}}")],
            unit=NUMBER,
            links=_THIS_HOST,
            what="Processes that run or wait, for each core, over 5 minutes.",
            wrong="Above 1 with busy CPUs: too little CPU. Above 1 with idle ones: they wait for a disk, see below.",
            width=8,
        ),
        graph(
            "Memory",
            [Query(f"instance:node_memory_used:ratio_by_minute{{{OF_HOST}}}", "{{instance}}")],
            unit=RATIO,
            limits=source.limits("HighMemoryUsage"),
            maximum=1,
            links=_THIS_HOST,
            what="Share of each host's memory that the kernel could not give to anybody else.",
            wrong="Look for the container whose memory rises with it, and restart it before the kernel ends one.",
            width=8,
        ),
    ]


def _disks(source: Source) -> list[Panel]:
    free = f"device:node_filesystem_avail:ratio_by_minute{{{OF_HOST}}}"
    by = "max by (instance, device)"
    return [
        graph(
            "Free disk space",
            [Query(free, "{{instance}} {{device}}")],
            unit=RATIO,
            limits=source.limits("DiskSpaceWarning", "DiskSpaceCritical", below=True),
            maximum=1,
            links=_THIS_HOST,
            what="Free share of each disk, of space or of inodes if these are scarcer, however often it is mounted.",
            wrong="Falls in a step: a backup, an image or a core dump, remove it. Falls steadily: a shorter retention.",
            width=8,
        ),
        graph(
            "Days until full",
            [Query(f"device:node_filesystem_remaining:days{{{OF_HOST}}}", "{{instance}} {{device}}")],
            unit=DAYS,
            limits=source.limits("DiskWillFill", below=True),
            links=_THIS_HOST,
            what="When each disk is full at the pace of the last three days; none where it does not fill.",
            wrong="Order a larger volume or shorten the retention of what grows, while there is time for either.",
            width=8,
        ),
        graph(
            "Disk busy",
            [Query(f"instance:node_disk_busy:ratio_rate5m{{{OF_HOST}}}", "{{instance}}")],
            unit=RATIO,
            maximum=1,
            links=_THIS_HOST,
            what="Share of time in which each host's busiest disk worked, over 5 minutes.",
            wrong="Near 100 % all that writes waits: look for a backup, a compaction, a query without an index.",
            width=8,
        ),
        rows(
            "Disks",
            ["instance", "device"],
            [
                Column(
                    "Free",
                    f"{by} ({free})",
                    RATIO,
                    source.limits("DiskSpaceWarning", "DiskSpaceCritical", below=True),
                ),
                Column("Free bytes", f"{by} (device:node_filesystem_avail_bytes:min{{{OF_HOST}}})", BYTES),
                Column(
                    "Free in 4 hours",
                    f"{by} (predict_linear(device:node_filesystem_avail:ratio_by_minute{{{OF_HOST}}}[1h], 4 * 3600))",
                    RATIO,
                ),
                Column(
                    "Full in 4 hours",
                    f"{by} (0 * device:node_filesystem_avail:predicted4h{{{OF_HOST}}} + 1 or 0 * {free})",
                    STATE,
                    NONE_EXPECTED,
                    {0: "no", 1: "yes"},
                ),
                Column(
                    "Days until full",
                    f"{by} (device:node_filesystem_remaining:days{{{OF_HOST}}})",
                    DAYS,
                    source.limits("DiskWillFill", below=True),
                ),
            ],
            links=[links.from_row("Only this host", "infrastructure", host="Instance")],
            what="Every disk with what is free and what will be: by the last hour, by the last six and by three days.",
            wrong="Full in 4 hours: free space now. Few days: plan a larger volume. Below zero alone: maybe a job.",
            width=16,
            height=8,
        ),
        graph(
            "Volumes",
            [Query("volume:kubelet_volume_available:ratio", "{{namespace}} {{persistentvolumeclaim}}")],
            unit=RATIO,
            limits=source.limits("VolumeSpaceWarning", "VolumeSpaceCritical", below=True),
            maximum=1,
            what="Free share of each claim's volume on a cluster, of bytes or of inodes if these are scarcer. One "
            "that is a folder of a disk has the disk's share, or none.",
            wrong="Enlarge the claim, where its storage class allows it; else shorten what is kept, or free space.",
            width=8,
        ),
    ]


def _network() -> list[Panel]:
    return [
        graph(
            "Network traffic",
            [
                Query(f"instance:node_network_receive_bytes:rate5m{{{OF_HOST}}}", "{{instance}} received"),
                Query(f"instance:node_network_transmit_bytes:rate5m{{{OF_HOST}}}", "{{instance}} sent"),
            ],
            unit=BYTES_PER_SECOND,
            links=_THIS_HOST,
            what="Bytes that each host receives and sends each second, over 5 minutes.",
            wrong="Flat at the top: the line is full. Only received rises: a flood. Only sent: backup or theft.",
        ),
        graph(
            "Network errors and drops",
            [Query(f"instance:node_network_faults:rate5m{{{OF_HOST}}}", "{{instance}} {{fault}}")],
            unit=PER_SECOND,
            links=_THIS_HOST,
            what="Packets that each host received broken, could not send or dropped each second, over 5 minutes.",
            wrong="Broken or not sent: cable, card or driver. Dropped: buffers too small, or no CPU to empty them.",
        ),
    ]
