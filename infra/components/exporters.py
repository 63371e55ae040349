"""Exporters that stand beside what they watch: hosts, containers, Postgres, Redis, HTTP probes."""

from infra.catalog import Dependency
from infra.components import simulator
from infra.stack import Stack
from infra.workload import (
    MIB,
    OUTSIDE,
    Call,
    ConfigFile,
    HostPath,
    Image,
    Port,
    Probe,
    Resources,
    Scrape,
    SecretFile,
    Security,
    Workload,
)

NOBODY = Security(65534, 65534)


def node(stack: Stack) -> Workload:
    """node_exporter for the machine the stack runs on."""
    return Workload(
        name="node-exporter",
        kind="per-node",
        image=stack.images["node-exporter"],
        team="platform",
        part_of="exporters",
        security=Security(65534, 65534, host_network=True),
        resources=Resources(memory=64 * MIB),
        args=("--path.rootfs=/host", "--path.procfs=/host/proc", "--path.sysfs=/host/sys"),
        ports=(Port("metrics", 9100),),
        host_paths=(HostPath("/", "/host"),),
        readiness=Probe("/", 9100),
        scrapes=(
            Scrape(
                "node",
                ("node-exporter:9100",),
                {"service": "host", "team": "platform", "instance": "docker-host"},
            ),
        ),
    )


def containers(stack: Stack) -> Workload:
    """cAdvisor for the containers of this machine's Docker."""
    return Workload(
        name="cadvisor",
        kind="per-node",
        image=stack.images["cadvisor"],
        team="platform",
        part_of="exporters",
        # Reads every container's cgroup and the engine's socket.
        security=Security(0, 0, capabilities=("DAC_READ_SEARCH", "SYS_PTRACE")),
        resources=Resources(memory=192 * MIB),
        args=("--port=8080", "--docker_only=true", "--housekeeping_interval=15s", "--store_container_labels=false"),
        ports=(Port("metrics", 8080),),
        host_paths=(
            HostPath("/", "/rootfs"),
            HostPath("/var/run", "/var/run"),
            HostPath("/sys", "/sys"),
            HostPath("/var/lib/docker", "/var/lib/docker"),
        ),
        readiness=Probe("/healthz", 8080),
        scrapes=(Scrape("cadvisor", ("cadvisor:8080",), _labels("cadvisor", "platform")),),
    )


def blackbox(stack: Stack) -> Workload:
    """blackbox_exporter: probes every service's /health."""
    return Workload(
        name="blackbox-exporter",
        kind="stateless",
        image=stack.images["blackbox-exporter"],
        team="platform",
        part_of="exporters",
        security=NOBODY,
        resources=Resources(memory=64 * MIB),
        args=("--config.file=/etc/blackbox/blackbox.yml",),
        ports=(Port("http", 9115),),
        config_files=(stack.config("blackbox/blackbox.yml", "/etc/blackbox/blackbox.yml"),),
        checks=(("blackbox_exporter", "--config.check", "--config.file=etc/blackbox/blackbox.yml"),),
        readiness=Probe("/-/healthy", 9115),
        calls=(
            *(Call(service.name, service.port) for service in stack.catalog.services),
            *((Call(simulator.CONTROL, simulator.HTTPS_PORT),) if stack.settings.simulator else ()),
            *dict.fromkeys(Call(OUTSIDE, int(probe.rpartition(":")[2])) for probe in stack.settings.tls_probes),
        ),
        scrapes=(Scrape("blackbox-exporter", ("blackbox-exporter:9115",), _labels("blackbox-exporter", "platform")),),
    )


def of_dependency(stack: Stack, name: str, store: Dependency) -> list[Workload]:
    """The exporters for one data store of the catalog; RabbitMQ needs none, its plugin speaks for it."""
    if store.kind == "postgres":
        return [_postgres(stack, name, store, host) for host in store.hosts]
    if store.kind == "redis":
        return [_redis(stack, name, store, host) for host in store.hosts]
    return []


def _postgres(stack: Stack, name: str, store: Dependency, host: str) -> Workload:
    image = stack.images["postgres-exporter"]
    statements, files = _statements(stack, image)
    exporter = f"{host}-exporter"
    return Workload(
        name=exporter,
        kind="stateless",
        image=image,
        team=store.team,
        part_of="exporters",
        security=NOBODY,
        resources=Resources(memory=64 * MIB),
        args=statements,
        env={
            "DATA_SOURCE_URI": f"{host}:{store.port}/exchange?sslmode=disable",
            "DATA_SOURCE_USER": "monitoring",
            "DATA_SOURCE_PASS_FILE": "/run/secrets/postgres-password",
        },
        ports=(Port("metrics", 9187),),
        config_files=files,
        secret_files=(SecretFile("/run/secrets/postgres-password", "postgres-password"),),
        readiness=Probe("/", 9187),
        calls=(Call(host, store.port or 0),),
        scrapes=(
            Scrape(
                "postgres",
                (f"{exporter}:9187",),
                {"service": name, "team": store.team, "instance": host},
            ),
        ),
    )


def _statements(stack: Stack, image: Image) -> tuple[tuple[str, ...], tuple[ConfigFile, ...]]:
    """Flags and files that make the exporter report statements, transactions and the replica's role.

    The collectors came with 0.12; Debian's 0.11 reads the same figures through queries of ours.
    """
    if tuple(int(part) for part in image.version.split(".")[:2]) >= (0, 12):
        return ("--collector.stat_statements", "--collector.long_running_transactions", "--collector.postmaster"), ()
    path = "/etc/postgres-exporter/queries.yml"
    return (f"--extend.query-path={path}",), (stack.config("postgres/exporter-queries.yml", path),)


def _redis(stack: Stack, name: str, store: Dependency, host: str) -> Workload:
    exporter = f"{host}-exporter"
    return Workload(
        name=exporter,
        kind="stateless",
        image=stack.images["redis-exporter"],
        team=store.team,
        part_of="exporters",
        security=NOBODY,
        resources=Resources(memory=64 * MIB),
        args=(f"--redis.addr=redis://{host}:{store.port}", "--redis.password-file=/run/secrets/redis-passwords.json"),
        ports=(Port("metrics", 9121),),
        secret_files=(
            SecretFile(
                "/run/secrets/redis-passwords.json",
                "redis-password",
                form='{{"redis://' + f"{host}:{store.port}" + '": "{}"}}',
            ),
        ),
        readiness=Probe("/", 9121),
        calls=(Call(host, store.port or 0),),
        scrapes=(Scrape("redis", (f"{exporter}:9121",), {"service": name, "team": store.team, "instance": host}),),
    )


def rabbitmq_scrapes(name: str, store: Dependency) -> tuple[Scrape, ...]:
    """RabbitMQ's own plugin: the broker's totals, and per queue what alerts need."""
    host = store.hosts[0]
    labels = {"service": name, "team": store.team, "instance": host}
    return (
        Scrape("rabbitmq", (f"{host}:15692",), labels),
        Scrape(
            "rabbitmq-queues",
            (f"{host}:15692",),
            labels,
            path="/metrics/detailed",
            # /metrics has no queue label, and /metrics/per-object lists everything about every connection.
            params={"family": ("queue_coarse_metrics", "queue_consumer_count")},
        ),
    )


def _labels(service: str, team: str) -> dict[str, str]:
    return {"service": service, "team": team}
