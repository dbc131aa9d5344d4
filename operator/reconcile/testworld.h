/* For tests only: worlds of a cluster c, and what a plan says.
 *
 * Thread: a test's own. Ownership: what makes JSON hands it over. */
#ifndef ROOST_OPERATOR_RECONCILE_TESTWORLD_H
#define ROOST_OPERATOR_RECONCILE_TESTWORLD_H

#include "lib/base/clock.h"
#include "operator/reconcile/step_for_tests.h"

/* ---- making worlds ---- */

/* A cluster c of fe, be and cn replicas; -1: no such spec. */
static inline json_t *world(int fe, int be, int cn)
{
	static const char *const spec[] = { "starRocksFeSpec", "starRocksBeSpec",
		                            "starRocksCnSpec" };
	const int n[] = { fe, be, cn };
	json_t *w = parse("{\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"uid\":\"u\","
	                  "\"generation\":4,\"resourceVersion\":\"9\"},\"spec\":{}},\"objects\":{},"
	                  "\"pods\":[],\"applied\":{},\"token\":true}");
	data_set(w, "now_ms", json_integer(NOW_MS));
	for (int i = 0; i < 3; i++)
		if (n[i] >= 0)
			json_object_set_new(
				data_get(w, "cr.spec"), spec[i],
				json_pack("{s:s, s:i}", "image", "i", "replicas", n[i]));
	return w;
}

static inline const json_t *write_of(const json_t *plan, const char *verb, const char *name)
{
	return write_like(plan, verb, NULL, name);
}

/* What the server would hold after the plan's applies; digests as the writer files them. */
static inline void accept_plan(json_t *w, const json_t *plan)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		char desired[17], live[17];
		json_t *o = json_deep_copy(json_object_get(x, "object"));
		if (!o)
			continue;
		autofree char *key =
			xasprintf("%s/%s", data_get_str(x, "kind"), data_get_str(x, "name"));
		data_set(o, "metadata.generation", json_integer(1));
		data_set(o, "spec.serverDefault", json_string("added"));
		reconcile_desired_digest(json_object_get(x, "object"), desired);
		reconcile_live_digest(json_object_get(x, "object"), o, live);
		json_object_set_new(json_object_get(w, "objects"), key, o);
		json_object_set_new(json_object_get(w, "applied"), key,
		                    json_pack("{s:s,s:s}", "desired", desired, "live", live));
	}
}

static inline void add_pod(json_t *w, const char *role, const char *name, const char *ip,
                           bool ready)
{
	json_t *pod = json_pack(
		"{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s}, s:{s:s, s:s*, s:[{s:s, s:s}]}}", "kind",
		"Pod", "metadata", "name", name, "namespace", "n", "uid", name, "labels",
		"app.kubernetes.io/component", role, "spec", "nodeName", "node", "status", "phase",
		"Running", "podIP", ip, "conditions", "type", "Ready", "status",
		ready ? "True" : "False");
	json_array_append_new(json_object_get(w, "pods"), pod);
}

static inline void settle_set(json_t *w, const char *key, int n)
{
	json_t *o = json_object_get(json_object_get(w, "objects"), key);
	assert_non_null(o);
	json_object_set_new(o, "status",
	                    json_pack("{s:i,s:i,s:i,s:i,s:i}", "observedGeneration", 1, "replicas",
	                              n, "updatedReplicas", n, "readyReplicas", n,
	                              "availableReplicas", n));
}

/* A whole cluster at rest: 1 FE, be BEs, cn CNs. */
static inline json_t *settled(int be, int cn)
{
	json_t *w = world(1, be, cn);
	add_pod(w, "fe", "c-fe-0", "10.0.0.1", true);
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	settle_set(w, "StatefulSet/c-fe", 1);
	settle_set(w, "StatefulSet/c-be", be);
	settle_set(w, "Deployment/c-cn", cn);
	for (int i = 0; i < be; i++) {
		autofree char *name = xasprintf("c-be-%d", i), *ip = xasprintf("10.0.1.%d", i);
		add_pod(w, "be", name, ip, true);
	}
	for (int i = 0; i < cn; i++) {
		autofree char *name = xasprintf("c-cn-x%d", i), *ip = xasprintf("10.0.2.%d", i);
		add_pod(w, "cn", name, ip, true);
	}
	return w;
}

static inline void set_fe(json_t *w, int64_t age_ms, const char *rows)
{
	json_t *fe = parse(rows);
	json_object_set_new(fe, "ok", json_true());
	json_object_set_new(fe, "at_ms", json_integer(NOW_MS - age_ms));
	json_object_set_new(fe, "since_ms", json_integer(NOW_MS - 60000));
	json_object_set_new(w, "fe", fe);
}

static inline json_t *object_of(const json_t *w, const char *key)
{
	json_t *o = json_object_get(json_object_get(w, "objects"), key);
	assert_non_null(o);
	return o;
}

/* The pod of that name, to be changed. */
static inline json_t *pod_of(const json_t *w, const char *name)
{
	size_t i;
	json_t *pod;
	json_array_foreach(json_object_get(w, "pods"), i, pod)
	{
		if (strcmp(data_get_str(pod, "metadata.name"), name) == 0)
			return pod;
	}
	fail_msg("no pod %s", name);
	return NULL;
}

#endif
