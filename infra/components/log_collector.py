"""The log collector: one per machine, from the files the containers log to, to Loki."""

from infra.stack import Stack
from infra.workload import GIB, MIB, Call, Port, Probe, Resources, Scrape, Security, Storage, Workload


def build(stack: Stack) -> Workload:
    """An OpenTelemetry Collector that tails the log files of the machine's containers."""
    return Workload(
        name="log-collector",
        kind="per-node",
        image=stack.images["otelcol"],
        team="platform",
        part_of="platform",
        # The log files belong to root.
        security=Security(0, 0),
        resources=Resources(memory=160 * MIB),
        args=("--config=/etc/otelcol/config.yml",),
        ports=(Port("health", 13133), Port("metrics", 8888)),
        config_files=(stack.config(stack.surroundings.log_config, "/etc/otelcol/config.yml"),),
        host_paths=(stack.surroundings.log_files,),
        storage=Storage("/var/lib/otelcol", 1 * GIB),
        checks=(("otelcol", "validate", "--config=etc/otelcol/config.yml"),),
        readiness=Probe("/", 13133),
        calls=(Call("loki", 3100),),
        scrapes=(Scrape("log-collector", ("log-collector:8888",), {"service": "log-collector", "team": "platform"}),),
    )
