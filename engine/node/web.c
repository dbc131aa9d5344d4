/* The web port: health, metrics, the cache's state, error logs of loads. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "engine/node/machine.h"
#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "lib/net/prom.h"

enum { METRICS_MAX = 256 * 1024, ERROR_LOG_MAX = 1024 * 1024 };

void node_web_health(void *arg, struct http_req *req)
{
	struct node *n = arg;
	int state = atomic_load(&n->state);
	if (state == NODE_RUNNING || state == NODE_DRAINING)
		http_answer_json(req, 200, "{\"status\":\"OK\"}");
	else
		http_answer_json(req, 500,
		                 state == NODE_STARTING ? "{\"status\":\"STARTING\"}"
		                                        : "{\"status\":\"SHUTDOWN\"}");
}

static void one(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	prom_family(out, name, type, help);
	prom_series(out, name, value, NULL);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void add_process(struct node *n, struct buf *out)
{
	struct exec_stats exec;
	struct rusage self, children;
	exec_stats(n->exec, &exec);
	(void)getrusage(RUSAGE_SELF, &self);
	(void)getrusage(RUSAGE_CHILDREN, &children);
	one(out, "starrocks_be_process_mem_bytes", "gauge", "Resident bytes, executors included.",
	    (double)(node_machine_rss() + exec.rss));
	one(out, "starrocks_be_query_mem_bytes", "gauge", "Resident bytes of the executors.",
	    (double)exec.rss);
	one(out, "starrocks_be_mem_limit_bytes", "gauge", "mem_limit.",
	    (double)n->config.mem_limit);
	prom_family(out, "starrocks_be_cpu", "counter",
	            "Processor seconds of this process and of ended executors.");
	prom_series(out, "starrocks_be_cpu", seconds(self.ru_utime) + seconds(children.ru_utime),
	            "device", "cpu", "mode", "user", NULL);
	prom_series(out, "starrocks_be_cpu", seconds(self.ru_stime) + seconds(children.ru_stime),
	            "device", "cpu", "mode", "system", NULL);
	one(out, "roost_executor_starts_total", "counter", "Executor processes started.",
	    (double)exec.started);
	one(out, "roost_executor_crashes_total", "counter", "Executors that died by themselves.",
	    (double)exec.crashes);
	one(out, "roost_executor_kills_total", "counter", "Executors killed for their memory.",
	    (double)exec.kills);
}

static void add_tasks(struct node *n, struct buf *out)
{
	struct node_counters *c = &n->count;
	one(out, "roost_tasks_running", "gauge", "Task attempts that run now.",
	    (double)node_tasks_running(n->tasks));
	one(out, "roost_tasks_running_max", "gauge",
	    "Task attempts that ran at once at most, since the start.",
	    (double)node_tasks_most(n->tasks));
	one(out, "roost_task_slots", "gauge", "roost_slots.", (double)n->config.slots);
	prom_family(out, "roost_tasks_total", "counter", "Task attempts that ended, by outcome.");
	prom_series(out, "roost_tasks_total", (double)atomic_load(&c->tasks_ok), "outcome", "ok",
	            NULL);
	prom_series(out, "roost_tasks_total", (double)atomic_load(&c->tasks_failed), "outcome",
	            "failed", NULL);
	prom_series(out, "roost_tasks_total", (double)atomic_load(&c->tasks_cancelled), "outcome",
	            "cancelled", NULL);
	prom_family(out, "starrocks_be_stream_load", "counter", "Stream Loads that ended here.");
	prom_series(out, "starrocks_be_stream_load", (double)atomic_load(&c->loads_ok), "type",
	            "load_success", NULL);
	prom_series(out, "starrocks_be_stream_load", (double)atomic_load(&c->loads_failed), "type",
	            "load_failed", NULL);
	prom_series(out, "starrocks_be_stream_load", (double)atomic_load(&c->load_bytes), "type",
	            "receive_bytes", NULL);
	prom_series(out, "starrocks_be_stream_load", (double)atomic_load(&c->load_rows), "type",
	            "load_rows", NULL);
	one(out, "roost_exchange_sent_bytes_total", "counter", "Exchange bytes served to peers.",
	    (double)atomic_load(&c->exchange_bytes_sent));
	one(out, "roost_exchange_fetched_bytes_total", "counter", "Exchange bytes read from peers.",
	    (double)atomic_load(&c->exchange_bytes_fetched));
	one(out, "roost_replicas_received_total", "counter", "Rowset replicas that peers sent.",
	    (double)atomic_load(&c->replicas_received));
	one(out, "roost_replicas_sent_total", "counter", "Rowset replicas sent to peers.",
	    (double)atomic_load(&c->replicas_sent));
}

static void add_disk(struct node *n, struct buf *out)
{
	struct store_usage u;
	struct store_cache_stats s;
	store_usage(n->store, &u);
	store_cache_stats(n->cache, &s);
	one(out, "starrocks_be_tablets", "gauge", "Tablets with a rowset here.", (double)u.tablets);
	one(out, "roost_rowsets", "gauge", "Rowsets here.", (double)u.rowsets);
	one(out, "roost_rowsets_quarantined", "gauge", "Torn files that the start moved away.",
	    (double)u.quarantined);
	prom_family(out, "starrocks_be_disks_total_capacity", "gauge", "Bytes of the file system.");
	prom_series(out, "starrocks_be_disks_total_capacity", (double)u.disk_total, "path",
	            n->config.storage_path, NULL);
	prom_family(out, "starrocks_be_disks_avail_capacity", "gauge", "Bytes that are free.");
	prom_series(out, "starrocks_be_disks_avail_capacity", (double)u.disk_avail, "path",
	            n->config.storage_path, NULL);
	prom_family(out, "starrocks_be_disks_data_used_capacity", "gauge", "Bytes of rowsets.");
	prom_series(out, "starrocks_be_disks_data_used_capacity", (double)u.bytes, "path",
	            n->config.storage_path, NULL);
	one(out, "roost_datacache_capacity_bytes", "gauge", "datacache_disk_size.",
	    (double)s.capacity);
	one(out, "roost_datacache_used_bytes", "gauge", "Bytes of cached objects.", (double)s.used);
	one(out, "roost_datacache_objects", "gauge", "Cached objects.", (double)s.objects);
	one(out, "roost_datacache_hits_total", "counter", "Objects found in the cache.",
	    (double)s.hits);
	one(out, "roost_datacache_misses_total", "counter", "Objects fetched.", (double)s.misses);
	one(out, "roost_datacache_evictions_total", "counter", "Objects removed for room.",
	    (double)s.evictions);
	one(out, "roost_datacache_fetched_bytes_total", "counter", "Bytes read from buckets.",
	    (double)s.bytes_fetched);
}

void node_web_metrics(void *arg, struct http_req *req)
{
	struct node *n = arg;
	_cleanup_buf_ struct buf out = BUF_INIT(METRICS_MAX);
	add_process(n, &out);
	add_tasks(n, &out);
	add_disk(n, &out);
	http_answer(req, 200, "text/plain; version=0.0.4", (struct str){ out.p, out.len });
}

void node_web_cache(void *arg, struct http_req *req)
{
	struct node *n = arg;
	struct store_cache_stats s;
	store_cache_stats(n->cache, &s);
	_cleanup_json_ json_t *body =
		json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "status", "Normal",
	                  "disk_quota_bytes", (json_int_t)s.capacity, "disk_used_bytes",
	                  (json_int_t)s.used, "objects", (json_int_t)s.objects, "pinned",
	                  (json_int_t)s.pinned, "hit_count", (json_int_t)s.hits, "miss_count",
	                  (json_int_t)s.misses, "evict_count", (json_int_t)s.evictions);
	autofree char *text = data_json_text(body);
	http_answer_json(req, 200, text);
}

/* The name is 32 random digits that only the answer of the load carries: knowing it is the permission. */
void node_web_error_log(void *arg, struct http_req *req)
{
	struct node *n = arg;
	const char *file = http_req_query(req, "file");
	_cleanup_buf_ struct buf text = BUF_INIT(ERROR_LOG_MAX);
	if (!file || !store_id_valid(file)) {
		http_answer_error(req, 400, "file: must be the name that ErrorURL carries");
		return;
	}
	autofree char *path = xasprintf("%s/error_log/%s", n->config.storage_path, file);
	if (fd_read_file(path, &text, NULL) < 0)
		http_answer_error(req, 404, "no such error log, or older than a day");
	else
		http_answer(req, 200, "text/plain; charset=utf-8",
		            (struct str){ buf_cstr(&text), text.len });
}
