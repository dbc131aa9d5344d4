/* StarRocks' answers to a snapshot: strict, since a part of a load is a load that was not measured. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "lib/net/prom.h"
#include "scaler/source/starrocks.h"
#include "scaler/source/starrocks_priv.h"

static int take_count(const struct mysqlc_result *r, size_t row, const char *column, int64_t *ret,
                      struct err *err)
{
	const char *text = mysqlc_cell(r, row, column);
	int64_t n = -1;
	if (!text || str_to_i64(str_of(text), &n) < 0 || n < 0 || n > SOURCE_COUNT_MAX)
		return err_set(err, -EINVAL, "row %zu: %s must be an integer from 0 to %d", row + 1,
		               column, SOURCE_COUNT_MAX);
	*ret = n;
	return 0;
}

static int take_bool(const struct mysqlc_result *r, size_t row, const char *column, bool *ret,
                     struct err *err)
{
	const char *text = mysqlc_cell(r, row, column);
	if (!text || (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0))
		return err_set(err, -EINVAL, "row %zu: %s must be true or false", row + 1, column);
	*ret = strcasecmp(text, "true") == 0;
	return 0;
}

int source_starrocks_time(const char *text, int64_t *ret_ms)
{
	char rfc[32];
	if (!text || strlen(text) < 19 || text[10] != ' ')
		return -EINVAL;
	(void)snprintf(rfc, sizeof(rfc), "%.10sT%.8sZ", text, text + 11);
	return clock_from_rfc3339(rfc, ret_ms);
}

int source_starrocks_queries(const struct mysqlc_result *r, int64_t now_ms,
                             struct source_snapshot *s, struct err *err)
{
	for (size_t i = 0; i < r->n_rows; i++) {
		const char *state = mysqlc_cell(r, i, "State");
		int64_t slots = 0, start = 0;
		int rc = take_count(r, i, "Slots", &slots, err);
		if (rc < 0)
			return err_wrap(err, "SHOW RUNNING QUERIES");
		if (source_starrocks_time(mysqlc_cell(r, i, "StartTime"), &start) < 0 || !state ||
		    (strcasecmp(state, "PENDING") != 0 && strcasecmp(state, "RUNNING") != 0))
			return err_set(err, -EINVAL,
			               "SHOW RUNNING QUERIES: row %zu: StartTime must be a time, "
			               "State PENDING or RUNNING",
			               i + 1);
		s->slots_asked += slots ? slots : 1;
		if (strcasecmp(state, "RUNNING") == 0) {
			s->running++;
			continue;
		}
		double waited = (double)(now_ms - start) / 1000;
		s->pending++;
		s->oldest_wait_s = waited > s->oldest_wait_s ? waited : s->oldest_wait_s;
	}
	return 0;
}

static bool lives_in(const struct mysqlc_result *r, size_t row, const char *house)
{
	const char *name = mysqlc_cell(r, row, "WarehouseName");
	if (!name || !*name)
		name = SOURCE_DEFAULT_HOUSE;
	return strcmp(name, house ? house : SOURCE_DEFAULT_HOUSE) == 0;
}

int source_starrocks_nodes(const struct mysqlc_result *r, const char *house,
                           struct source_snapshot *s, struct err *err)
{
	if (r->n_rows > SOURCE_NODES_MAX)
		return err_set(err, -EINVAL, "SHOW COMPUTE NODES: more than %d", SOURCE_NODES_MAX);
	for (size_t i = 0; i < r->n_rows; i++) {
		int64_t cores = 0, running = 0;
		bool alive = false, system = false, cluster = false;
		if (take_bool(r, i, "Alive", &alive, err) < 0 ||
		    take_bool(r, i, "SystemDecommissioned", &system, err) < 0 ||
		    take_bool(r, i, "ClusterDecommissioned", &cluster, err) < 0 ||
		    take_count(r, i, "CpuCores", &cores, err) < 0 ||
		    take_count(r, i, "NumRunningQueries", &running, err) < 0)
			return err_wrap(err, "SHOW COMPUTE NODES");
		if (!alive || !lives_in(r, i, house))
			continue;
		s->tasks += running;
		if (system || cluster) {
			s->draining++;
			continue;
		}
		cores = cores ? cores : 1;
		s->nodes++;
		s->idle_nodes += running == 0;
		s->slots += cores;
		s->slots_of_a_node = cores > s->slots_of_a_node ? cores : s->slots_of_a_node;
	}
	return 0;
}

struct metrics {
	bool queue;
	double pending, p75_ms, p95_ms;
};

static int take_metric(void *arg, struct str name, const struct prom_label *labels, size_t n,
                       double value)
{
	struct metrics *m = arg;
	struct str quantile = { "", 0 };
	for (size_t i = 0; i < n; i++)
		if (str_eqs(labels[i].name, "quantile"))
			quantile = labels[i].value;
	if (str_eqs(name, "starrocks_fe_query_queue_pending")) {
		m->queue = true;
		m->pending = value;
	} else if (str_eqs(name, "starrocks_fe_query_latency_ms")) {
		if (str_eqs(quantile, "0.75"))
			m->p75_ms = value;
		else if (str_eqs(quantile, "0.95"))
			m->p95_ms = value;
	}
	return 0;
}

static bool plain(double v)
{
	return isfinite(v) && v >= 0 && v <= (double)SOURCE_COUNT_MAX;
}

int source_starrocks_metrics(struct str text, struct source_snapshot *s, struct err *err)
{
	struct metrics m = { 0 };
	int rc = str_ends(text, "\n") ? prom_parse(text, take_metric, &m, err)
	                              : err_set(err, -EINVAL, "the last line is cut");
	if (rc < 0)
		return err_wrap(err, "/metrics");
	if (!m.queue || !plain(m.pending) || !plain(m.p75_ms) || !plain(m.p95_ms))
		return err_set(err, -EINVAL,
		               "/metrics: starrocks_fe_query_queue_pending and "
		               "starrocks_fe_query_latency_ms must be numbers from 0 to %d",
		               SOURCE_COUNT_MAX);
	/* Queries that wait for no slot (by CPU or memory limits) are in the metric alone. */
	int64_t pending = (int64_t)m.pending;
	if (pending > s->pending) {
		s->slots_asked += pending - s->pending;
		s->pending = pending;
	}
	s->service_p50_s = m.p75_ms / 1000; /* StarRocks has no lower quantile */
	s->service_p95_s = m.p95_ms / 1000;
	return 0;
}
