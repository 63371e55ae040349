"""The exchange's data stores as dev runs them: Postgres with a streaming replica, Redis, RabbitMQ."""

from infra.stack import Stack
from infra.workload import GIB, MIB, Port, Probe, Resources, SecretFile, Security, Storage, Workload


def postgres(stack: Stack, role: str) -> Workload:
    """Postgres 15 as "primary" or as its "replica"."""
    return Workload(
        name=f"postgres-{role}",
        kind="stateful",
        image=stack.images["postgres"],
        team="database",
        part_of="exchange",
        security=Security(999, 999),
        resources=Resources(memory=320 * MIB),
        command=("/bin/bash", "/etc/postgres/start.sh"),
        args=(role,),
        ports=(Port("postgres", 5432),),
        config_files=(
            stack.config("postgres/start.sh", "/etc/postgres/start.sh"),
            stack.config("postgres/postgresql.conf", "/etc/postgres/postgresql.conf"),
        ),
        secret_files=(SecretFile("/run/secrets/postgres-password", "postgres-password"),),
        storage=Storage("/var/lib/postgresql/data", 20 * GIB),
        scratch=("/tmp",),  # noqa: S108 - the container's own
        readiness=Probe(
            command=("pg_isready", "--host=127.0.0.1", "--username=exchange", "--dbname=exchange"), start_period=60
        ),
        grace_seconds=30,
    )


def redis(stack: Stack) -> Workload:
    """Redis 7 with a memory limit of its own."""
    return Workload(
        name="redis",
        kind="stateful",
        image=stack.images["redis"],
        team="database",
        part_of="exchange",
        security=Security(999, 999),
        resources=Resources(memory=128 * MIB),
        command=("redis-server",),
        args=("/usr/local/etc/redis/redis.conf",),
        ports=(Port("redis", 6379),),
        config_files=(stack.config("redis/redis.conf", "/usr/local/etc/redis/redis.conf"),),
        secret_files=(SecretFile("/run/secrets/redis-auth.conf", "redis-password", form="requirepass {}\n"),),
        storage=Storage("/data", 1 * GIB),
        # PING is refused without the password; that answer too says that Redis listens.
        readiness=Probe(command=("redis-cli", "ping")),
    )


def rabbitmq(stack: Stack) -> Workload:
    """RabbitMQ with its Prometheus plugin."""
    return Workload(
        name="rabbitmq",
        kind="stateful",
        image=stack.images["rabbitmq"],
        team="database",
        part_of="exchange",
        security=Security(999, 999),
        resources=Resources(memory=320 * MIB),
        ports=(Port("amqp", 5672), Port("metrics", 15692)),
        config_files=(
            stack.config("rabbitmq/10-monitoring.conf", "/etc/rabbitmq/conf.d/10-monitoring.conf"),
            stack.config("rabbitmq/enabled_plugins", "/etc/rabbitmq/enabled_plugins"),
        ),
        secret_files=(
            SecretFile(
                "/etc/rabbitmq/conf.d/20-user.conf",
                "rabbitmq-password",
                form="default_user = exchange\ndefault_pass = {}\n",
            ),
        ),
        storage=Storage("/var/lib/rabbitmq", 1 * GIB),
        scratch=("/tmp", "/var/log/rabbitmq"),  # noqa: S108 - the container's own
        # One scheduler thread pair is plenty here, and idle Erlang schedulers spin.
        env={"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"},
        readiness=Probe("", 5672, start_period=60),
        grace_seconds=30,
    )
