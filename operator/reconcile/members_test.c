/* Who may leave, and when. */
#include <errno.h>

#include "operator/reconcile/testworld.h"

static int64_t replicas_of(const json_t *w, const json_t *plan, const char *name)
{
	const json_t *x = write_of(plan, "apply", name);
	autofree char *key = xasprintf("StatefulSet/%s", name);
	return x ? data_get_int(x, "object.spec.replicas", -1)
	         : data_get_int(object_of(w, key), "spec.replicas", -1);
}

#define BE(n, alive, gone, tablets)                                                     \
	"{\"host\":\"c-be-" n ".c-be-search.n.svc\",\"port\":9050,\"alive\":" alive "," \
	"\"decommissioned\":" gone ",\"tablets\":" tablets "}"
#define WELL(n) BE(n, "true", "false", "5")

static void backends_leave_one_by_one(void **state)
{
	(void)state;
	static const struct {
		const char *rows, *more, *act; /* rows NULL: the FE does not answer */
		int want, replicas;
		const char *reason; /* Degraded; NULL: it is not */
	} cases[] = {
		{ NULL, "", NULL, 1, 3, NULL },
		/* replication_num has to be known first. */
		{ WELL("0") "," WELL("1") "," WELL("2"), "", NULL, 1, 3, NULL },
		{ WELL("0") "," WELL("1") "," WELL("2"), ",\"replication_error\":\"no such table\"",
		  NULL, 1, 3, "BeScaleInRefused" },
		{ WELL("0") "," WELL("1") "," WELL("2"), ",\"replication\":3", NULL, 1, 3,
		  "BeScaleInRefused" },
		{ WELL("0") "," WELL("1") "," WELL("2"), ",\"replication\":2", "decommission", 1, 3,
		  NULL },
		/* Dead backends and those on their way out hold no copies. */
		{ WELL("0") "," BE("1", "false", "false", "5") "," WELL("2"), ",\"replication\":2",
		  NULL, 1, 3, "BeScaleInRefused" },
		{ WELL("0") "," BE("2", "true", "true", "2"), "", NULL, 1, 3, NULL },
		{ WELL("0") "," BE("2", "true", "true", "0"), "", "drop_backend", 1, 3, NULL },
		/* Gone from the FE's list: one replica less, not two. */
		{ WELL("0") "," WELL("1"), "", NULL, 1, 2, NULL },
		/* An FE that lists nobody is not believed. */
		{ "", "", NULL, 1, 3, NULL },
		/* A backend under an address that no pod has may be the one. */
		{ WELL("0") ",{\"host\":\"10.9.9.9\",\"port\":9050,\"alive\":true,\"tablets\":5}",
		  "", NULL, 1, 3, NULL },
		/* The pod's own address is as good as its name. */
		{ WELL("0") ",{\"host\":\"10.0.1.2\",\"port\":9050,\"alive\":true,\"tablets\":5}",
		  ",\"replication\":1", "decommission", 1, 3, NULL },
		/* The last one alive stays. */
		{ BE("2", "true", "false", "5"), "", NULL, 1, 3, "BeScaleInRefused" },
		/* Scaled back up: the drain is called off. */
		{ WELL("0") "," BE("2", "true", "true", "2"), "", "cancel_decommission", 3, 3,
		  NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(3, 0);
		data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(cases[i].want));
		if (cases[i].rows) {
			autofree char *fe =
				xasprintf("{\"backends\":[%s]%s}", cases[i].rows, cases[i].more);
			set_fe(w, 100, fe);
		}
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		const char *reason = condition(plan, "Degraded", "reason");
		if (replicas_of(w, plan, "c-be") != cases[i].replicas ||
		    (cases[i].act ? !act || strcmp(act, cases[i].act) != 0 : act != NULL) ||
		    strcmp(reason, cases[i].reason ? cases[i].reason : "AsExpected") != 0)
			fail_msg("case %zu: %lld replicas, intent %s, %s", i,
			         (long long)replicas_of(w, plan, "c-be"), act ? act : "none",
			         reason);
		if (act)
			assert_int_equal(data_get_int(plan, "intents.0.generation", 0), 4);
	}
}

static void below_replication_only_as_allowed(void **state)
{
	(void)state;
	static const struct {
		const char *more, *act;
	} cases[] = {
		{ ",\"replication\":3", NULL },
		{ ",\"replication\":3,\"unhealthy\":2", NULL },
		{ ",\"replication\":3,\"unhealthy\":0", "drop_backend" },
		{ ",\"replication_error\":\"who knows\"", "decommission" },
		/* The operator's own user sees no table: the FE's refusal of DECOMMISSION decides. */
		{ ",\"replication_hidden\":true", "decommission" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(3, 0);
		autofree char *fe = xasprintf("{\"backends\":[%s]%s}",
		                              WELL("0") "," WELL("1") "," WELL("2"), cases[i].more);
		data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(2));
		data_set(w, "cr.spec.starRocksBeSpec.decommission",
		         parse("{\"allowBelowReplication\":true}"));
		set_fe(w, 100, fe);
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		if (cases[i].act ? !act || strcmp(act, cases[i].act) != 0 : act != NULL)
			fail_msg("case %zu: %s", i, act ? act : "none");
		assert_true(data_get_bool(plan, "want.replication", false));
	}
}

static void a_long_drain_is_told(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(2, 0);
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(1));
	data_set(w, "cr.spec.starRocksBeSpec.decommission", parse("{\"timeoutSeconds\":60}"));
	set_fe(w, 100, "{\"backends\":[" WELL("0") "," BE("1", "true", "true", "7") "]}");
	_cleanup_json_ json_t *first = plan_of(w);
	assert_int_equal(data_get_int(first, "status.starRocksBeStatus.decommission.since", 0),
	                 NOW);
	assert_string_equal(condition(first, "Degraded", "status"), "False");
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(first, "status"));
	data_set(w, "now_ms", json_integer(NOW_MS + 61000));
	data_set(w, "fe.at_ms", json_integer(NOW_MS + 60000));
	_cleanup_json_ json_t *then = plan_of(w);
	assert_string_equal(condition(then, "Degraded", "reason"), "DecommissionTimeout");
}

/* ---- FE ---- */
/* Three FEs, of which the CR wants `want`. */
static json_t *three_fes(int want)
{
	json_t *w = settled(1, 0);
	data_set(w, "cr.spec.starRocksFeSpec.replicas", json_integer(want));
	data_set(object_of(w, "StatefulSet/c-fe"), "spec.replicas", json_integer(3));
	add_pod(w, "fe", "c-fe-1", "10.0.0.2", true);
	add_pod(w, "fe", "c-fe-2", "10.0.0.3", true);
	return w;
}

#define FE(n, role, alive)                                                                        \
	"{\"host\":\"c-fe-" n ".c-fe-search.n.svc\",\"port\":9010,\"join\":true,\"alive\":" alive \
	",\"role\":\"" role "\"}"

static void followers_leave_with_a_majority(void **state)
{
	(void)state;
	static const struct {
		const char *rows, *act; /* act "restart": the pod is deleted */
		int want, replicas;
		const char *reason;
	} cases[] = {
		{ NULL, NULL, 2, 3, "AsExpected" },
		/* One step at a time, or a new majority of the old. */
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "FOLLOWER",
		                                                                   "true"),
		  NULL, 1, 3, "FeScaleInRefused" },
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "FOLLOWER",
		                                                                   "true"),
		  NULL, 0, 3, "FeScaleInRefused" },
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "FOLLOWER",
		                                                                   "true"),
		  "drop_follower", 2, 3, "AsExpected" },
		/* The FE confirms: only then a replica less. */
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true"), NULL, 2, 2,
		  "AsExpected" },
		/* Without the dead one's vote there is no majority. */
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "false") "," FE("2", "FOLLOWER",
		                                                                    "true"),
		  NULL, 2, 3, "FeScaleInRefused" },
		/* A dead one may go: the others are a majority of themselves. */
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "FOLLOWER",
		                                                                   "false"),
		  "drop_follower", 2, 3, "AsExpected" },
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "LEADER",
		                                                                     "true"),
		  "restart", 2, 3, "AsExpected" },
		{ FE("0", "FOLLOWER", "true") "," FE("2", "LEADER", "true"), NULL, 2, 3,
		  "FeScaleInRefused" },
		/* Nobody leads: an election is under way. */
		{ FE("0", "FOLLOWER", "true") "," FE("1", "FOLLOWER", "true"), NULL, 2, 3,
		  "AsExpected" },
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "OBSERVER",
		                                                                   "true"),
		  "drop_observer", 2, 3, "AsExpected" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = three_fes(cases[i].want);
		if (cases[i].rows) {
			autofree char *fe = xasprintf("{\"frontends\":[%s]}", cases[i].rows);
			set_fe(w, 100, fe);
		}
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		if (write_of(plan, "delete", "c-fe-2"))
			act = "restart";
		const char *reason = condition(plan, "Degraded", "reason");
		if (replicas_of(w, plan, "c-fe") != cases[i].replicas ||
		    (cases[i].act ? !act || strcmp(act, cases[i].act) != 0 : act != NULL) ||
		    strcmp(reason, cases[i].reason) != 0)
			fail_msg("case %zu: %lld replicas, %s, %s: %s", i,
			         (long long)replicas_of(w, plan, "c-fe"), act ? act : "nothing",
			         reason, condition(plan, "Degraded", "message"));
	}
}

static void an_fe_that_left_its_row_behind_is_dropped(void **state)
{
	(void)state;
	static const struct {
		const char *rows;
		bool pod, drop;
	} cases[] = {
		{ FE("0", "LEADER", "true") "," FE("3", "FOLLOWER", "false"), false, true },
		/* It lives, or has a pod, or will have one again, or leads. */
		{ FE("0", "LEADER", "true") "," FE("3", "FOLLOWER", "true"), false, false },
		{ FE("0", "LEADER", "true") "," FE("3", "FOLLOWER", "false"), true, false },
		{ FE("0", "LEADER", "true") "," FE("2", "FOLLOWER", "false"), false, false },
		{ FE("0", "FOLLOWER", "true") "," FE("3", "LEADER", "false"), false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = three_fes(3);
		autofree char *fe = xasprintf("{\"frontends\":[%s]}", cases[i].rows);
		set_fe(w, 100, fe);
		if (cases[i].pod)
			add_pod(w, "fe", "c-fe-3", "10.0.0.9", false);
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		if ((act && strcmp(act, "drop_follower") == 0) != cases[i].drop)
			fail_msg("case %zu", i);
	}
}

/* A list from before a node joined says nothing of it. */
static void who_is_not_listed_may_have_joined_since(void **state)
{
	(void)state;
	static const struct {
		int age_s; /* of the pod; the answer is one second old */
		int fe, be;
	} cases[] = { { 1, 3, 2 }, { 60, 2, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = three_fes(2), *b = settled(2, 0);
		char at[CLOCK_RFC3339_MAX];
		clock_rfc3339(NOW_MS - cases[i].age_s * 1000, at);
		set_fe(w, 1000,
		       "{\"frontends\":[" FE("0", "LEADER", "true") "," FE("1", "FOLLOWER",
		                                                           "true") "]}");
		data_set(pod_of(w, "c-fe-2"), "metadata.creationTimestamp", json_string(at));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(replicas_of(w, plan, "c-fe"), cases[i].fe);
		data_set(b, "cr.spec.starRocksBeSpec.replicas", json_integer(1));
		set_fe(b, 1000, "{\"backends\":[" WELL("0") "],\"replication\":1}");
		data_set(pod_of(b, "c-be-1"), "status.conditions.0.lastTransitionTime",
		         json_string(at));
		_cleanup_json_ json_t *backends = plan_of(b);
		assert_int_equal(replicas_of(b, backends, "c-be"), cases[i].be);
	}
}

/* What a dropped FE held must not come back under its name; nobody else's claim is touched. */
static void a_dropped_fe_takes_its_claims_along(void **state)
{
	(void)state;
	static const struct {
		const char *rows, *keep;
		bool forget;
	} cases[] = {
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true") "," FE("2", "FOLLOWER",
		                                                                   "true"),
		  NULL, false },
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true"), NULL, true },
		{ FE("0", "LEADER", "true") "," FE("1", "FOLLOWER", "true"), "true", false },
		/* The list lacks one that stays as well: it is not believed that far. */
		{ FE("0", "LEADER", "true"), NULL, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = three_fes(2);
		autofree char *fe = xasprintf("{\"frontends\":[%s]}", cases[i].rows);
		set_fe(w, 100, fe);
		data_set(object_of(w, "StatefulSet/c-fe"), "spec.volumeClaimTemplates",
		         parse("[{\"metadata\":{\"name\":\"fe-meta\"}}]"));
		if (cases[i].keep)
			data_set(w, "cr.metadata.annotations.roost\\.io/keep-claims",
			         json_string(cases[i].keep));
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *first = json_array_get(json_object_get(plan, "writes"), 0);
		bool forgets = write_of(plan, "forget", "fe-meta-c-fe-2");
		if (forgets != cases[i].forget)
			fail_msg("case %zu", i);
		/* Before the pod goes: what comes between finds the claim still there. */
		if (forgets)
			assert_string_equal(data_get_str(first, "verb"), "forget");
		assert_null(write_of(plan, "forget", "fe-meta-c-fe-1"));
	}
}

/* ---- whose number it is ---- */
static void an_autoscaled_number_is_put_back(void **state)
{
	(void)state;
	static const struct {
		const char *by;
		int last, now, want; /* last -1: none known */
		bool scaling, back;
	} cases[] = {
		{ NULL, -1, 2, 2, true, false },  /* the first apply */
		{ "kcm", -1, 5, 5, true, false }, /* the autoscaler's own */
		{ "kcm", 3, 5, 5, true, false },
		{ "", 5, 0, 0, true, false },  /* to 0, which the server lets nobody sign */
		{ "", 0, 3, 3, true, false },  /* and up again */
		{ "", -1, 3, 3, true, false }, /* of a CR that never said a number */
		{ NULL, 5, 2, 5, true, true }, /* a manifest applied again */
		{ NULL, 5, 5, 5, true, false },
		{ NULL, 50, 2, 8, true, true },  /* the limits were lowered meanwhile */
		{ NULL, 5, 2, 2, false, false }, /* nobody scales any more */
		{ "", 5, 2, 2, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(1, 2);
		json_t *cr = json_object_get(w, "cr");
		data_set(cr, "spec.starRocksCnSpec.replicas", json_integer(cases[i].now));
		if (cases[i].scaling)
			data_set(cr, "spec.starRocksCnSpec.roostAutoscaling",
			         parse("{\"enabled\":true,\"minReplicas\":1,\"maxReplicas\":8}"));
		if (cases[i].by)
			data_set(cr, "metadata.roostScaledBy", json_string(cases[i].by));
		if (cases[i].last >= 0)
			data_set(cr, "status.starRocksCnStatus.lastScale",
			         json_integer(cases[i].last));
		set_fe(w, 100, "{\"nodes\":[]}");
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *x = write_of(plan, "scale", "c");
		const json_t *set = write_of(plan, "apply", "c-cn");
		int64_t shall = set ? data_get_int(set, "object.spec.replicas", -1) : 2;
		if ((x != NULL) != cases[i].back || shall != cases[i].want)
			fail_msg("case %zu: %s, %lld", i, x ? "put back" : "left",
			         (long long)shall);
		if (x)
			assert_int_equal(data_get_int(x, "replicas", 0), cases[i].want);
		assert_true((event(plan, "ReplicasPutBack") != NULL) == cases[i].back);
		/* What is not done while it is paused is not told. */
		data_set(cr, "metadata.annotations.roost\\.io/paused", json_string("true"));
		_cleanup_json_ json_t *paused = plan_of(w);
		assert_null(event(paused, "ReplicasPutBack"));
		bool kept = cases[i].scaling && (cases[i].by || cases[i].last >= 0);
		assert_int_equal(data_get_int(plan, "status.starRocksCnStatus.lastScale", -1),
		                 kept ? cases[i].want : -1);
	}
}

static void a_pod_that_is_over_claims_no_node(void **state)
{
	(void)state;
	static const struct {
		const char *path, *value;
		bool drop;
	} cases[] = {
		{ "status.phase", "Running", false },
		{ "status.phase", "Failed", true },
		{ "metadata.deletionTimestamp", "2020-01-01T00:00:00Z", true },
		{ "metadata.deletionTimestamp", "2099-01-01T00:00:00Z", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(1, 1);
		data_set(pod_of(w, "c-cn-x0"), cases[i].path, json_string(cases[i].value));
		set_fe(w, 100,
		       "{\"nodes\":[{\"host\":\"10.0.2.0\",\"port\":9050,\"alive\":false}]}");
		_cleanup_json_ json_t *plan = plan_of(w);
		if ((data_get_str(plan, "intents.0.do") != NULL) != cases[i].drop)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backends_leave_one_by_one),
		cmocka_unit_test(below_replication_only_as_allowed),
		cmocka_unit_test(a_long_drain_is_told),
		cmocka_unit_test(followers_leave_with_a_majority),
		cmocka_unit_test(an_fe_that_left_its_row_behind_is_dropped),
		cmocka_unit_test(who_is_not_listed_may_have_joined_since),
		cmocka_unit_test(a_dropped_fe_takes_its_claims_along),
		cmocka_unit_test(an_autoscaled_number_is_put_back),
		cmocka_unit_test(a_pod_that_is_over_claims_no_node),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
