#include "scaler/policy/log.h"

#include <errno.h>
#include <string.h>

#include "lib/data/json.h"

enum { DIFFERENT_MAX = 1000 };
#define INTEGER_MAX INT64_C(1000000000000000)

#define ROW(type, name, kind) { #name, kind, offsetof(struct type, name), true }
#define LIMIT(name, kind) ROW(source_limits, name, kind)
#define SNAP(name, kind) ROW(source_snapshot, name, kind)
#define STATE(name, kind) ROW(policy_state, name, kind)

static const struct data_field limit_rows[] = {
	LIMIT(min, DATA_INT),
	LIMIT(max, DATA_INT),
	LIMIT(slots_per_node, DATA_INT),
	LIMIT(wait_target_s, DATA_NUM),
	LIMIT(scale_in_window_ms, DATA_INT),
	LIMIT(replicas, DATA_INT),
};
static const struct data_field snap_rows[] = {
	SNAP(ts, DATA_NUM),
	SNAP(epoch, DATA_INT),
	SNAP(pending, DATA_INT),
	SNAP(running, DATA_INT),
	SNAP(slots_asked, DATA_INT),
	SNAP(oldest_wait_s, DATA_NUM),
	SNAP(service_p50_s, DATA_NUM),
	SNAP(service_p95_s, DATA_NUM),
	SNAP(nodes, DATA_INT),
	SNAP(draining, DATA_INT),
	SNAP(idle_nodes, DATA_INT),
	SNAP(tasks, DATA_INT),
	SNAP(slots, DATA_INT),
	SNAP(slots_of_a_node, DATA_INT),
};
static const struct data_field state_rows[] = {
	STATE(begun, DATA_BOOL),          STATE(desired, DATA_INT),
	STATE(epoch, DATA_INT),           STATE(last_ms, DATA_INT),
	STATE(slots_of_a_node, DATA_INT), STATE(queue_since_ms, DATA_INT),
	STATE(raised_ms, DATA_INT),       STATE(start_ms, DATA_INT),
	STATE(joined_ms, DATA_INT),       STATE(warm_ms, DATA_INT),
	STATE(stepped_ms, DATA_INT),      STATE(need, DATA_INT),
	STATE(forecast, DATA_INT),        STATE(queued_ms, DATA_INT),
	STATE(period_min, DATA_INT),      STATE(calm, DATA_INT),
	STATE(cycle, DATA_INT),           STATE(missed_ms, DATA_INT),
};

static json_t *encode(const struct data_field *rows, size_t n, const void *object)
{
	json_t *j = json_object();
	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)object + rows[i].offset;
		json_t *v =
			rows[i].type == DATA_INT ? json_integer(*(const int64_t *)(const void *)at)
			: rows[i].type == DATA_BOOL ? json_boolean(*(const bool *)at)
						    : json_real(*(const double *)(const void *)at);
		json_object_set_new(j, rows[i].path, v);
	}
	return j;
}

/* [[slice, need], …] of those that are not empty, by place. */
static json_t *encode_window(const struct policy_state *s)
{
	json_t *j = json_array();
	for (size_t i = 0; i < POLICY_BUCKETS; i++)
		if (s->slice_need[i])
			json_array_append_new(j, json_pack("[I, i]",
			                                   (json_int_t)policy_window_at(s, i),
			                                   (int)s->slice_need[i] - 1));
	return j;
}

static int decode_window(const json_t *j, struct policy_state *s, struct err *err)
{
	size_t i;
	const json_t *pair;
	int64_t last = 0;
	if (!json_is_array(j) || json_array_size(j) > POLICY_BUCKETS)
		return err_set(err, -EINVAL, "window must be a list of at most %d", POLICY_BUCKETS);
	json_array_foreach(j, i, pair)
	{
		int64_t slice = data_get_int(pair, "0", -1), need = data_get_int(pair, "1", -1);
		if (slice < 1 || slice > INTEGER_MAX || need < 0 || need > POLICY_NEED_MAX)
			return err_set(err, -EINVAL, "window[%zu] must be [slice, nodes]", i);
		last = slice > last ? slice : last;
	}
	/* The last one first: what is too old for the window is let go. */
	s->slice = last;
	json_array_foreach(j, i, pair)
	{
		int64_t slice = data_get_int(pair, "0", -1);
		if (slice > last - POLICY_BUCKETS)
			policy_window_put(s, slice, data_get_int(pair, "1", 0));
	}
	return 0;
}

/* What no clock and no FE of ours can say would overflow a sum. */
static int check_range(const struct data_field *rows, size_t n, const void *object, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)object + rows[i].offset;
		int64_t v = rows[i].type == DATA_INT ? *(const int64_t *)(const void *)at : 0;
		if (v < -INTEGER_MAX || v > INTEGER_MAX)
			return err_set(err, -EINVAL, "%s is out of range", rows[i].path);
	}
	return 0;
}

static int decode(const json_t *j, const char *path, const struct data_field *rows, size_t n,
                  void *object, struct err *err)
{
	int rc = data_decode(data_get(j, path), rows, n, object, err);
	if (rc == 0)
		rc = check_range(rows, n, object, err);
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

int policy_log_write(const char *key, const struct source_limits *limits,
                     const struct source_snapshot *snap, int64_t now_ms,
                     const struct policy_state *before, const struct policy_decision *made,
                     struct buf *out)
{
	_cleanup_json_ json_t *j =
		json_pack("{s:i, s:s, s:I, s:o, s:o, s:o, s:o, s:{s:I, s:b, s:s}}", "v", 1, "pool",
	                  key, "now_ms", (json_int_t)now_ms, "limits",
	                  encode(limit_rows, ARRAY_LEN(limit_rows), limits), "load",
	                  encode(snap_rows, ARRAY_LEN(snap_rows), snap), "before",
	                  encode(state_rows, ARRAY_LEN(state_rows), before), "window",
	                  encode_window(before), "made", "desired", (json_int_t)made->desired,
	                  "active", (int)made->active, "reason", made->reason);
	int rc = j ? data_json_dump(j, out) : -EINVAL;
	return rc < 0 ? rc : buf_addc(out, '\n');
}

int policy_log_again(struct str line, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	struct source_limits limits = { 0 };
	struct source_snapshot snap = { 0 };
	struct policy_state state = { 0 };
	struct policy_decision made;
	int rc = data_json_parse(line, &j, err);
	if (rc < 0)
		return rc;
	const char *key = data_get_str(j, "pool");
	int64_t now = data_get_int(j, "now_ms", -1);
	if (data_get_int(j, "v", -1) != 1 || !key || now < 1 || now > INTEGER_MAX)
		return err_set(err, -EINVAL, "v must be 1, pool a text and now_ms above 0");
	if ((rc = decode(j, "limits", limit_rows, ARRAY_LEN(limit_rows), &limits, err)) < 0 ||
	    (rc = decode(j, "load", snap_rows, ARRAY_LEN(snap_rows), &snap, err)) < 0 ||
	    (rc = decode(j, "before", state_rows, ARRAY_LEN(state_rows), &state, err)) < 0 ||
	    (rc = decode_window(data_get(j, "window"), &state, err)) < 0)
		return rc;
	struct policy_state before = state;
	policy_step(&limits, &snap, now, &state, &made);
	rc = policy_log_write(key, &limits, &snap, now, &before, &made, out);
	return rc < 0 ? err_set(err, rc, "a line has at most %d bytes", POLICY_LOG_LINE_MAX) : 0;
}

int policy_log_replay(const char *path, FILE *out, size_t *ret_lines, struct err *err)
{
	FILE *in = fopen(path, "re");
	autofree char *line = NULL;
	size_t cap = 0, lines = 0;
	int different = 0, rc = 0;
	if (!in)
		return err_errno(err, "%s", path);
	for (ssize_t n; rc == 0 && (n = getline(&line, &cap, in)) > 0; lines++) {
		_cleanup_buf_ struct buf again = BUF_INIT(POLICY_LOG_LINE_MAX);
		rc = policy_log_again((struct str){ line, (size_t)n }, &again, err);
		if (rc < 0) {
			(void)err_wrap(err, "%s: line %zu", path, lines + 1);
			continue;
		}
		(void)fwrite(buf_cstr(&again), 1, again.len, out);
		if (again.len != (size_t)n || memcmp(buf_cstr(&again), line, again.len) != 0)
			different += different < DIFFERENT_MAX;
	}
	if (rc == 0 && ferror(in))
		rc = err_errno(err, "cannot read %s", path);
	else if (rc == 0 && fflush(out) != 0)
		rc = err_errno(err, "cannot write what %s gives", path);
	(void)fclose(in);
	*ret_lines = lines;
	return rc < 0 ? rc : different;
}
