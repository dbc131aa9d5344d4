#include "scaler/source/snapshot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static int take_node(const json_t *node, const char *own, struct source_snapshot *s,
                     struct err *err)
{
	int64_t slots = 0, running = 0;
	const char *role = data_get_str(node, "role");
	if (role && strcmp(role, own) != 0)
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

static int take_nodes(const json_t *j, const char *own, struct source_snapshot *s, struct err *err)
{
	const json_t *nodes = data_get(j, "nodes"), *node;
	size_t i;
	if (!json_is_array(nodes) || json_array_size(nodes) > SOURCE_NODES_MAX)
		return err_set(err, -EINVAL, "load: nodes must be an array of at most %d",
		               SOURCE_NODES_MAX);
	json_array_foreach(nodes, i, node)
	{
		int rc = take_node(node, own, s, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* part: what is said of that kind of node; j says the rest. */
static int take_part(const json_t *j, const json_t *part, const char *own,
                     struct source_snapshot *ret, struct err *err)
{
	struct source_snapshot s = { 0 };
	const json_t *epoch = data_get(j, "epoch"), *ts = data_get(j, "ts");
	int rc;
	if (!json_is_integer(epoch) || !json_is_number(ts) || !isfinite(json_number_value(ts)))
		return err_set(err, -EINVAL, "load: epoch must be an integer and ts a number");
	s.epoch = json_integer_value(epoch);
	s.ts = json_number_value(ts);
	if ((rc = take_count(part, "pending", &s.pending, err)) < 0 ||
	    (rc = take_count(part, "running", &s.running, err)) < 0 ||
	    (rc = take_count(part, "required_slots", &s.slots_asked, err)) < 0 ||
	    (rc = take_seconds(part, "oldest_wait_s", &s.oldest_wait_s, err)) < 0 ||
	    (rc = take_seconds(j, "service_time_s.p50", &s.service_p50_s, err)) < 0 ||
	    (rc = take_seconds(j, "service_time_s.p95", &s.service_p95_s, err)) < 0 ||
	    (rc = take_nodes(part, own, &s, err)) < 0)
		return rc;
	*ret = s;
	return 0;
}

static int read_document(struct str body, json_t **ret, struct err *err)
{
	int rc = data_json_parse(body, ret, err);
	if (rc < 0)
		return err_wrap(err, "load");
	if (data_get_int(*ret, "v", -1) != 1)
		return err_set(err, -EINVAL, "load: v must be 1, the version read here");
	return 0;
}

int source_load_parse(struct str body, struct source_load *ret, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	int rc = read_document(body, &j, err);
	if (rc < 0)
		return rc;
	const json_t *be = json_object_get(j, "be");
	memset(ret, 0, sizeof(*ret));
	ret->rc[SOURCE_CN] = take_part(j, j, "cn", &ret->of[SOURCE_CN], &ret->err[SOURCE_CN]);
	ret->rc[SOURCE_BE] = be ? take_part(j, be, "be", &ret->of[SOURCE_BE], &ret->err[SOURCE_BE])
	                        : err_set(&ret->err[SOURCE_BE], -EINVAL,
	                                  "load: this FE says nothing of its backends (\"be\")");
	return 0;
}

void source_load_free(struct source_load *l)
{
	for (size_t i = 0; i < l->n_houses; i++)
		free(l->houses[i].name);
	free(l->houses);
	l->houses = NULL;
	l->n_houses = 0;
}

int source_load_house(const struct source_load *l, const char *name, struct source_snapshot *ret,
                      struct err *err)
{
	for (size_t i = 0; i < l->n_houses; i++) {
		const struct source_house *h = &l->houses[i];
		if (strcmp(h->name, name) != 0)
			continue;
		if (!h->known)
			return err_set(err, -ENOENT,
			               "the FE's /metrics lacks a number of warehouse %s, or one "
			               "is none",
			               name);
		*ret = h->of;
		return 0;
	}
	return err_set(err, -ENOENT,
	               "the FE's /metrics tells of no queue of warehouse %s: it takes StarRocks "
	               "3.5 and ALTER WAREHOUSE %s SET (\"enable_query_queue\" = \"true\")",
	               name, name);
}

int source_parse(struct str body, struct source_snapshot *ret, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	int rc = read_document(body, &j, err);
	return rc < 0 ? rc : take_part(j, j, "cn", ret, err);
}
