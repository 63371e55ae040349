"""The monitoring platform itself as it shows itself on a normal day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operate.quiet_week.every import CERTIFICATE, HEALTH
from operate.quiet_week.shapes import (
    Labels,
    Level,
    Scene,
    Shape,
    Table,
    busy,
    each,
    flow,
    gauge,
    labelled,
    ones,
    repeated,
    several,
    some,
    zeros,
)
from operate.quiet_week.week import Array

_MIB = 1024.0**2


def _groups(shape: Shape) -> Shape:
    """A series for every rule group Prometheus evaluates."""
    return repeated(lambda facts: ({"rule_group": group} for group in facts.groups), shape)


def _pools(level: float) -> Shape:
    """A series for every scrape job."""
    return repeated(lambda facts: ({"scrape_job": job} for job in facts.jobs), gauge(level))


def _before(seconds: float) -> Level:
    return lambda scene: scene.constant(scene.week.times[0] - seconds)


def _lately(scene: Scene) -> Array:
    """When something that runs every ten minutes ran last."""
    return scene.week.times - scene.week.times % 600


_ALERTMANAGER = "http://alertmanager:9093/api/v2/alerts"

PROMETHEUS: Table = {
    **ones(
        "prometheus_config_last_reload_successful",
        "prometheus_ready",
        "prometheus_notifications_alertmanagers_discovered",
    ),
    "prometheus_config_last_reload_success_timestamp_seconds": gauge(_before(3600)),
    "prometheus_build_info": gauge(1.0, version="2.48.1"),
    "prometheus_rule_evaluation_failures_total": _groups(gauge(0.0)),
    "prometheus_rule_group_iterations_missed_total": _groups(gauge(0.0)),
    "prometheus_rule_evaluations_total": _groups(flow(1)),
    "prometheus_rule_group_iterations_total": _groups(flow(1 / 15)),
    "prometheus_rule_group_last_duration_seconds": _groups(gauge(0.004, noise=0.3)),
    "prometheus_rule_group_last_evaluation_timestamp_seconds": _groups(gauge(lambda s: s.week.times - 7)),
    "prometheus_rule_group_interval_seconds": _groups(gauge(15)),
    "prometheus_rule_group_last_evaluation_samples": _groups(gauge(20)),
    "prometheus_rule_group_rules": _groups(gauge(10)),
    "prometheus_rule_evaluation_duration_seconds": each(gauge, "quantile", {"0.5": 0.0002, "0.99": 0.003}),
    "prometheus_notifications_queue_capacity": gauge(10_000.0),
    "prometheus_notifications_sent_total": flow(0.05, alertmanager=_ALERTMANAGER),
    **zeros("prometheus_notifications_errors_total", alertmanager=_ALERTMANAGER),
    **zeros("prometheus_notifications_dropped_total", "prometheus_notifications_queue_length"),
    "prometheus_target_scrape_pool_targets": _pools(1),
    "prometheus_target_scrape_pool_sync_total": _pools(1),
    "prometheus_target_scrape_pool_target_limit": _pools(0),
    "prometheus_target_sync_failed_total": _pools(0),
    "prometheus_target_interval_length_seconds": each(gauge, "quantile", {"0.5": 15.0, "0.99": 15.02}, interval="15s"),
    **zeros(
        "prometheus_target_scrape_pools_failed_total",
        "prometheus_target_scrape_pool_reloads_failed_total",
        "prometheus_target_scrape_pool_exceeded_target_limit_total",
        "prometheus_target_scrape_pool_exceeded_label_limits_total",
        "prometheus_target_scrapes_exceeded_sample_limit_total",
        "prometheus_target_scrapes_exceeded_body_size_limit_total",
        "prometheus_target_scrapes_sample_duplicate_timestamp_total",
        "prometheus_target_scrapes_sample_out_of_bounds_total",
        "prometheus_target_scrapes_sample_out_of_order_total",
        "prometheus_tsdb_compactions_failed_total",
        "prometheus_tsdb_head_truncations_failed_total",
        "prometheus_tsdb_checkpoint_creations_failed_total",
        "prometheus_tsdb_checkpoint_deletions_failed_total",
        "prometheus_tsdb_mmap_chunk_corruptions_total",
        "prometheus_tsdb_reloads_failures_total",
        "prometheus_tsdb_wal_corruptions_total",
        "prometheus_tsdb_wal_truncations_failed_total",
        "prometheus_tsdb_wal_writes_failed_total",
        "prometheus_tsdb_size_retentions_total",
        "prometheus_tsdb_retention_limit_bytes",
        "prometheus_engine_query_log_failures_total",
        "prometheus_sd_file_read_errors_total",
        "prometheus_web_federation_errors_total",
    ),
    **zeros("prometheus_tsdb_out_of_order_samples_total", "prometheus_tsdb_out_of_bound_samples_total", type="float"),
    **zeros("prometheus_tsdb_too_old_samples_total", type="float"),
    "prometheus_sd_discovered_targets": each(gauge, "name", {"scrape": 1.0, "notify": 1.0}, config="prometheus"),
    "prometheus_sd_failed_configs": each(gauge, "name", {"scrape": 0.0, "notify": 0.0}),
    "prometheus_tsdb_compactions_total": flow(1 / 7200),
    "prometheus_tsdb_compactions_triggered_total": flow(1 / 60),
    "prometheus_tsdb_reloads_total": flow(1 / 60),
    "prometheus_tsdb_head_series": gauge(32_000.0, noise=0.005, whole=True),
    "prometheus_tsdb_head_chunks": gauge(120_000.0, noise=0.05, whole=True),
    "prometheus_tsdb_head_series_created_total": flow(0.1),
    "prometheus_tsdb_head_samples_appended_total": flow(2100, type="float"),
    "prometheus_tsdb_lowest_timestamp_seconds": gauge(_before(30 * 86400)),
    "prometheus_tsdb_lowest_timestamp": gauge(lambda s: s.constant((s.week.times[0] - 30 * 86400) * 1000)),
    "prometheus_tsdb_storage_blocks_bytes": gauge(lambda s: 6e9 + (s.week.times - s.week.times[0]) * 2400),
    "prometheus_tsdb_wal_storage_size_bytes": gauge(24e6, noise=0.2, whole=True),
    "prometheus_tsdb_head_chunks_storage_size_bytes": gauge(30e6, noise=0.1, whole=True),
    "prometheus_engine_queries": gauge(0.0),
    "prometheus_engine_queries_concurrent_max": gauge(20.0),
    "prometheus_engine_query_duration_seconds": gauge(0.02, quantile="0.99", slice="inner_eval"),
    "prometheus_http_requests_total": flow(0.3, code="200", handler="/metrics"),
    "prometheus_remote_storage_highest_timestamp_in_seconds": gauge(lambda s: s.week.times),
}

_INTEGRATIONS = ("email", "pagerduty", "slack", "webhook")

ALERTMANAGER: Table = {
    **ones("alertmanager_config_last_reload_successful"),
    "alertmanager_config_last_reload_success_timestamp_seconds": gauge(_before(3600)),
    "alertmanager_config_hash": gauge(28_800_054_426_710.0),
    "alertmanager_build_info": gauge(1.0, version="0.26.0"),
    "alertmanager_alerts": each(gauge, "state", {"active": 1.0, "suppressed": 0.0, "unprocessed": 0.0}),
    "alertmanager_silences": each(gauge, "state", {"active": 0.0, "expired": 0.0, "pending": 0.0}),
    "alertmanager_alerts_received_total": each(flow, "status", {"firing": 0.02, "resolved": 0.0}, version="v2"),
    "alertmanager_alerts_invalid_total": gauge(0.0, version="v2"),
    # Only the Watchdog's heartbeat leaves on a normal day.
    "alertmanager_notifications_total": each(flow, "integration", dict.fromkeys(_INTEGRATIONS, 1 / 60)),
    "alertmanager_notification_requests_total": each(flow, "integration", dict.fromkeys(_INTEGRATIONS, 1 / 60)),
    "alertmanager_notification_requests_failed_total": each(gauge, "integration", dict.fromkeys(_INTEGRATIONS, 0.0)),
    "alertmanager_notifications_failed_total": several(
        *(
            each(gauge, "integration", dict.fromkeys(_INTEGRATIONS, 0.0), reason=reason)
            for reason in ("clientError", "serverError", "other")
        )
    ),
    "alertmanager_notification_latency_seconds_count": each(flow, "integration", dict.fromkeys(_INTEGRATIONS, 1 / 60)),
    "alertmanager_notification_latency_seconds_sum": each(flow, "integration", dict.fromkeys(_INTEGRATIONS, 0.001)),
    "alertmanager_dispatcher_aggregation_groups": gauge(1.0),
    "alertmanager_integrations": gauge(21.0),
    "alertmanager_cluster_enabled": gauge(0.0),
    **zeros("alertmanager_nflog_maintenance_errors_total", "alertmanager_nflog_query_errors_total"),
    **zeros("alertmanager_silences_maintenance_errors_total", "alertmanager_silences_query_errors_total"),
}

_PUSH = {"method": "POST", "route": "otlp_v1_logs", "status_code": "204", "ws": "false"}

_RECEIVED = {"format": "otlp", "is_internal_stream": "false", "tenant": "fake"}

LOKI: Table = {
    "loki_build_info": gauge(1.0, version="3.7.8"),
    "loki_distributor_lines_received_total": labelled(_RECEIVED, flow(busy(12, 3))),
    "loki_distributor_bytes_received_total": labelled({**_RECEIVED, "retention_hours": "720"}, flow(busy(4000, 1000))),
    "loki_distributor_ingester_appends_total": flow(0.6, ingester="127.0.0.1:9096"),
    "loki_request_duration_seconds_count": labelled(_PUSH, flow(0.6)),
    "loki_request_duration_seconds_sum": labelled(_PUSH, flow(0.006)),
    "loki_request_duration_seconds_bucket": labelled(
        _PUSH, several(*(flow(0.6, le=bound) for bound in ("0.1", "0.5", "1.0", "2.5", "+Inf")))
    ),
    "loki_ingester_memory_streams": gauge(21.0, tenant="fake"),
    "loki_ingester_memory_chunks": gauge(21.0),
    "loki_ingester_chunks_stored_total": flow(0.01, tenant="fake"),
    "loki_ingester_flush_queue_length": gauge(0.0),
    "loki_ingester_wal_disk_usage_percent": gauge(0.13),
    "loki_compactor_apply_retention_last_successful_run_timestamp_seconds": gauge(
        lambda s: s.week.times - s.week.times % 600
    ),
    "loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds": gauge(
        lambda s: s.week.times - s.week.times % 600
    ),
    "loki_ring_members": each(gauge, "name", {"compactor": 1.0, "distributor": 1.0, "ingester": 1.0}, state="ACTIVE"),
    **zeros(
        "loki_panic_total", "loki_ingester_chunks_flush_failures_total", "loki_ingester_wal_disk_full_failures_total"
    ),
    **zeros("loki_ingester_checkpoint_creations_failed_total"),
}


def _log_lines(waiting: bool) -> Shape:
    """Log lines read so far, or sent so far: those of the last batch still wait."""

    def series(scene: Scene) -> Iterator[tuple[Labels, Array]]:
        rate = (3 + 9 * scene.week.activity) * scene.week.step
        lines = scene.week.random("log lines").poisson(rate).astype(np.float64)
        yield {}, np.maximum(0.0, np.cumsum(lines) - (lines // 8 if waiting else 0))

    return series


def _otelcol(scope: str, name: str, kind: str, shape: Shape) -> Shape:
    return labelled({"otel_scope_name": f"go.opentelemetry.io/collector/{scope}", kind: name}, shape)


def _receiver(shape: Shape) -> Shape:
    return _otelcol("receiver/receiverhelper", "filelog", "receiver", shape)


def _exporter(shape: Shape) -> Shape:
    return _otelcol("exporter/exporterhelper", "otlphttp", "exporter", shape)


def _collector(shape: Shape) -> Shape:
    return labelled({"otel_scope_name": "go.opentelemetry.io/collector/service"}, shape)


LOG_COLLECTOR: Table = {
    "otelcol_receiver_accepted_log_records_total": _receiver(_log_lines(waiting=False)),
    "otelcol_receiver_refused_log_records_total": _receiver(gauge(0.0)),
    "otelcol_receiver_failed_log_records_total": _receiver(gauge(0.0)),
    "otelcol_exporter_sent_log_records_total": _exporter(_log_lines(waiting=True)),
    "otelcol_exporter_queue_size": _exporter(some(0.1, data_type="logs")),
    "otelcol_exporter_queue_capacity": _exporter(gauge(1000.0, data_type="logs")),
    "otelcol_process_memory_rss_bytes": _collector(gauge(40 * _MIB, noise=0.03, whole=True)),
    "otelcol_process_cpu_seconds_total": _collector(flow(0.01)),
    "otelcol_process_uptime_seconds_total": _collector(gauge(lambda s: s.week.times - s.week.times[0] + 86400)),
}

# What only a cluster has: no target of a stack on Docker shows it, and the alerts that read it stay silent there.
CLUSTER: Table = {
    "alertmanager_cluster_members": gauge(3.0),
    **ones("config_reloader_last_apply_successful", "config_reloader_revision_info", component="prometheus"),
    "kubelet_volume_stats_available_bytes": gauge(70e9, namespace="monitoring"),
    "kubelet_volume_stats_capacity_bytes": gauge(100e9, namespace="monitoring"),
    "kubelet_volume_stats_inodes": gauge(6.5e6, namespace="monitoring"),
    "kubelet_volume_stats_inodes_free": gauge(6.4e6, namespace="monitoring"),
}

BLACKBOX: Table = {
    **ones("blackbox_exporter_config_last_reload_successful"),
    **zeros("blackbox_module_unknown_total"),
    "blackbox_exporter_config_last_reload_success_timestamp_seconds": gauge(_before(3600)),
}

INBOX: Table = {
    "inbox_notifications_total": several(
        *(
            each(gauge, "channel", dict.fromkeys(("email", "slack", "pagerduty", "webhook"), 0.0), status=status)
            for status in ("firing", "resolved", "unknown")
        )
    ),
}

# Tables of the jobs that the platform scrapes besides the catalog's services.
PLATFORM: dict[str, Table] = {
    "kubelet": CLUSTER,
    "prometheus": PROMETHEUS,
    "alertmanager": ALERTMANAGER,
    "loki": {
        **LOKI,
        # Loki carries Prometheus' own write-ahead log.
        "prometheus_tsdb_wal_storage_size_bytes": gauge(4.5e6, noise=0.2, whole=True),
        **zeros("prometheus_tsdb_wal_writes_failed_total"),
    },
    "log-collector": LOG_COLLECTOR,
    "blackbox-exporter": BLACKBOX,
    "inbox": INBOX,
    "health": HEALTH,
    "certificates": CERTIFICATE,
}
