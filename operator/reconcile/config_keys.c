#include "operator/reconcile/config_keys.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"

/* "Is mutable: Yes" in StarRocks' FE and BE configuration pages: those that are edited in practice. Sorted. */
static const char *const fe_keys[] = {
	"alter_table_timeout_second",
	"background_refresh_metadata_interval_millis",
	"broker_load_default_timeout_second",
	"catalog_trash_expire_second",
	"check_consistency_default_timeout_second",
	"default_replication_num",
	"desired_max_waiting_jobs",
	"disable_balance",
	"disable_load_job",
	"drop_backend_after_decommission",
	"dynamic_partition_check_interval_seconds",
	"dynamic_partition_enable",
	"edit_log_roll_num",
	"enable_collect_full_statistic",
	"enable_collect_query_detail_info",
	"enable_experimental_mv",
	"enable_fast_schema_evolution",
	"enable_sql_blacklist",
	"enable_statistic_collect",
	"enable_statistic_collect_on_first_load",
	"enable_strict_storage_medium_check",
	"enable_udf",
	"histogram_buckets_size",
	"history_job_keep_max_second",
	"ignore_materialized_view_error",
	"ignore_meta_check",
	"ignore_unknown_log_id",
	"insert_load_default_timeout_second",
	"label_keep_max_num",
	"label_keep_max_second",
	"lake_compaction_max_tasks",
	"load_straggler_wait_second",
	"max_allowed_in_element_num_of_delete",
	"max_broker_concurrency",
	"max_broker_load_job_concurrency",
	"max_create_table_timeout_second",
	"max_load_timeout_second",
	"max_partition_number_per_table",
	"max_query_retry_time",
	"max_routine_load_batch_size",
	"max_routine_load_job_num",
	"max_routine_load_task_concurrent_num",
	"max_routine_load_task_num_per_be",
	"max_running_txn_num_per_db",
	"max_scheduling_tablets",
	"max_stream_load_timeout_second",
	"meta_delay_toleration_second",
	"min_bytes_per_broker_scanner",
	"min_load_timeout_second",
	"partition_recycle_retention_period_secs",
	"qe_slow_log_ms",
	"recover_with_empty_tablet",
	"routine_load_task_consume_second",
	"routine_load_task_timeout_second",
	"schedule_slot_num_per_path",
	"statistic_auto_collect_ratio",
	"statistic_collect_interval_sec",
	"stream_load_default_timeout_second",
	"tablet_create_timeout_second",
	"tablet_sched_balance_load_disk_safe_threshold",
	"tablet_sched_balance_load_score_threshold",
	"tablet_sched_disable_balance",
	"tablet_sched_disable_colocate_balance",
	"tablet_sched_max_balancing_tablets",
	"tablet_sched_max_scheduling_tablets",
	"tablet_sched_repair_delay_factor_second",
	"tablet_sched_slot_num_per_path",
};

static const char *const be_keys[] = {
	"base_compaction_check_interval_seconds",
	"base_compaction_interval_seconds_since_last_operation",
	"cumulative_compaction_check_interval_seconds",
	"default_num_rows_per_column_file_block",
	"disk_stat_monitor_interval",
	"inc_rowset_expired_sec",
	"load_error_log_reserve_hours",
	"max_base_compaction_num_singleton_deltas",
	"max_compaction_concurrency",
	"max_consumer_num_per_group",
	"max_download_speed_kbps",
	"max_percentage_of_error_disk",
	"memory_limitation_per_thread_for_schema_change",
	"min_base_compaction_num_singleton_deltas",
	"min_compaction_failure_interval_sec",
	"report_disk_state_interval_seconds",
	"report_tablet_interval_seconds",
	"report_task_interval_seconds",
	"report_workgroup_interval_seconds",
	"scanner_row_num",
	"scanner_thread_pool_queue_size",
	"scanner_thread_pool_thread_num",
	"size_tiered_level_multiple",
	"size_tiered_level_num",
	"size_tiered_min_level_size",
	"snapshot_expire_time_sec",
	"status_report_interval",
	"storage_flood_stage_left_capacity_bytes",
	"storage_flood_stage_usage_percent",
	"storage_page_cache_limit",
	"streaming_load_max_batch_size_mb",
	"streaming_load_max_mb",
	"tablet_max_versions",
	"tablet_rowset_stale_sweep_time_sec",
	"thrift_client_retry_interval_ms",
	"thrift_rpc_timeout_ms",
	"trash_file_expire_time_sec",
	"update_compaction_check_interval_seconds",
	"write_buffer_size",
};

static int by_name(const void *key, const void *item)
{
	return strcasecmp(key, *(const char *const *)item);
}

bool reconcile_key_is_dynamic(enum model_role role, const char *key)
{
	const char *const *keys = role == MODEL_FE ? fe_keys : be_keys;
	size_t n = role == MODEL_FE ? ARRAY_LEN(fe_keys) : ARRAY_LEN(be_keys);
	return bsearch(key, keys, n, sizeof(*keys), by_name) != NULL;
}
