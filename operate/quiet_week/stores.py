"""Postgres, Redis and RabbitMQ as their exporters show them on a normal day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operate.quiet_week import shapes
from operate.quiet_week.hosts import GIB, available
from operate.quiet_week.shapes import (
    Labels,
    Level,
    Scene,
    Shape,
    Table,
    backup,
    busy,
    counter,
    each,
    flow,
    gauge,
    labelled,
    ones,
    repeated,
    several,
    some,
    started,
    zeros,
)
from operate.quiet_week.week import Array


def _on_server(table: Table) -> Table:
    """The table with the label `server` that postgres_exporter adds to what it asks the server itself."""

    def labelled(shape: Shape) -> Shape:
        def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
            server = f"{scene.target['instance']}:5432"
            for labels, values in shape(scene):
                yield {**labels, "server": server}, values

        return series

    return {name: labelled(shape) for name, shape in table.items()}


def _by_role(primary: Level, replica: Level) -> Level:
    return lambda scene: shapes.of(replica if "replica" in scene.target["instance"] else primary, scene)


_STATES: dict[str, Level] = {"idle": busy(14, 10), "idle in transaction": busy(0.5)}
_STATEMENTS = {
    "-2308548194736157561": (20.0, 0.0002),
    "4821734405210936572": (8.0, 0.002),
    "771203984412087645": (0.5, 0.05),
}


def _database(kind: str, level: Level) -> Shape:
    kinds: dict[str, Shape] = {"flow": flow(level), "gauge": gauge(level), "counter": counter(level)}
    return labelled({"datid": "16387", "datname": "exchange"}, kinds[kind])


def _statements(calls: bool) -> Shape:
    def rate(each_second: float, cost: float) -> Level:
        # Sequential reads of the dump push the others' pages out of the cache.
        return lambda s: each_second * s.week.activity * (1.0 if calls else cost * (1 + s.week.backup))

    return several(
        *(flow(rate(*cost), datname="exchange", user="exchange", queryid=query) for query, cost in _STATEMENTS.items())
    )


def _active(scene: Scene) -> Array:
    """Queries under way; pg_dump takes a connection for each of its three jobs."""
    return np.asarray(1 + 4 * scene.week.activity + 3 * scene.week.backup)


POSTGRES: Table = {
    **ones("pg_up"),
    **zeros("pg_exporter_last_scrape_error"),
    "pg_exporter_last_scrape_duration_seconds": gauge(0.006, noise=0.2),
    "pg_scrape_collector_success": each(gauge, "collector", dict.fromkeys(("database", "bgwriter"), 1.0)),
    **_on_server(
        {
            "pg_stat_activity_count": labelled(
                {"datname": "exchange"}, several(some(_active, state="active"), each(some, "state", _STATES))
            ),
            "pg_stat_activity_max_tx_duration": several(
                gauge(lambda s: np.maximum(0.05, s.week.backup_age), datname="exchange", state="active"),
                gauge(0.02, noise=0.5, datname="exchange", state="idle in transaction"),
            ),
            "pg_settings_max_connections": gauge(60.0),
            "pg_settings_superuser_reserved_connections": gauge(3.0),
            "pg_replication_lag_seconds": gauge(_by_role(0.0, lambda s: 0.05 + 6 * s.week.backup), noise=0.3),
            "pg_replication_is_replica": gauge(_by_role(0.0, 1.0)),
            "pg_replication_slots_active": gauge(1.0, slot_name="replica"),
            "pg_replication_slots_pg_wal_lsn_diff": gauge(
                lambda s: 4e5 + 4e7 * s.week.backup, noise=0.3, slot_name="replica"
            ),
            "pg_stat_replication_pg_wal_lsn_diff": gauge(
                lambda s: 4e5 + 4e7 * s.week.backup, noise=0.3, application_name="walreceiver", state="streaming"
            ),
            "pg_long_running_transactions": some(lambda s: 0.3 + s.week.backup),
            "pg_long_running_transactions_oldest_timestamp_seconds": gauge(
                lambda s: s.week.times - s.week.backup_age - 0.02
            ),
            "pg_database_size_bytes": gauge(lambda s: 9e9 + (s.week.times - s.week.times[0]) * 900, datname="exchange"),
            "pg_locks_count": gauge(busy(12, 2), noise=0.3, whole=True, datname="exchange", mode="accesssharelock"),
            "pg_stat_database_numbackends": _database("gauge", busy(19, 11)),
            "pg_stat_database_xact_commit": _database("counter", busy(120, 2)),
            "pg_stat_database_xact_rollback": _database("counter", busy(0.2)),
            "pg_stat_database_blks_hit": _database("flow", busy(9000, 100)),
            # The dump reads every table from disk once.
            "pg_stat_database_blks_read": _database("flow", backup(busy(60, 1), 600)),
            "pg_stat_database_tup_returned": _database("flow", backup(busy(6000, 50), 50_000)),
            "pg_stat_database_tup_fetched": _database("flow", busy(3000, 20)),
            "pg_stat_database_tup_inserted": _database("flow", busy(60, 0)),
            "pg_stat_database_tup_updated": _database("flow", busy(40, 0)),
            "pg_stat_database_tup_deleted": _database("flow", busy(2, 0)),
            "pg_stat_database_temp_bytes": _database("flow", backup(0.0, 1e5)),
            "pg_stat_database_temp_files": _database("counter", backup(0.0, 0.01)),
            "pg_stat_database_blk_read_time": _database("flow", backup(busy(20), 400)),
            "pg_stat_database_deadlocks": _database("gauge", 0.0),
            "pg_stat_database_conflicts": _database("gauge", 0.0),
            "pg_stat_statements_calls_total": _statements(calls=True),
            "pg_stat_statements_rows_total": _statements(calls=True),
            "pg_stat_statements_seconds_total": _statements(calls=False),
            "pg_stat_bgwriter_checkpoints_req_total": counter(0.0003),
            "pg_stat_bgwriter_checkpoints_timed_total": counter(1 / 300),
            "pg_stat_bgwriter_buffers_backend_fsync_total": gauge(0.0),
            "pg_stat_archiver_failed_count": gauge(0.0),
        }
    ),
}

REDIS: Table = {
    **ones("redis_up", "redis_rdb_last_bgsave_status", "redis_aof_last_write_status"),
    "redis_memory_used_bytes": gauge(lambda s: 67_108_864 * (0.42 + 0.1 * s.week.activity), noise=0.01, whole=True),
    "redis_memory_used_rss_bytes": gauge(lambda s: 67_108_864 * (0.5 + 0.1 * s.week.activity), noise=0.01, whole=True),
    "redis_memory_max_bytes": gauge(67_108_864.0),
    "redis_config_maxmemory": gauge(67_108_864.0),
    "redis_config_maxclients": gauge(10_000.0),
    "redis_connected_clients": gauge(busy(60, 25), noise=0.05, whole=True),
    "redis_connections_received_total": counter(busy(0.2, 0.02)),
    "redis_keyspace_hits_total": flow(busy(380, 0)),
    "redis_keyspace_misses_total": flow(busy(20, 0)),
    "redis_commands_processed_total": flow(busy(500, 5)),
    "redis_commands_duration_seconds_total": flow(busy(0.002), cmd="get"),
    "redis_db_keys": gauge(busy(42_000, 30_000), noise=0.01, whole=True, db="db0"),
    "redis_expired_keys_total": counter(busy(5)),
    "redis_mem_fragmentation_ratio": gauge(1.15, noise=0.01),
    "redis_uptime_in_seconds": gauge(lambda s: s.week.times - s.week.times[0] + 86400),
    "redis_start_time_seconds": started,
    "redis_slowlog_last_id": counter(0.0005),
    "redis_slowlog_length": gauge(12.0),
    "redis_master_repl_offset": flow(busy(3000, 50)),
    "redis_instance_info": gauge(1.0, role="master", redis_version="7.0.15", redis_mode="standalone"),
    "redis_rdb_last_save_timestamp_seconds": gauge(lambda s: s.week.times - s.week.times % 3600),
    **zeros("redis_evicted_keys_total", "redis_rejected_connections_total", "redis_blocked_clients"),
    **zeros("redis_connected_slaves", "redis_exporter_last_scrape_error", "redis_loading_dump_file"),
}


def _queues(shape: Shape) -> Shape:
    """A series for every queue: one for each service that depends on the broker."""
    return repeated(
        lambda facts: (
            {"queue": service.name, "vhost": "/"}
            for service in facts.catalog.services
            if "rabbitmq" in service.dependencies
        ),
        shape,
    )


RABBITMQ_QUEUES: Table = {
    "rabbitmq_detailed_queue_messages": _queues(some(busy(1.2))),
    "rabbitmq_detailed_queue_messages_ready": _queues(some(busy(0.7))),
    "rabbitmq_detailed_queue_messages_unacked": _queues(some(busy(0.5))),
    "rabbitmq_detailed_queue_consumers": _queues(gauge(1)),
    "rabbitmq_detailed_queue_process_reductions_total": _queues(flow(busy(3000))),
}

RABBITMQ: Table = {
    **zeros("rabbitmq_alarms_memory_used_watermark", "rabbitmq_alarms_free_disk_space_watermark"),
    **zeros("rabbitmq_alarms_file_descriptor_limit"),
    **zeros("rabbitmq_channel_messages_unroutable_dropped_total"),
    **zeros(
        "rabbitmq_auth_attempts_failed_total", "rabbitmq_global_messages_unroutable_dropped_total", protocol="amqp091"
    ),
    "rabbitmq_build_info": labelled({"erlang_version": "25.2.3", "rabbitmq_version": "3.10.8"}, gauge(1.0)),
    "rabbitmq_identity_info": gauge(1.0, rabbitmq_node="rabbit@rabbitmq"),
    "rabbitmq_connections": gauge(6.0),
    "rabbitmq_channels": gauge(6.0),
    "rabbitmq_consumers": gauge(7.0),
    "rabbitmq_queues": gauge(7.0),
    "rabbitmq_queue_messages": some(busy(8)),
    "rabbitmq_queue_messages_ready": some(busy(5)),
    "rabbitmq_queue_messages_unacked": some(busy(3)),
    "rabbitmq_queue_consumers": gauge(7.0),
    "rabbitmq_queue_messages_published_total": flow(busy(14)),
    "rabbitmq_global_messages_received_total": flow(busy(14), protocol="amqp091"),
    "rabbitmq_global_messages_delivered_total": flow(busy(14), protocol="amqp091", queue_type="rabbit_classic_queue"),
    "rabbitmq_connections_opened_total": counter(0.001),
    "rabbitmq_connections_closed_total": counter(0.001),
    "rabbitmq_process_resident_memory_bytes": gauge(80e6, noise=0.02, whole=True),
    "rabbitmq_resident_memory_limit_bytes": gauge(160e6),
    "rabbitmq_disk_space_available_bytes": gauge(lambda s: 40 * GIB * available(s)),
    "rabbitmq_disk_space_available_limit_bytes": gauge(512e6),
    "rabbitmq_process_open_fds": gauge(45.0, noise=0.02, whole=True),
    "rabbitmq_process_max_fds": gauge(20_000.0),
    "rabbitmq_process_open_tcp_sockets": gauge(6.0),
    "rabbitmq_process_max_tcp_sockets": gauge(17_910.0),
    "rabbitmq_erlang_uptime_seconds": gauge(lambda s: s.week.times - s.week.times[0] + 86400),
    "rabbitmq_erlang_processes_used": gauge(410.0, noise=0.02, whole=True),
    "rabbitmq_erlang_processes_limit": gauge(1_048_576.0),
}
