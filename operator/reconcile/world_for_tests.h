/* Worlds that the tests of this room step through: 1 FE, 2 BE, 2 CN, controllers that always keep up.
 *
 * Thread: a test's. */
#ifndef ROOST_OPERATOR_RECONCILE_WORLD_FOR_TESTS_H
#define ROOST_OPERATOR_RECONCILE_WORLD_FOR_TESTS_H

#include "operator/reconcile/step_for_tests.h"

/* ---- making worlds ---- */

/* What the server would hold after the plan's writes. */
static inline void accept_plan(json_t *w, const json_t *plan)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		char desired[17], live[17];
		json_t *o = json_deep_copy(json_object_get(x, "object"));
		autofree char *key =
			xasprintf("%s/%s", data_get_str(x, "kind"), data_get_str(x, "name"));
		if (!o)
			continue;
		const json_t *old = json_object_get(json_object_get(w, "objects"), key);
		int64_t generation = data_get_int(old, "metadata.generation", 0);
		data_set(o, "metadata.generation", json_integer(generation + 1));
		if (old && json_object_get(old, "status"))
			json_object_set(o, "status", json_object_get(old, "status"));
		reconcile_desired_digest(json_object_get(x, "object"), desired);
		reconcile_live_digest(json_object_get(x, "object"), o, live);
		json_object_set_new(json_object_get(w, "objects"), key, o);
		json_object_set_new(json_object_get(w, "applied"), key,
		                    json_pack("{s:s,s:s}", "desired", desired, "live", live));
	}
}

static inline json_t *pod(const char *role, const char *name)
{
	json_t *p = parse("{\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"n\"},\"spec\":{"
	                  "\"nodeName\":\"node\"},\"status\":{\"phase\":\"Running\",\"podIP\":"
	                  "\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
	                  "\"True\"}]}}");
	json_t *metadata = json_object_get(p, "metadata");
	json_object_set_new(metadata, "name", json_string(name));
	json_object_set_new(metadata, "uid", json_string(name));
	json_object_set_new(metadata, "labels",
	                    json_pack("{s:s}", "app.kubernetes.io/component", role));
	return p;
}

static inline json_t *object_of(const json_t *w, const char *key)
{
	return json_object_get(json_object_get(w, "objects"), key);
}

/* The controllers catch up: each set has the pods it asks for. */
static inline void settle(json_t *w)
{
	static const char *const sets[] = { "StatefulSet/c-fe", "StatefulSet/c-be",
		                            "Deployment/c-cn" };
	static const char *const roles[] = { "fe", "be", "cn" };
	json_t *pods = json_array();
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		json_t *o = object_of(w, sets[i]);
		int64_t n = data_get_int(o, "spec.replicas", 0);
		if (!o)
			continue;
		json_object_set_new(o, "status",
		                    json_pack("{s:I,s:I,s:I,s:I,s:I}", "observedGeneration",
		                              data_get_int(o, "metadata.generation", 0), "replicas",
		                              n, "updatedReplicas", n, "readyReplicas", n,
		                              "availableReplicas", n));
		for (int64_t k = 0; k < n; k++) {
			autofree char *name = xasprintf("c-%s-%lld", roles[i], (long long)k);
			json_array_append_new(pods, pod(roles[i], name));
		}
	}
	json_object_set_new(w, "pods", pods);
}

/* One round: the step, its writes, its status, the controllers. */
static inline void go(json_t *w)
{
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	settle(w);
	_cleanup_json_ json_t *after = plan_of(w);
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(after, "status"));
}

/* 1 FE, 2 BE, 2 CN at rest, the status written. */
static inline json_t *settled(void)
{
	json_t *w = parse(
		"{\"cr\":{\"kind\":\"StarRocksCluster\",\"metadata\":{\"name\":\"c\",\"namespace\":"
		"\"n\",\"uid\":\"u\",\"generation\":4,\"resourceVersion\":\"9\"},\"spec\":{"
		"\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":1},"
		"\"starRocksBeSpec\":{\"image\":\"i\",\"replicas\":2},"
		"\"starRocksCnSpec\":{\"image\":\"i\",\"replicas\":2}}},"
		"\"objects\":{},\"pods\":[],\"applied\":{},\"token\":true}");
	data_set(w, "now_ms", json_integer(NOW_MS));
	for (int i = 0; i < 3; i++)
		go(w);
	return w;
}

static inline void set_pod_status(json_t *w, const char *name, json_t *status)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(w, "pods"), i, p)
	{
		if (strcmp(data_get_str(p, "metadata.name"), name) == 0)
			json_object_set(p, "status", status);
	}
	json_decref(status);
}

#endif
