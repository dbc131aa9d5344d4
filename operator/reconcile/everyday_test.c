#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "operator/reconcile/step.h"
#include "operator/reconcile/step_priv.h"
#include "operator/reconcile/world_for_tests.h"

static int64_t replicas_of(const json_t *w, const char *key)
{
	return data_get_int(object_of(w, key), "spec.replicas", -1);
}

static void assert_replicas(const json_t *w, int fe, int be, int cn)
{
	assert_int_equal(replicas_of(w, "StatefulSet/c-fe"), fe);
	assert_int_equal(replicas_of(w, "StatefulSet/c-be"), be);
	assert_int_equal(replicas_of(w, "Deployment/c-cn"), cn);
}

static const char *told(const json_t *w, const char *type, const char *field)
{
	return condition(json_object_get(w, "cr"), type, field);
}

/* ---- pause ---- */
static void a_paused_cluster_is_only_told_about(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	json_object_set_new(data_get(w, "cr.metadata"), "annotations",
	                    json_pack("{s:s}", "roost.io/paused", "true"));
	_cleanup_json_ json_t *quiet = plan_of(w);
	assert_string_equal(condition(quiet, "Ready", "status"), "True");
	assert_string_equal(condition(quiet, "Paused", "status"), "True");
	assert_non_null(event(quiet, "Paused"));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string("j"));
	json_object_set_new(w, "fe",
	                    json_pack("{s:b, s:I, s:[{s:s, s:i, s:b}]}", "ok", 1, "at_ms", NOW_MS,
	                              "nodes", "host", "10.9.9.9", "port", 9050, "alive", 0));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_int_equal(json_array_size(json_object_get(plan, "intents")), 0);
	assert_string_equal(condition(plan, "Progressing", "status"), "True");
	assert_non_null(strstr(condition(plan, "Progressing", "message"), "paused"));
	json_object_clear(data_get(w, "cr.metadata.annotations"));
	_cleanup_json_ json_t *on = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(on, "writes")), 1);
	assert_int_equal(json_array_size(json_object_get(on, "intents")), 1);
	assert_string_equal(condition(on, "Paused", "status"), "");
}

/* ---- hibernation ---- */
static void nodes_go_to_sleep_and_come_back_in_order(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.hibernate", json_true());
	static const int down[][3] = { { 1, 2, 0 }, { 1, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } };
	static const int up[][3] = { { 1, 0, 0 }, { 1, 2, 0 }, { 1, 2, 2 }, { 1, 2, 2 } };
	for (size_t i = 0; i < ARRAY_LEN(down); i++) {
		go(w);
		assert_replicas(w, down[i][0], down[i][1], down[i][2]);
		assert_string_equal(told(w, "Hibernated", "status"), "True");
		assert_string_equal(told(w, "Ready", "status"), "False");
	}
	assert_string_equal(told(w, "Hibernated", "reason"), "Hibernated");
	assert_string_equal(told(w, "Progressing", "status"), "False");
	assert_string_equal(told(w, "Degraded", "status"), "False");
	data_set(w, "cr.spec.hibernate", json_false());
	for (size_t i = 0; i < ARRAY_LEN(up); i++) {
		go(w);
		assert_replicas(w, up[i][0], up[i][1], up[i][2]);
	}
	go(w);
	assert_string_equal(told(w, "Hibernated", "status"), "");
	assert_string_equal(told(w, "Ready", "status"), "True");
}

/* Fewer replicas in the CR of a cluster that sleeps: those who hold the catalog and the data wake up all the same, and
 * leave by the book or not at all. */
static void who_fell_asleep_wakes_up(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.starRocksFeSpec.replicas", json_integer(3));
	go(w);
	assert_replicas(w, 3, 2, 2);
	data_set(w, "cr.spec.hibernate", json_true());
	for (int i = 0; i < 5; i++)
		go(w);
	assert_replicas(w, 0, 0, 0);
	assert_string_equal(told(w, "Hibernated", "reason"), "Hibernated");
	assert_int_equal(data_get_int(w, "cr.status.starRocksFeStatus.hibernatedReplicas", 0), 3);
	assert_int_equal(data_get_int(w, "cr.status.starRocksBeStatus.hibernatedReplicas", 0), 2);
	data_set(w, "cr.spec.starRocksFeSpec.replicas", json_integer(1));
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(0));
	go(w);
	assert_replicas(w, 0, 0, 0);
	data_set(w, "cr.spec.hibernate", json_false());
	for (int i = 0; i < 5; i++) {
		go(w);
		assert_replicas(w, 3, i < 1 ? 0 : 2, i < 2 ? 0 : 2);
	}
	assert_string_equal(told(w, "Hibernated", "status"), "");
	assert_string_equal(told(w, "Degraded", "reason"), "FeScaleInRefused");
	assert_null(data_get(w, "cr.status.starRocksFeStatus.hibernatedReplicas"));
	assert_null(data_get(w, "cr.status.starRocksBeStatus.hibernatedReplicas"));
}

static void nobody_stops_before_the_number_is_noted(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	json_object_del(data_get(w, "cr.spec"), "starRocksCnSpec");
	json_object_del(json_object_get(w, "objects"), "Deployment/c-cn");
	go(w);
	go(w);
	data_set(w, "cr.spec.hibernate", json_true());
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	assert_int_equal(replicas_of(w, "StatefulSet/c-be"), 2);
	assert_true(data_get_int(plan, "requeue_ms", 0) > 0);
	assert_int_equal(data_get_int(plan, "status.starRocksBeStatus.hibernatedReplicas", 0), 2);
	go(w);
	assert_int_equal(replicas_of(w, "StatefulSet/c-be"), 2);
	go(w);
	assert_int_equal(replicas_of(w, "StatefulSet/c-be"), 0);
}

static void the_proxy_sleeps_too(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.starRocksFeProxySpec", json_pack("{s:i}", "replicas", 2));
	go(w);
	assert_int_equal(replicas_of(w, "Deployment/c-fe-proxy"), 2);
	data_set(w, "cr.spec.hibernate", json_true());
	for (int i = 0; i < 5; i++)
		go(w);
	assert_int_equal(replicas_of(w, "Deployment/c-fe-proxy"), 0);
	assert_replicas(w, 0, 0, 0);
	json_array_append_new(json_object_get(w, "pods"), pod("fe-proxy", "c-fe-proxy-x"));
	_cleanup_json_ json_t *stays = plan_of(w);
	assert_string_equal(condition(stays, "Hibernated", "reason"), "Hibernating");
	json_array_clear(json_object_get(w, "pods"));
	_cleanup_json_ json_t *gone = plan_of(w);
	assert_string_equal(condition(gone, "Hibernated", "reason"), "Hibernated");
	data_set(w, "cr.spec.hibernate", json_false());
	go(w);
	assert_int_equal(replicas_of(w, "Deployment/c-fe-proxy"), 2);
}

static void a_node_that_hangs_holds_the_next_role(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.hibernate", json_true());
	_cleanup_json_ json_t *first = plan_of(w);
	accept_plan(w, first);
	/* The CN pods are still there. */
	_cleanup_json_ json_t *second = plan_of(w);
	accept_plan(w, second);
	assert_replicas(w, 1, 2, 0);
	assert_non_null(strstr(condition(second, "Progressing", "message"), "cn"));
}

/* ---- the window ---- */
static void windows(void **state)
{
	(void)state;
	/* Now is Friday, 2027-01-15 08:00 UTC. */
	static const struct {
		const char *window;
		int64_t opens_in_min; /* 0: it is open */
	} cases[] = {
		{ "{\"start\":\"08:00\",\"durationMinutes\":1}", 0 },
		{ "{\"start\":\"07:00\",\"durationMinutes\":60}", 23 * 60 },
		{ "{\"start\":\"07:00\",\"durationMinutes\":61}", 0 },
		{ "{\"start\":\"08:01\",\"durationMinutes\":5}", 1 },
		/* Over midnight, from yesterday. */
		{ "{\"days\":[\"Thu\"],\"start\":\"23:00\",\"durationMinutes\":600}", 0 },
		{ "{\"days\":[\"Fri\"],\"start\":\"23:00\",\"durationMinutes\":600}", 15 * 60 },
		{ "{\"days\":[\"Sat\",\"Sun\"],\"start\":\"02:00\",\"durationMinutes\":60}",
		  18 * 60 },
		{ "{\"days\":[\"Fri\"],\"start\":\"07:00\",\"durationMinutes\":10}",
		  7 * 1440 - 60 },
		{ "{\"days\":[\"Sat\"],\"start\":\"00:00\",\"durationMinutes\":10080}", 0 },
		/* 16:00 in Shanghai, 03:00 in New York. */
		{ "{\"start\":\"16:00\",\"durationMinutes\":5,\"timeZone\":\"+08:00\"}", 0 },
		{ "{\"start\":\"03:00\",\"durationMinutes\":5,\"timeZone\":\"-05:00\"}", 0 },
		{ "{\"start\":\"08:00\",\"durationMinutes\":5,\"timeZone\":\"+08:00\"}", 16 * 60 },
		/* What nobody can read holds nothing back. */
		{ "{\"start\":\"8\",\"durationMinutes\":5}", 0 },
		{ "{\"start\":\"09:00\"}", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *window = parse(cases[i].window);
		int64_t opens = 0;
		bool closed = reconcile_window_closed(window, NOW_MS, &opens);
		int64_t in = closed ? (opens - NOW_MS) / 60000 : 0;
		if (in != cases[i].opens_in_min)
			fail_msg("case %zu: opens in %lld minutes", i, (long long)in);
	}
}

static void a_restart_waits_for_the_window(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.maintenanceWindow",
	         parse("{\"start\":\"02:00\",\"durationMinutes\":60}"));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string("j"));
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(3));
	data_set(w, "cr.spec.starRocksCnSpec.replicas", json_integer(5));
	_cleanup_json_ json_t *plan = plan_of(w);
	/* Scaling goes on: of the held set by its replicas alone, of the other as usual. */
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 2);
	assert_string_equal(data_get_str(plan, "writes.0.verb"), "scale");
	assert_int_equal(data_get_int(plan, "writes.0.replicas", 0), 3);
	assert_string_equal(data_get_str(plan, "writes.1.verb"), "apply");
	assert_string_equal(condition(plan, "Progressing", "message"),
	                    "c-be: a change that restarts pods waits for the maintenance window "
	                    "at 2027-01-16T02:00:00Z");
	assert_int_equal(data_get_int(plan, "requeue_ms", 0), 18 * 3600 * 1000 + 1);
	/* It opens. */
	data_set(w, "now_ms", json_integer(NOW_MS + 18 * 3600 * 1000));
	_cleanup_json_ json_t *open = plan_of(w);
	assert_string_equal(data_get_str(open, "writes.0.object.spec.template.spec.containers.0."
	                                       "image"),
	                    "j");
	/* A set of which nothing runs is mended at once. */
	data_set(w, "now_ms", json_integer(NOW_MS));
	data_set(object_of(w, "StatefulSet/c-be"), "status.readyReplicas", json_integer(0));
	_cleanup_json_ json_t *broken = plan_of(w);
	assert_string_equal(data_get_str(broken, "writes.0.verb"), "apply");
}

/* Whose the fields are restarts nothing: it waits neither for the window nor for another role. */
static void upstreams_set_is_taken_over_while_its_change_waits(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.maintenanceWindow",
	         parse("{\"start\":\"02:00\",\"durationMinutes\":60}"));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string("j"));
	json_object_set_new(object_of(w, "StatefulSet/c-be"), "upstream", json_true());
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(write_like(plan, "adopt", "StatefulSet", "c-be"));
	assert_null(write_like(plan, "apply", "StatefulSet", "c-be"));
}

/* ---- fence ---- */
static void a_fenced_pod_is_kept_out_of_service(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	data_set(w, "cr.spec.fence", parse("[\"c-be-1\",\"c-cn-0\",\"nobody\"]"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 2);
	assert_string_equal(data_get_str(plan, "writes.0.verb"), "fence");
	assert_string_equal(data_get_str(plan, "writes.0.uid"), "c-be-1");
	assert_string_equal(data_get_str(plan, "writes.0.component"), "be.fenced");
	assert_string_equal(data_get_str(plan, "writes.0.owners.0.uid"), "u");
	assert_non_null(event(plan, "Fenced"));
	/* They are fenced: nothing more to write, the FE forgets the compute node although it lives. */
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(w, "pods"), i, p)
	{
		const char *name = data_get_str(p, "metadata.name");
		json_t *labels = data_get(p, "metadata.labels");
		if (strcmp(name, "c-be-1") == 0 || strcmp(name, "c-cn-0") == 0)
			json_object_set_new(
				labels, "app.kubernetes.io/component",
				json_string(name[2] == 'b' ? "be.fenced" : "cn.fenced"));
		if (strcmp(name, "c-cn-0") == 0)
			data_set(p, "status.podIP", json_string("10.9.9.9"));
	}
	json_object_set_new(w, "fe",
	                    json_pack("{s:b, s:I, s:[{s:s, s:i, s:b}]}", "ok", 1, "at_ms", NOW_MS,
	                              "nodes", "host", "10.9.9.9", "port", 9050, "alive", 1));
	_cleanup_json_ json_t *kept = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(kept, "writes")), 0);
	assert_string_equal(data_get_str(kept, "intents.0.do"), "drop_node");
	assert_string_equal(condition(kept, "Fenced", "message"),
	                    "out of service and kept: c-be-1, c-cn-0");
	assert_string_equal(condition(kept, "Ready", "status"), "False");
	/* And back: a StatefulSet's pod by its label, a Deployment's is replaced already. */
	json_array_clear(data_get(w, "cr.spec.fence"));
	_cleanup_json_ json_t *back = plan_of(w);
	assert_string_equal(data_get_str(back, "writes.0.component"), "be");
	assert_int_equal(json_array_size(data_get(back, "writes.0.owners")), 0);
	assert_string_equal(data_get_str(back, "writes.1.verb"), "delete");
	assert_string_equal(data_get_str(back, "writes.1.name"), "c-cn-0");
}

static void tls_that_is_not_trusted_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *tls, *fe, *reason;
	} cases[] = {
		{ "{\"secretName\":\"s\"}", "{\"ok\":true}", "AsExpected" },
		{ "{\"secretName\":\"s\"}",
		  "{\"ok\":false,\"tls_refused\":true,\"error\":\"expired\"}", "TlsRefused" },
		/* An answer from before the field was taken away. */
		{ NULL, "{\"ok\":false,\"tls_refused\":true,\"error\":\"expired\"}", "AsExpected" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled();
		if (cases[i].tls)
			data_set(w, "cr.spec.tls", parse(cases[i].tls));
		json_object_set_new(w, "fe", parse(cases[i].fe));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_string_equal(condition(plan, "Degraded", "reason"), cases[i].reason);
	}
}

static void the_sql_user_gets_its_secret_and_root_is_told_of(void **state)
{
	(void)state;
	static const struct {
		bool enabled;
		const char *user;
		bool secret, root;
	} cases[] = {
		{ true, NULL, false, false },         { true, "no_secret", true, false },
		{ true, "used", false, false },       { true, "refused", false, true },
		{ false, "no_secret", false, false }, { false, "refused", false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled();
		json_t *fe = json_pack("{s:b, s:I, s:s*, s:s}", "ok", 1, "at_ms",
		                       (json_int_t)(NOW_MS - 100), "sql_user", cases[i].user,
		                       "sql_user_error", "no such thing");
		data_set(w, "cr.spec.sqlUser",
		         json_pack("{s:b}", "enabled", (int)cases[i].enabled));
		json_object_set_new(w, "fe", fe);
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *secret = write_like(plan, "sql_secret", "Secret", "c-roost-sql");
		assert_int_equal(secret != NULL, cases[i].secret);
		assert_int_equal(event(plan, "SqlUserRefused") != NULL, cases[i].root);
		assert_string_equal(condition(plan, "RootSql", "status"),
		                    cases[i].root ? "True" : "");
		assert_string_equal(condition(plan, "Degraded", "status"), "False");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_paused_cluster_is_only_told_about),
		cmocka_unit_test(nodes_go_to_sleep_and_come_back_in_order),
		cmocka_unit_test(who_fell_asleep_wakes_up),
		cmocka_unit_test(the_proxy_sleeps_too),
		cmocka_unit_test(nobody_stops_before_the_number_is_noted),
		cmocka_unit_test(a_node_that_hangs_holds_the_next_role),
		cmocka_unit_test(windows),
		cmocka_unit_test(a_restart_waits_for_the_window),
		cmocka_unit_test(upstreams_set_is_taken_over_while_its_change_waits),
		cmocka_unit_test(a_fenced_pod_is_kept_out_of_service),
		cmocka_unit_test(tls_that_is_not_trusted_is_told),
		cmocka_unit_test(the_sql_user_gets_its_secret_and_root_is_told_of),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
