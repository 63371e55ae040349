"""Do the data stores keep up? Postgres, Redis and RabbitMQ, and the services that stand on them."""

from infra.dashboards import database_cache_postgres, database_cache_stores
from infra.dashboards.database_cache_postgres import SERVER, TO_SERVER
from infra.dashboards.database_cache_stores import OF_QUEUE
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, SOME_EXPECTED
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import DEPENDENTS, number, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, FINE_RATIO, FINE_SECONDS, RATIO, SECONDS, STATE

REACHED = {0: "not reached", 1: "reached", 2: "says nothing"}


def build(source: Source) -> Page:
    """uid database-cache."""
    draft = Draft(
        "database-cache",
        "Databases and caches",
        "Whether Postgres, Redis and RabbitMQ keep up, and whose fault it is when they do not.",
        [variables.DATABASE_SERVER, variables.DATABASE, variables.QUEUE],
    )
    draft.row("Do the data stores keep up?", *_answer(source))
    draft.row("Who stands on them, and what do they say?", _stores(), _dependents(source))
    draft.row("Postgres: connections and replication", *database_cache_postgres.connections(source))
    draft.row("Postgres: what it works on", *database_cache_postgres.work(source))
    draft.row("Redis", *database_cache_stores.redis(source))
    draft.row("RabbitMQ", *database_cache_stores.rabbitmq(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    return [
        number(
            "Dependencies down",
            Query("count(dependency:down == 1) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Data stores, and hosts that services depend on, that neither exporter nor services reach.",
            wrong="The table below names it. Look at its container or host first, then at its log.",
            links=[links.to("Hosts", "infrastructure")],
        ),
        number(
            "Most connections in use",
            Query(
                worst(f"job:pg_connection_pool_usage{{{SERVER}}}", "DatabaseConnectionPoolExhausted"),
                "{{service}} {{instance}}",
            ),
            unit=RATIO,
            limits=source.limits("DatabaseConnectionPoolWarning", "DatabaseConnectionPoolExhausted"),
            links=TO_SERVER,
            what="Share of its allowed connections that the fullest Postgres server has open.",
            wrong="When none is left every service fails. End idle transactions, scale back what was scaled out.",
        ),
        number(
            "Replica furthest behind",
            Query(
                worst(f"instance:pg_replication_lag:seconds{{{SERVER}}}", "DatabaseReplicationLagCritical"),
                "{{service}} {{instance}}",
            ),
            unit=SECONDS,
            limits=source.limits(None, "DatabaseReplicationLagCritical"),
            absent="no replica",
            links=TO_SERVER,
            what="Seconds by which the last replica's data is older than its primary's.",
            wrong="Do not fail over to it now. End long queries on it, look at its disk.",
        ),
        number(
            "Servers in the wrong role",
            Query(
                f"count(pg_replication_is_replica{{{SERVER}}} != on (service, instance) group_left () "
                "catalog:postgres:is_replica) or vector(0)"
            ),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Postgres servers that run as primary where the catalog has a replica, or the other way round.",
            wrong="A failover happened: make sure that one server only takes writes, then correct the catalog.",
        ),
        number(
            "Redis memory",
            Query(worst("instance:redis_memory_used:ratio", "RedisMemoryCritical"), "{{service}} {{instance}}"),
            unit=RATIO,
            limits=source.limits("RedisMemoryWarning", "RedisMemoryCritical"),
            absent="no limit set",
            links=TO_SERVER,
            what="Share of its memory limit (maxmemory) that the fullest Redis uses.",
            wrong="Keys are dropped at the limit: raise maxmemory, then find keys without an expiry.",
        ),
        number(
            "Longest queue",
            Query(
                worst(f"rabbitmq_detailed_queue_messages{{{OF_QUEUE}}}", "RabbitMQQueueBacklogCritical"),
                "{{service}} {{queue}}",
            ),
            unit=COUNT,
            limits=source.limits("RabbitMQQueueBacklogWarning", "RabbitMQQueueBacklogCritical"),
            absent="no queue",
            links=TO_SERVER,
            what="Messages in the fullest queue: waiting, or handed out and not confirmed.",
            wrong="The table of queues says whether it has a consumer; restart or scale the service that reads it.",
        ),
    ]


def _stores() -> Panel:
    expected = "max by (service, kind) (catalog:dependency:expected)"
    unreached = (
        "label_replace(count by (dependency) (min by (dependency, service) (service_dependency_up) == 0),"
        ' "service", "$1", "dependency", "(.+)")'
    )
    return rows(
        "Data stores and hosts",
        ["service", "kind"],
        [
            Column(
                "State",
                f"max by (service, kind) (0 * (dependency:down == 1)) or {expected}",
                STATE,
                SOME_EXPECTED,
                UP,
            ),
            Column("Used by", f"{expected} * on (service) group_left () {DEPENDENTS}", COUNT),
            Column(
                "Cut off",
                f"{expected} * on (service) group_left () {unreached} or 0 * {expected}",
                COUNT,
                NONE_EXPECTED,
            ),
        ],
        sort="Used by",
        links=[links.from_row("System health", "system-health"), links.from_row("Hosts", "infrastructure")],
        what="What services depend on: whether it answers, how many services use it and how many do not reach it.",
        wrong="Up but not reached is the network or a password; down is the store itself: bring it back first.",
        width=10,
        height=8,
    )


def _dependents(source: Source) -> Panel:
    return rows(
        "What the services say",
        ["service", "dependency"],
        [
            Column(
                "Says",
                "min by (service, dependency) (service_dependency_up)"
                " or 2 * max by (service, dependency) (catalog:service:depends)",
                STATE,
                SOME_EXPECTED,
                REACHED,
            ),
            Column(
                "Errors",
                "max by (service, dependency) (catalog:service:depends"
                " * on (service) group_left () max by (service) (job:http_error_rate))",
                FINE_RATIO,
                source.limits("HighErrorRateWarning", "HighErrorRate"),
            ),
            Column(
                "P99",
                "max by (service, dependency) (catalog:service:depends"
                " * on (service) group_left () max by (service) (job:http_request_duration_p99))",
                FINE_SECONDS,
                source.limits(None, "APILatencyCritical"),
            ),
        ],
        sort="Errors",
        links=[
            links.from_row("Performance of the service", "app-performance", service="Service"),
            links.to_logs("${__data.fields.Service}"),
        ],
        what="Each service and what it depends on: whether its health check reaches it, the service's share of "
        "answers 5xx and its P99 over 5 minutes. A host is not asked for.",
        wrong="One service alone that does not reach a store has wrong credentials or lost its network.",
        width=14,
        height=8,
    )
