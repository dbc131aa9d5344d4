/* Upgrades, restarts for a configuration, volumes that grow. */
#include <errno.h>

#include "operator/reconcile/testworld.h"
#include "operator/reconcile/step_priv.h"

static void tags_are_versions(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		int cmp;
	} cases[] = {
		{ "starrocks/fe-ubuntu:3.3.2", "starrocks/fe-ubuntu:3.4.0", -1 },
		{ "r:5000/fe:3.10.0", "r:5000/fe:3.9.9", 1 },
		{ "fe:v3.2.1", "fe:3.2.1", 0 },
		{ "fe:3.5.0-rc01", "fe:3.5.1", -1 },
		{ "fe:3.5-latest", "fe:3.4.9", 1 },
		{ "fe:latest", "fe:3.4.9", 0 },
		{ "fe", "fe:3.4.9", 0 },
		{ "fe@sha256:00", "fe:3.4.9", 0 },
		{ "r:5000/fe", "fe:1.0.0", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int cmp = reconcile_version_cmp(cases[i].a, cases[i].b);
		if (cmp != cases[i].cmp)
			fail_msg("%s and %s: %d", cases[i].a, cases[i].b, cmp);
	}
}

static void images(json_t *w, const char *fe, const char *be, const char *cn)
{
	data_set(w, "cr.spec.starRocksFeSpec.image", json_string(fe));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string(be));
	data_set(w, "cr.spec.starRocksCnSpec.image", json_string(cn));
}

/* A cluster at rest with all images at 3.3.1, then wanted as said. */
static json_t *at_version(int be, int cn, const char *want)
{
	json_t *w = settled(be, cn);
	images(w, "i:3.3.1", "i:3.3.1", "i:3.3.1");
	json_object_clear(json_object_get(w, "objects"));
	json_object_clear(json_object_get(w, "applied"));
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	json_t *sets[] = { object_of(w, "StatefulSet/c-fe"), object_of(w, "StatefulSet/c-be"),
		           object_of(w, "Deployment/c-cn") };
	const int n[] = { 1, be, cn };
	for (int i = 0; i < 3; i++)
		json_object_set_new(sets[i], "status",
		                    json_pack("{s:i,s:i,s:i,s:i,s:i,s:s}", "observedGeneration", 1,
		                              "replicas", n[i], "updatedReplicas", n[i],
		                              "readyReplicas", n[i], "availableReplicas", n[i],
		                              "updateRevision", "r1"));
	size_t k;
	json_t *pod;
	json_array_foreach(json_object_get(w, "pods"), k, pod)
		data_set(pod, "metadata.labels.controller-revision-hash", json_string("r1"));
	images(w, want, want, want);
	return w;
}

/* The roles that get another image by the plan. */
static const char *changed(const json_t *w, const json_t *plan)
{
	static const char *const keys[] = { "StatefulSet/c-fe", "StatefulSet/c-be",
		                            "Deployment/c-cn" };
	static const char *const names[] = { "none", "fe",   "be",   "many",
		                             "cn",   "many", "many", "many" };
	const char *image = "spec.template.spec.containers.0.image";
	int got = 0;
	for (int i = 0; i < 3; i++) {
		const json_t *x = write_of(plan, "apply", strchr(keys[i], '/') + 1);
		const char *now = data_get_str(object_of(w, keys[i]), image);
		const char *then = data_get_str(json_object_get(x, "object"), image);
		if (then && strcmp(now, then) != 0)
			got |= 1 << i;
	}
	return names[got];
}

static void live_image(json_t *w, const char *key, const char *image)
{
	json_t *c = data_get(object_of(w, key), "spec.template.spec.containers.0");
	json_object_set_new(c, "image", json_string(image));
}

static void roles_change_in_order(void **state)
{
	(void)state;
	static const struct {
		const char *want, *fe, *be, *cn; /* live images */
		int cn_available, be_ready;
		const char *changed;
	} cases[] = {
		{ "i:3.4.0", "i:3.3.1", "i:3.3.1", "i:3.3.1", 2, 2, "be" },
		{ "i:3.4.0", "i:3.3.1", "i:3.4.0", "i:3.3.1", 2, 2, "cn" },
		/* A backend of the new version does not become ready: halt. */
		{ "i:3.4.0", "i:3.3.1", "i:3.4.0", "i:3.3.1", 2, 1, "none" },
		{ "i:3.4.0", "i:3.3.1", "i:3.4.0", "i:3.4.0", 1, 2, "none" },
		{ "i:3.4.0", "i:3.3.1", "i:3.4.0", "i:3.4.0", 2, 2, "fe" },
		/* Down again: the other way round. */
		{ "i:3.2.9", "i:3.3.1", "i:3.3.1", "i:3.3.1", 2, 2, "fe" },
		{ "i:3.2.9", "i:3.2.9", "i:3.3.1", "i:3.3.1", 2, 2, "cn" },
		{ "i:3.2.9", "i:3.2.9", "i:3.3.1", "i:3.2.9", 2, 2, "be" },
		/* Tags that are no versions: as for an upgrade. */
		{ "i:new", "i:3.3.1", "i:3.3.1", "i:3.3.1", 2, 2, "be" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = at_version(2, 2, cases[i].want);
		live_image(w, "StatefulSet/c-fe", cases[i].fe);
		live_image(w, "StatefulSet/c-be", cases[i].be);
		live_image(w, "Deployment/c-cn", cases[i].cn);
		/* As after a restart: nothing is known of what was applied. */
		json_object_clear(json_object_get(w, "applied"));
		json_t *sets[] = { object_of(w, "StatefulSet/c-fe"),
			           object_of(w, "StatefulSet/c-be"),
			           object_of(w, "Deployment/c-cn") };
		for (int k = 0; k < 3; k++)
			json_object_set_new(sets[k], "status",
			                    json_pack("{s:i,s:i,s:i,s:i}", "observedGeneration", 1,
			                              "updatedReplicas", 2, "availableReplicas",
			                              k == 2 ? cases[i].cn_available : 2,
			                              "readyReplicas", 2));
		if (cases[i].be_ready < 2)
			data_set(pod_of(w, "c-be-1"), "status.conditions", json_array());
		_cleanup_json_ json_t *plan = plan_of(w);
		if (strcmp(changed(w, plan), cases[i].changed) != 0)
			fail_msg("case %zu: %s", i, changed(w, plan));
	}
}

static void what_waits_may_still_scale(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = at_version(2, 2, "i:3.4.0");
	data_set(w, "cr.spec.starRocksCnSpec.replicas", json_integer(4));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_null(write_of(plan, "apply", "c-cn"));
	assert_int_equal(data_get_int(write_of(plan, "scale", "c-cn"), "replicas", 0), 4);
}

static void an_edit_that_is_no_image_waits_for_nobody(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = at_version(2, 2, "i:3.3.1");
	data_set(w, "cr.spec.starRocksFeSpec.limits", parse("{\"memory\":\"9Gi\"}"));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string("i:3.3.2"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(write_of(plan, "apply", "c-fe"));
	assert_non_null(write_of(plan, "apply", "c-be"));
}

/* ---- one pod after the other ---- */
/* Backends in the middle of a change: pods below `old` have the old template. */
static json_t *changing(int be, int old)
{
	json_t *w = at_version(be, 1, "i:3.4.0");
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	json_t *set = object_of(w, "StatefulSet/c-be");
	assert_string_equal(data_get_str(set, "spec.updateStrategy.type"), "OnDelete");
	json_object_set_new(set, "status",
	                    json_pack("{s:i,s:i,s:i,s:i,s:s}", "observedGeneration", 1, "replicas",
	                              be, "updatedReplicas", be - old, "readyReplicas", be,
	                              "updateRevision", "r2"));
	for (int i = 0; i < be; i++) {
		autofree char *name = xasprintf("c-be-%d", i);
		data_set(pod_of(w, name), "metadata.labels.controller-revision-hash",
		         json_string(i < old ? "r1" : "r2"));
	}
	return w;
}

#define ROW(n, alive) "{\"host\":\"c-be-" n ".x\",\"port\":9050,\"alive\":" alive ",\"tablets\":5}"

static void the_next_backend_waits_for_its_tablets(void **state)
{
	(void)state;
	static const struct {
		const char *fe; /* NULL: no answer */
		int old;
		bool last_ready;
		const char *victim, *reason;
	} cases[] = {
		{ NULL, 3, true, NULL, "AsExpected" },
		{ "{\"backends\":[" ROW("0", "true") "," ROW("1", "true") "," ROW("2", "true") "]}",
		  3, true, NULL, "AsExpected" },
		{ "{\"unhealthy\":3,\"backends\":[" ROW("0", "true") "," ROW("1", "true") "," ROW(
			  "2", "true") "]}",
		  3, true, NULL, "AsExpected" },
		{ "{\"unhealthy\":0,\"backends\":[" ROW("0", "true") "," ROW("1", "false") "," ROW(
			  "2", "true") "]}",
		  3, true, NULL, "AsExpected" },
		{ "{\"unhealthy\":0,\"backends\":[" ROW("0", "true") "," ROW("1", "true") "," ROW(
			  "2", "true") "]}",
		  3, true, "c-be-2", "AsExpected" },
		{ "{\"unhealthy\":0,\"backends\":[" ROW("0", "true") "," ROW("1", "true") "," ROW(
			  "2", "true") "]}",
		  2, true, "c-be-1", "AsExpected" },
		/* The one with the new template is not ready: the others keep the old one. */
		{ "{\"unhealthy\":0,\"backends\":[" ROW("0", "true") "," ROW("1", "true") "," ROW(
			  "2", "true") "]}",
		  2, false, NULL, "AsExpected" },
		{ "{\"health_error\":\"denied\",\"backends\":[" ROW("0", "true") "," ROW(
			  "1", "true") "," ROW("2", "true") "]}",
		  2, true, NULL, "UpgradeHalted" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = changing(3, cases[i].old);
		if (cases[i].fe)
			set_fe(w, 100, cases[i].fe);
		if (!cases[i].last_ready)
			data_set(pod_of(w, "c-be-2"), "status.conditions", json_array());
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *victim = NULL;
		for (int k = 0; k < 3; k++) {
			autofree char *name = xasprintf("c-be-%d", k);
			const json_t *x = write_of(plan, "delete", name);
			victim = x ? data_get_str(x, "name") : victim;
		}
		if ((victim != NULL) != (cases[i].victim != NULL) ||
		    (victim && strcmp(victim, cases[i].victim) != 0) ||
		    strcmp(condition(plan, "Degraded", "reason"), cases[i].reason) != 0)
			fail_msg("case %zu: %s, %s", i, victim ? victim : "nobody",
			         condition(plan, "Degraded", "reason"));
	}
}

/* An answer from before the last pod became ready says nothing about it. */
static void an_old_answer_restarts_nobody(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = changing(2, 1);
	char at[CLOCK_RFC3339_MAX];
	clock_rfc3339(NOW_MS - 50, at);
	data_set(json_array_get(data_get(pod_of(w, "c-be-1"), "status.conditions"), 0),
	         "lastTransitionTime", json_string(at));
	set_fe(w, 100,
	       "{\"unhealthy\":0,\"backends\":[" ROW("0", "true") "," ROW("1", "true") "]}");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_null(write_of(plan, "delete", "c-be-0"));
}

static void at_rest_the_strategy_is_upstreams(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = changing(3, 0);
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(
		data_get_str(write_of(plan, "apply", "c-be"), "object.spec.updateStrategy.type"),
		"RollingUpdate");
}

#define FE(n, role, alive)                                                        \
	"{\"host\":\"c-fe-" n ".x\",\"port\":9010,\"join\":true,\"role\":\"" role \
	"\",\"alive\":" alive "}"

static void the_leader_is_last(void **state)
{
	(void)state;
	static const struct {
		const char *rows, *revisions, *victim;
	} cases[] = {
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "LEADER",
		                                                                     "true"),
		  "111", "c-fe-1" },
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "LEADER",
		                                                                     "true"),
		  "121", "c-fe-0" },
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "LEADER",
		                                                                     "true"),
		  "221", "c-fe-2" },
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "false") "," FE("2", "LEADER",
		                                                                      "true"),
		  "111", NULL },
		/* One of them has not joined yet. */
		{ FE("0", "FOLLOWER", "true") "," FE("2", "LEADER", "true"), "111", NULL },
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER",
		                                     "true") "," FE("2", "FOLLOWER", "true"),
		  "111", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = at_version(1, 1, "i:3.3.1");
		json_t *set = object_of(w, "StatefulSet/c-fe");
		autofree char *fe = xasprintf("{\"frontends\":[%s]}", cases[i].rows);
		data_set(w, "cr.spec.starRocksFeSpec.replicas", json_integer(3));
		data_set(w, "cr.spec.starRocksFeSpec.image", json_string("i:3.3.9"));
		data_set(set, "spec.replicas", json_integer(3));
		add_pod(w, "fe", "c-fe-1", "10.0.0.2", true);
		add_pod(w, "fe", "c-fe-2", "10.0.0.3", true);
		_cleanup_json_ json_t *plan = plan_of(w);
		accept_plan(w, plan);
		set = object_of(w, "StatefulSet/c-fe");
		json_object_set_new(
			set, "status",
			json_pack("{s:i,s:s}", "observedGeneration", 1, "updateRevision", "r2"));
		for (int k = 0; k < 3; k++) {
			autofree char *name = xasprintf("c-fe-%d", k);
			data_set(pod_of(w, name), "metadata.labels.controller-revision-hash",
			         json_sprintf("r%c", cases[i].revisions[k]));
		}
		set_fe(w, 100, fe);
		_cleanup_json_ json_t *next = plan_of(w);
		const char *victim = NULL;
		for (int k = 0; k < 3; k++) {
			autofree char *name = xasprintf("c-fe-%d", k);
			const json_t *x = write_of(next, "delete", name);
			victim = x ? data_get_str(x, "name") : victim;
		}
		if (cases[i].victim ? !victim || strcmp(victim, cases[i].victim) != 0
		                    : victim != NULL)
			fail_msg("case %zu: %s", i, victim ? victim : "nobody");
	}
}

/* ---- configuration ---- */
static const char *template_digest(const json_t *plan)
{
	const json_t *x = write_of(plan, "apply", "c-be");
	return data_get_str(x, "object.spec.template.metadata.annotations.roost\\.io/config");
}

static json_t *with_conf(const char *policy, const char *text)
{
	json_t *w = settled(2, 0);
	data_set(w, "cr.spec.starRocksBeSpec.configMapInfo",
	         parse("{\"configMapName\":\"m\",\"resolveKey\":\"be.conf\"}"));
	if (policy)
		data_set(w, "cr.spec.starRocksBeSpec.configRestartPolicy", json_string(policy));
	data_set(w, "conf", json_pack("{s:s}", "be", text));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_null(template_digest(plan));
	accept_plan(w, plan);
	return w;
}

static void only_what_needs_it_restarts(void **state)
{
	(void)state;
	static const struct {
		const char *policy, *before, *after;
		bool restarts;
	} cases[] = {
		{ "OnChange", "mem_limit = 80%", "mem_limit = 70%", true },
		{ "OnChange", "mem_limit = 80%", "# said\n mem_limit=80%\n", false },
		{ "OnChange", "a = 1\nb = 2", "b = 2\na = 1", false },
		{ "OnChange", "a = 1", "a = 2\na = 1", false },
		{ "OnChange", "write_buffer_size = 1", "write_buffer_size = 2", false },
		{ "OnChange", "", "write_buffer_size = 2", false },
		{ "OnChange", "a = 1", "", false }, /* the ConfigMap is gone */
		{ "Never", "mem_limit = 80%", "mem_limit = 70%", false },
		{ NULL, "mem_limit = 80%", "mem_limit = 70%", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = with_conf(cases[i].policy, cases[i].before);
		_cleanup_json_ json_t *rest = plan_of(w);
		assert_null(write_of(rest, "apply", "c-be"));
		data_set(w, "conf.be", json_string(cases[i].after));
		_cleanup_json_ json_t *plan = plan_of(w);
		if ((template_digest(plan) != NULL) != cases[i].restarts)
			fail_msg("case %zu", i);
		assert_null(write_of(plan, "apply", "c-fe"));
		if (!cases[i].restarts)
			continue;
		/* And back: the digest goes on, it is not taken away. */
		accept_plan(w, plan);
		data_set(w, "conf.be", json_string(cases[i].before));
		_cleanup_json_ json_t *back = plan_of(w);
		assert_non_null(template_digest(back));
	}
}

static void a_mounted_secret_counts(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_conf("OnChange", "a = 1");
	data_set(w, "mounts", json_pack("{s:s}", "be", "abcd"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(template_digest(plan));
	_cleanup_json_ json_t *never = with_conf("Never", "a = 1");
	data_set(never, "mounts", json_pack("{s:s}", "be", "abcd"));
	_cleanup_json_ json_t *none = plan_of(never);
	assert_null(template_digest(none));
}

/* ---- volumes ---- */
static void volume(json_t *w, const char *size)
{
	data_set(w, "cr.spec.starRocksBeSpec.storageVolumes",
	         json_pack("[{s:s, s:s, s:s}]", "name", "be-data", "mountPath", "/d", "storageSize",
	                   size));
}

/* A set that was made with it. */
static void with_volume(json_t *w)
{
	json_object_del(json_object_get(w, "objects"), "StatefulSet/c-be");
	volume(w, "10Gi");
	_cleanup_json_ json_t *first = plan_of(w);
	accept_plan(w, first);
}

static void volumes_grow_and_never_shrink(void **state)
{
	(void)state;
	static const struct {
		const char *to;
		int grown;
		bool orphan;
		const char *reason;
	} cases[] = {
		{ "10Gi", 0, false, "AsExpected" },
		{ "10240Mi", 0, false, "AsExpected" },
		{ "20Gi", 2, true, "AsExpected" },
		{ "5Gi", 0, false, "VolumeShrinkRefused" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(2, 0);
		with_volume(w);
		settle_set(w, "StatefulSet/c-be", 2);
		data_set(object_of(w, "StatefulSet/c-be"), "spec.updateStrategy.type",
		         json_string("RollingUpdate"));
		volume(w, cases[i].to);
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *claim = write_of(plan, "grow", "be-data-c-be-1");
		const json_t *orphan = write_of(plan, "orphan", "c-be");
		int grown = (claim != NULL) + (write_of(plan, "grow", "be-data-c-be-0") != NULL);
		if (grown != cases[i].grown || (orphan != NULL) != cases[i].orphan ||
		    strcmp(condition(plan, "Degraded", "reason"), cases[i].reason) != 0)
			fail_msg("case %zu: %d, %s", i, grown,
			         condition(plan, "Degraded", "reason"));
		if (claim)
			assert_string_equal(data_get_str(claim, "size"), cases[i].to);
	}
}

/* The server would refuse all of it in words of its own; an image waits, a number of replicas does not. */
static void what_is_fixed_is_named_and_keeps_nothing_else_back(void **state)
{
	(void)state;
	static const struct {
		const char *field, *value, *says;
		bool image; /* goes on */
	} cases[] = {
		{ "storageVolumes",
		  "[{\"name\":\"be-data\",\"mountPath\":\"/d\",\"storageSize\":\"10Gi\"},"
		  "{\"name\":\"be-log\",\"mountPath\":\"/l\",\"storageSize\":\"1Gi\"}]",
		  "starRocksBeSpec.storageVolumes: nodes that exist cannot get the volume be-log",
		  false },
		{ "storageVolumes", "[]", "the volume be-data cannot be taken", false },
		{ "storageVolumes",
		  "[{\"name\":\"be-data\",\"mountPath\":\"/d\",\"storageSize\":\"10Gi\","
		  "\"storageClassName\":\"fast\"}]",
		  "storageClassName (none) and cannot get fast", false },
		{ "storageVolumes",
		  "[{\"name\":\"be-data\",\"mountPath\":\"/d\",\"storageSize\":\"10Gi\"},"
		  "{\"name\":\"be-log\",\"mountPath\":\"/l\",\"storageClassName\":\"emptyDir\"}]",
		  NULL, true },
		{ "podManagementPolicy", "\"OrderedReady\"",
		  "starRocksBeSpec.podManagementPolicy is Parallel and cannot become OrderedReady",
		  true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(2, 0);
		with_volume(w);
		settle_set(w, "StatefulSet/c-be", 2);
		autofree char *path = xasprintf("cr.spec.starRocksBeSpec.%s", cases[i].field);
		json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
		assert_non_null(value);
		data_set(w, path, value);
		data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(3));
		data_set(w, "cr.spec.starRocksBeSpec.image", json_string("j"));
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *set = json_object_get(write_of(plan, "apply", "c-be"), "object");
		const json_t *scale = write_of(plan, "scale", "c-be");
		assert_string_equal(condition(plan, "Degraded", "status"),
		                    cases[i].says ? "True" : "False");
		if (cases[i].says && !strstr(condition(plan, "Degraded", "message"), cases[i].says))
			fail_msg("case %zu: %s", i, condition(plan, "Degraded", "message"));
		assert_int_equal(set != NULL, cases[i].image);
		assert_int_equal(data_get_int(set ? data_get(set, "spec") : scale, "replicas", -1),
		                 3);
		if (set)
			assert_string_equal(data_get_str(set, "spec.podManagementPolicy"),
			                    "Parallel");
	}
}

/* While the set is away its pods say how many there are: none is lost, none added. */
static void a_set_comes_back_as_large_as_it_was(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(3, 0);
	json_object_del(json_object_get(w, "objects"), "StatefulSet/c-be");
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(1));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(data_get_int(write_of(plan, "apply", "c-be"), "object.spec.replicas", 0),
	                 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_versions),
		cmocka_unit_test(roles_change_in_order),
		cmocka_unit_test(what_waits_may_still_scale),
		cmocka_unit_test(an_edit_that_is_no_image_waits_for_nobody),
		cmocka_unit_test(the_next_backend_waits_for_its_tablets),
		cmocka_unit_test(an_old_answer_restarts_nobody),
		cmocka_unit_test(at_rest_the_strategy_is_upstreams),
		cmocka_unit_test(the_leader_is_last),
		cmocka_unit_test(only_what_needs_it_restarts),
		cmocka_unit_test(a_mounted_secret_counts),
		cmocka_unit_test(volumes_grow_and_never_shrink),
		cmocka_unit_test(what_is_fixed_is_named_and_keeps_nothing_else_back),
		cmocka_unit_test(a_set_comes_back_as_large_as_it_was),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
