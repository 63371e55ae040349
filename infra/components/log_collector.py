"""The log collector: one per machine, from container log files to Loki."""

from infra.stack import Stack
from infra.workload import GIB, MIB, HostPath, Port, Probe, Resources, Scrape, Security, Storage, Workload


def build(stack: Stack) -> Workload:
    """An OpenTelemetry Collector that tails the log files of Docker's containers."""
    return Workload(
        name="log-collector",
        kind="per-node",
        image=stack.images["otelcol"],
        team="platform",
        part_of="platform",
        # Docker's log files belong to root.
        security=Security(0, 0, capabilities=("DAC_READ_SEARCH",)),
        resources=Resources(memory=160 * MIB),
        args=("--config=/etc/otelcol/config.yml",),
        ports=(Port("health", 13133), Port("metrics", 8888)),
        config_files=(stack.config("log-collector/config.yml", "/etc/otelcol/config.yml"),),
        host_paths=(HostPath("/var/lib/docker/containers", "/var/lib/docker/containers"),),
        storage=Storage("/var/lib/otelcol", 1 * GIB),
        checks=(("otelcol", "validate", "--config=etc/otelcol/config.yml"),),
        readiness=Probe("/", 13133),
        scrapes=(Scrape("log-collector", ("log-collector:8888",), {"service": "log-collector", "team": "platform"}),),
    )
