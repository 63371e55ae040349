"""The rows about Redis and RabbitMQ on the dashboard of databases and caches."""

from infra.dashboards.database_cache_postgres import TO_SERVER
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph, states
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, PER_SECOND, RATIO

OF_QUEUE = variables.QUEUE.chosen


def redis(source: Source) -> list[Panel]:
    """Memory, hits and load of the caches."""
    return [
        graph(
            "Memory",
            [Query("instance:redis_memory_used:ratio", "{{service}} {{instance}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits("RedisMemoryWarning", "RedisMemoryCritical"),
            links=TO_SERVER,
            what="Share of the memory limit in use.",
            wrong="Raise maxmemory for now; redis-cli --bigkeys names what grew.",
            width=8,
        ),
        graph(
            "Hit rate",
            [Query("job:redis_hit_rate", "{{service}} {{instance}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits("RedisCacheHitRateLow", below=True),
            links=TO_SERVER,
            what="Share of look-ups that find a key, over 5 minutes.",
            wrong="Keys evicted (beside) mean too little memory; else a deployment renamed keys or shortened expiry.",
            width=8,
        ),
        graph(
            "Keys removed",
            [Query("instance:redis_keys_removed:rate5m", "{{reason}} {{instance}}")],
            unit=PER_SECOND,
            links=TO_SERVER,
            what="Keys dropped each second for want of memory (evicted) or at the end of their time (expired).",
            wrong="Any evicted key was still wanted, sessions among them: give Redis more memory.",
            width=8,
        ),
        graph(
            "Commands",
            [Query("instance:redis_commands:rate2m", "{{service}} {{instance}}")],
            unit=PER_SECOND,
            links=TO_SERVER,
            what="Commands run each second.",
            wrong="A jump is a service in a loop, none at all a cut network: compare with the clients beside.",
            width=8,
        ),
        graph(
            "Clients",
            [Query("instance:redis_clients:max", "{{state}} {{instance}}")],
            unit=COUNT,
            links=TO_SERVER,
            what="Connections open, and those blocked in a command that waits.",
            wrong="A steady rise is a service that does not close connections: restart it and repair its pool.",
            width=8,
        ),
        _redis_now(),
    ]


def _redis_now() -> Panel:
    def value(metric: str) -> str:
        return f"sum by (instance) ({metric})"

    return rows(
        "Redis now",
        ["instance"],
        [
            Column("Keys", value("redis_db_keys"), COUNT),
            Column("Expiring", value("redis_db_keys_expiring"), COUNT),
            Column("Clients", value("redis_connected_clients"), COUNT),
            Column(
                "Refused",
                value("increase(redis_rejected_connections_total[1d])"),
                COUNT,
                Limits(warning=1),
            ),
        ],
        links=[links.to_logs("${__data.fields.Instance}")],
        what="Keys held, how many of them end by themselves, clients, and connections refused in a day.",
        wrong="Keys without an expiry that grow fill the memory; refused connections have reached maxclients.",
        width=8,
        height=8,
    )


def rabbitmq(source: Source) -> list[Panel]:
    """Queues, who reads them, and the broker's own alarms."""
    backlog = source.limits("RabbitMQQueueBacklogWarning", "RabbitMQQueueBacklogCritical")

    def each(series: str) -> str:
        return f"max by (queue, vhost, instance) ({series}{{{OF_QUEUE}}})"

    return [
        rows(
            "Queues",
            ["queue", "vhost", "instance"],
            [
                Column("Messages", each("rabbitmq_detailed_queue_messages"), COUNT, backlog),
                Column("Ready", each("rabbitmq_detailed_queue_messages_ready"), COUNT),
                Column("Unacknowledged", each("rabbitmq_detailed_queue_messages_unacked"), COUNT),
                Column("Consumers", each("rabbitmq_detailed_queue_consumers"), COUNT),
                Column(
                    "Wait for nobody",
                    "max by (queue, vhost, instance) "
                    f"(queue:rabbitmq_messages_without_consumer:ready{{{OF_QUEUE}}}"
                    f" or 0 * rabbitmq_detailed_queue_messages{{{OF_QUEUE}}})",
                    COUNT,
                    Limits(warning=1),
                ),
            ],
            sort="Messages",
            links=[links.to_logs("${__data.fields.Instance}")],
            what="Messages of each queue now: ready to be fetched, handed out and not acknowledged; its consumers; and "
            "messages that wait where nobody consumes, queues of dead letters left out.",
            wrong="No consumer: the service that reads it is down. Many unacknowledged: it hangs or fails each one.",
            width=14,
        ),
        states(
            "Alarms",
            Query("instance:rabbitmq_alarm:max", "{{alarm}} {{instance}}"),
            texts={0: "quiet", 1: "publishing is blocked"},
            limits=NONE_EXPECTED,
            links=TO_SERVER,
            what="RabbitMQ's own alarms: too much memory used, too little disk free, too many files open.",
            wrong="Whoever publishes is stopped meanwhile: empty the longest queue or free the disk.",
            width=10,
            height=9,
        ),
        graph(
            "Messages by queue",
            [Query(f"queue:rabbitmq_messages:max{{{OF_QUEUE}}}", "{{service}} {{vhost}}{{queue}} {{instance}}")],
            unit=COUNT,
            limits=backlog,
            links=TO_SERVER,
            what="Messages in each queue, ready and unacknowledged together.",
            wrong="A straight rise is a consumer that is gone, a step a burst that will drain by itself.",
        ),
        graph(
            "Messages in and out",
            [Query("instance:rabbitmq_messages:rate2m", "{{operation}} {{instance}}")],
            unit=PER_SECOND,
            links=TO_SERVER,
            what="Messages published, delivered, acknowledged and lost each second, of all queues together.",
            wrong="Delivered again: a consumer that fails each time. Without a queue: lost, a binding is missing.",
        ),
    ]
