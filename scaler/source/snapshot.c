#include "scaler/source/snapshot.h"

#include <errno.h>
#include <math.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

static int take_count(const json_t *j, const char *path, int64_t *ret, struct err *err)
{
	const json_t *v = data_get(j, path);
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    json_integer_value(v) > SOURCE_COUNT_MAX)
		return err_set(err, -EINVAL, "load: %s must be an integer from 0 to %d", path,
		               SOURCE_COUNT_MAX);
	*ret = json_integer_value(v);
	return 0;
}

static int take_seconds(const json_t *j, const char *path, double *ret, struct err *err)
{
	const json_t *v = data_get(j, path);
	double s = json_is_number(v) ? json_number_value(v) : -1.0;
	if (!isfinite(s) || s < 0 || s > (double)SOURCE_COUNT_MAX)
		return err_set(err, -EINVAL, "load: %s must be a number from 0 to %d", path,
		               SOURCE_COUNT_MAX);
	*ret = s;
	return 0;
}

static int take_node(const json_t *node, struct source_snapshot *s, struct err *err)
{
	int64_t slots = 0, running = 0;
	const char *role = data_get_str(node, "role");
	if (role && strcmp(role, "cn") != 0)
		return 0;
	int rc = take_count(node, "slots", &slots, err);
	if (rc == 0)
		rc = take_count(node, "running", &running, err);
	if (rc < 0)
		return err_wrap(err, "nodes");
	if (!json_is_boolean(data_get(node, "draining")))
		return err_set(err, -EINVAL, "load: nodes: draining must be true or false");
	s->tasks += running;
	if (data_get_bool(node, "draining", false)) {
		s->draining++;
		return 0;
	}
	s->nodes++;
	s->idle_nodes += running == 0 ? 1 : 0;
	s->slots += slots;
	s->slots_of_a_node = slots > s->slots_of_a_node ? slots : s->slots_of_a_node;
	return 0;
}

static int take_nodes(const json_t *j, struct source_snapshot *s, struct err *err)
{
	const json_t *nodes = data_get(j, "nodes"), *node;
	size_t i;
	if (!json_is_array(nodes) || json_array_size(nodes) > SOURCE_NODES_MAX)
		return err_set(err, -EINVAL, "load: nodes must be an array of at most %d",
		               SOURCE_NODES_MAX);
	json_array_foreach(nodes, i, node)
	{
		int rc = take_node(node, s, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int source_parse(struct str body, struct source_snapshot *ret, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	struct source_snapshot s = { 0 };
	int rc = data_json_parse(body, &j, err);
	if (rc < 0)
		return err_wrap(err, "load");
	if (data_get_int(j, "v", -1) != 1)
		return err_set(err, -EINVAL, "load: v must be 1, the version read here");
	const json_t *epoch = data_get(j, "epoch"), *ts = data_get(j, "ts");
	if (!json_is_integer(epoch) || !json_is_number(ts) || !isfinite(json_number_value(ts)))
		return err_set(err, -EINVAL, "load: epoch must be an integer and ts a number");
	s.epoch = json_integer_value(epoch);
	s.ts = json_number_value(ts);
	if ((rc = take_count(j, "pending", &s.pending, err)) < 0 ||
	    (rc = take_count(j, "running", &s.running, err)) < 0 ||
	    (rc = take_count(j, "required_slots", &s.slots_asked, err)) < 0 ||
	    (rc = take_seconds(j, "oldest_wait_s", &s.oldest_wait_s, err)) < 0 ||
	    (rc = take_seconds(j, "service_time_s.p50", &s.service_p50_s, err)) < 0 ||
	    (rc = take_seconds(j, "service_time_s.p95", &s.service_p95_s, err)) < 0 ||
	    (rc = take_nodes(j, &s, err)) < 0)
		return rc;
	*ret = s;
	return 0;
}
