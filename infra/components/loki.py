"""Loki: keeps the logs and answers for them."""

from infra import documents
from infra.errors import InputError, read_mapping
from infra.stack import Stack
from infra.workload import GIB, MIB, ConfigFile, Port, Probe, Resources, Scrape, Security, Storage, Workload

PORT = 3100


def build(stack: Stack) -> Workload:
    """Loki in one process, keeping logs as long as Prometheus keeps metrics."""
    return Workload(
        name="loki",
        kind="stateful",
        image=stack.images["loki"],
        team="platform",
        part_of="platform",
        security=Security(10001, 10001),
        resources=Resources(memory=384 * MIB),
        args=("-config.file=/etc/loki/loki.yml",),
        ports=(Port("http", PORT, stack.settings.loki_port),),
        config_files=(ConfigFile("/etc/loki/loki.yml", config(stack)),),
        storage=Storage("/loki", 50 * GIB),
        scratch=("/tmp",),  # noqa: S108 - the container's own
        # /ready answers 503 for the first 15 s by design: the ingester waits for its ring.
        readiness=Probe("/ready", PORT, start_period=60, live_path="/loki/api/v1/status/buildinfo"),
        grace_seconds=30,
        checks=(("loki", "-verify-config", "-config.file=etc/loki/loki.yml"),),
        scrapes=(Scrape("loki", (f"loki:{PORT}",), {"service": "loki", "team": "platform"}),),
    )


def config(stack: Stack) -> str:
    """configs/loki/loki.yml with the retention of the settings."""
    data = read_mapping(stack.root / "configs/loki/loki.yml", stack.root)
    if not isinstance(data.setdefault("limits_config", {}), dict):
        raise InputError("configs/loki/loki.yml: limits_config: is not a mapping; see the version in git.")
    data["limits_config"]["retention_period"] = f"{stack.settings.retention_days * 24}h"
    return documents.dump(data)
