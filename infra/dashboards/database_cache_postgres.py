"""The rows about Postgres on the dashboard of databases and caches."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import SOME_EXPECTED, Limits, in_rule
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import BYTES, COUNT, FINE_RATIO, FINE_SECONDS, PER_MINUTE, PER_SECOND, SECONDS, STATE

SERVER = variables.DATABASE_SERVER.chosen
IN_DATABASE = f'{SERVER}, {variables.DATABASE.chosen}, datname!~"template.*"'
ROLES = {0: "primary", 1: "replica"}
TO_SERVER = (links.to_logs("${__field.labels.instance}"), links.to("Hosts", "infrastructure"))
TO_SERVER_FROM_ROW = (links.to_logs("${__data.fields.Instance}"), links.from_row("Hosts", "infrastructure"))
_SLOWEST = 10


def connections(source: Source) -> list[Panel]:
    """Servers, the connections they have left, and how far replicas follow."""
    return [
        _servers(source),
        graph(
            "Connections in use",
            [Query(f"job:pg_connection_pool_usage{{{SERVER}}}", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            maximum=1,
            limits=source.limits("DatabaseConnectionPoolWarning", "DatabaseConnectionPoolExhausted"),
            links=TO_SERVER,
            what="Share of the connections that each server allows (max_connections) which are open.",
            wrong="Look at their states beside: idle ones are a pool set too large, active ones wait for statements.",
            width=8,
        ),
        graph(
            "Connections by state",
            [Query(f"sum by (state) (instance_state:pg_stat_activity_count:sum{{{SERVER}}})", "{{state}}")],
            unit=COUNT,
            stacked=True,
            what="Open connections of the chosen servers by what they do.",
            wrong="Many idle in transaction: a client forgot to commit and holds its locks; restart that service.",
            width=8,
        ),
        graph(
            "Replication lag",
            [Query(f"instance:pg_replication_lag:seconds{{{SERVER}}}", "{{service}} {{instance}}")],
            unit=SECONDS,
            limits=source.limits(None, "DatabaseReplicationLagCritical"),
            links=TO_SERVER,
            what="Seconds by which each replica's data is older than its primary's.",
            wrong="End long queries on the replica; if there are none, look at its disk and at writes on the primary.",
            width=8,
        ),
    ]


def _servers(source: Source) -> Panel:
    def each(expr: str) -> str:
        return f"max by (instance) ({expr})"

    return rows(
        "Servers",
        ["instance"],
        [
            Column("State", each(f"pg_up{{{SERVER}}}"), STATE, SOME_EXPECTED, UP),
            Column("Runs as", each(f"pg_replication_is_replica{{{SERVER}}}"), STATE, texts=ROLES),
            Column("Catalog says", each(f"catalog:postgres:is_replica{{{SERVER}}}"), STATE, texts=ROLES),
            Column("Connections", f"sum by (instance) (pg_stat_activity_count{{{SERVER}}})", COUNT),
            Column("Allowed", each(f"pg_settings_max_connections{{{SERVER}}}"), COUNT),
            Column(
                "In use",
                each(f"job:pg_connection_pool_usage{{{SERVER}}}"),
                FINE_RATIO,
                source.limits("DatabaseConnectionPoolWarning", "DatabaseConnectionPoolExhausted"),
            ),
            Column(
                "Lag",
                each(f"instance:pg_replication_lag:seconds{{{SERVER}}}"),
                SECONDS,
                source.limits(None, "DatabaseReplicationLagCritical"),
            ),
            Column("Slots", f"count by (instance) (pg_replication_slots_active{{{SERVER}}})", COUNT),
            Column(
                "Slots unread",
                f"sum by (instance) (1 - pg_replication_slots_active{{{SERVER}}})",
                COUNT,
                Limits(warning=1),
            ),
            Column("Log kept for slots", each(f"pg_replication_slots_pg_wal_lsn_diff{{{SERVER}}}"), BYTES),
        ],
        links=TO_SERVER_FROM_ROW,
        what="Each server now: its role and the catalog's, connections, replay lag, and the replication slots it has.",
        wrong="Roles that differ are a failover: make sure that only one takes writes. A slot that is not read "
        "fills the primary's disk: bring its replica back or drop the slot.",
        height=6,
    )


def work(source: Source) -> list[Panel]:
    """What the servers do, and which statements are slow."""
    return [
        graph(
            "Transactions",
            [Query(f"database:pg_xact_commit:rate2m{{{IN_DATABASE}}}", "{{datname}} on {{instance}}")],
            unit=PER_SECOND,
            links=TO_SERVER,
            what="Transactions committed each second.",
            wrong="A fall to almost none with services up means that they wait: look for locks and long transactions.",
            width=8,
        ),
        graph(
            "Time of a statement",
            [Query(f"instance:pg_seconds:mean5m{{{SERVER}}}", "{{service}} {{instance}}")],
            unit=FINE_SECONDS,
            limits=source.limits("DatabaseQueryLatencyWarning"),
            links=TO_SERVER,
            what="Mean time a statement takes, over 5 minutes; only where one runs each second at least.",
            wrong="The tables below name the statement: look at its plan (EXPLAIN), then at the server's disk.",
            width=8,
        ),
        graph(
            "Longest transaction",
            [Query(f"database:pg_transaction_seconds:max{{{IN_DATABASE}}}", "{{datname}} on {{instance}}")],
            unit=SECONDS,
            limits=Limits(warning=in_rule(source.alerting, "SlowQueriesDetected")),
            links=TO_SERVER,
            what="Age in seconds of the oldest open transaction.",
            wrong="Find it in pg_stat_activity by xact_start and end it with pg_terminate_backend; a backup may stay.",
            width=8,
        ),
        _statements(
            source,
            "Slowest statements",
            "statement:pg_seconds:mean5m",
            sort="Mean",
            what="The ten statements that take longest each time, over 5 minutes.",
            wrong="Read it by its queryid in pg_stat_statements; a missing index is the usual cause.",
        ),
        _statements(
            source,
            "Statements that take most time",
            "statement:pg_seconds:rate5m",
            sort="Seconds a second",
            what="The ten statements that keep the server busy longest in all: seconds and calls of each second.",
            wrong="A fast one that is called too often is here and not on the left: look for a loop or a lost cache.",
        ),
        graph(
            "Cache hit ratio",
            [Query(f"instance:pg_cache_hit:ratio_rate15m{{{SERVER}}}", "{{service}} {{instance}}")],
            unit=FINE_RATIO,
            maximum=1,
            limits=source.limits("LowCacheHitRate", below=True),
            links=TO_SERVER,
            what="Share of blocks found in memory, over 15 minutes. A server that reads little may have any ratio; its "
            "alert asks for steady reading.",
            wrong="Look for a statement that reads whole tables; else give Postgres more shared_buffers.",
            width=8,
        ),
        graph(
            "Rollbacks and deadlocks",
            [
                Query(
                    f"60 * database:pg_xact_rollback:rate5m{{{IN_DATABASE}}}", "rollbacks {{datname}} on {{instance}}"
                ),
                Query(f"60 * database:pg_deadlocks:rate5m{{{IN_DATABASE}}}", "deadlocks {{datname}} on {{instance}}"),
            ],
            unit=PER_MINUTE,
            links=TO_SERVER,
            what="Transactions undone, and those that Postgres broke off because they waited for each other, a minute.",
            wrong="For deadlocks the server's log names both statements. Rollbacks alone: errors of the services.",
            width=8,
        ),
        graph(
            "Rows touched",
            [
                Query(
                    f"sum by (operation, instance) (database:pg_tuples:rate2m{{{IN_DATABASE}}})",
                    "{{operation}} on {{instance}}",
                )
            ],
            unit=PER_SECOND,
            links=TO_SERVER,
            what="Rows read by index, inserted, updated and deleted each second.",
            wrong="Writes that jump are a job or a retry loop; a replica that follows late has the same cause.",
            width=8,
        ),
        _databases(),
        graph(
            "Size",
            [Query('database:pg_database_size_bytes:max{datname=~"$database"}', "{{datname}}")],
            unit=BYTES,
            links=[links.to("Disks of the hosts", "infrastructure")],
            what="Bytes of each database on disk, of the server where it is largest.",
            wrong="A steady rise needs a larger disk in time; a jump is an import, or a table that is not cleaned up.",
        ),
    ]


def _statements(source: Source, title: str, ranked: str, *, sort: str, what: str, wrong: str) -> Panel:
    of = f"{{{IN_DATABASE}}}"
    shown = f"max by (queryid, datname, instance) (topk({_SLOWEST}, {ranked}{of}))"

    def value(series: str) -> str:
        return f"max by (queryid, datname, instance) ({series}{of}) and {shown}"

    return rows(
        title,
        ["queryid", "datname", "instance"],
        [
            Column("Mean", value("statement:pg_seconds:mean5m"), FINE_SECONDS, source.limits("SlowQueriesDetected")),
            Column("Calls", value("statement:pg_calls:rate5m"), PER_SECOND),
            Column("Seconds a second", value("statement:pg_seconds:rate5m"), FINE_SECONDS),
        ],
        sort=sort,
        what=what,
        wrong=wrong,
        absent="none",
        width=12,
        height=10,
    )


def _databases() -> Panel:
    def value(expr: str) -> str:
        return f"max by (datname, instance) ({expr})"

    return rows(
        "Databases",
        ["datname", "instance"],
        [
            Column("Size", value(f"pg_database_size_bytes{{{IN_DATABASE}}}"), BYTES),
            Column("Connections", f"sum by (datname, instance) (pg_stat_activity_count{{{IN_DATABASE}}})", COUNT),
            Column("Locks held", f"sum by (datname, instance) (pg_locks_count{{{IN_DATABASE}}})", COUNT),
            Column(
                "Exclusive",
                "sum by (datname, instance) "
                f'(pg_locks_count{{mode=~"exclusivelock|accessexclusivelock", {IN_DATABASE}}})',
                COUNT,
            ),
            Column(
                "Deadlocks",
                value(f"increase(pg_stat_database_deadlocks{{{IN_DATABASE}}}[1d])"),
                COUNT,
                Limits(warning=1),
            ),
        ],
        sort="Connections",
        what="Each database now: bytes on disk, connections, locks, those that shut out others, deadlocks in a day.",
        wrong="Exclusive locks that stay are a schema change or LOCK TABLE: ask who runs it, end it if it is stuck.",
        width=12,
        height=8,
    )
