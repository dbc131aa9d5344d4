/* Which compute nodes leave, and that the FE is told before. */
#include "operator/reconcile/testworld.h"

#define NODE(ip, running, cached, draining)                                               \
	"{\"address\":\"10.0.2." ip "\",\"running\":" running ",\"cached_bytes\":" cached \
	",\"slots\":2,\"draining\":" draining ",\"role\":\"cn\"}"
#define MIB "048576" /* after a digit: that many MiB, nearly */

/* Three compute nodes of Roost's own engine, of which `want` are to stay. */
static json_t *leaving(int want, const char *nodes)
{
	json_t *w = settled(1, 3);
	autofree char *fe = xasprintf("{\"nodes\":[],\"load\":{\"nodes\":[%s]}}", nodes);
	data_set(w, "cr.metadata.annotations", parse("{\"roost.io/engine\":\"true\"}"));
	data_set(w, "cr.spec.starRocksCnSpec.replicas", json_integer(want));
	set_fe(w, 100, fe);
	return w;
}

static int64_t shall(const json_t *plan)
{
	return data_get_int(write_of(plan, "apply", "c-cn"), "object.spec.replicas", 3);
}

/* "drain 60: 10.0.2.1 10.0.2.2", for each intent of that kind. */
static char *marks(const json_t *plan)
{
	struct buf out = BUF_INIT(1000);
	size_t i, j;
	const json_t *x, *n;
	json_array_foreach(json_object_get(plan, "intents"), i, x)
	{
		if (strcmp(data_get_str(x, "do"), "drain") != 0)
			continue;
		assert_string_equal(data_get_str(x, "fes.0"), "10.0.0.1");
		(void)buf_addf(&out, "%s%lld:", out.len ? "; " : "",
		               (long long)data_get_int(x, "seconds", -1));
		json_array_foreach(json_object_get(x, "nodes"), j, n)(void)
			buf_addf(&out, " %s", json_string_value(n) + strlen("10.0.2."));
	}
	return buf_take(&out);
}

static void since(json_t *w, int64_t ago_s, const char *pods)
{
	autofree char *text =
		xasprintf("{\"since\":%lld,\"pods\":[%s]}", (long long)(NOW - ago_s), pods);
	data_set(w, "cr.status.starRocksCnStatus.drain", parse(text));
}

static void work_first_then_the_cache(void **state)
{
	(void)state;
	static const struct {
		const char *nodes, *marks;
		int want;
	} cases[] = {
		{ NODE("0", "0", "9" MIB, "false") "," NODE("1", "0", "1" MIB, "false") "," NODE(
			  "2", "0", "5" MIB, "false"),
		  "60: 1", 2 },
		{ NODE("0", "0", "9" MIB, "false") "," NODE("1", "2", "0", "false") "," NODE(
			  "2", "1", "5" MIB, "false"),
		  "60: 0 2", 1 },
		/* A full cache never weighs as much as one query. */
		{ NODE("0", "0", "900000000000000000",
		       "false") "," NODE("1", "1", "0", "false") "," NODE("2", "1", "0", "false"),
		  "60: 0", 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = leaving(cases[i].want, cases[i].nodes);
		_cleanup_json_ json_t *plan = plan_of(w);
		autofree char *said = marks(plan);
		if (strcmp(said, cases[i].marks) != 0)
			fail_msg("case %zu: %s", i, said);
		/* Told first: nobody leaves yet, and no cost is written. */
		assert_int_equal(shall(plan), 3);
		assert_null(write_like(plan, "cost", "Pod", NULL));
		assert_int_equal(data_get_int(plan, "status.starRocksCnStatus.drain.since", 0),
		                 NOW);
	}
}

static void they_leave_when_nothing_runs_there(void **state)
{
	(void)state;
	static const struct {
		const char *nodes;
		int ago_s, want, shall;
	} cases[] = {
		/* Not marked yet; marked a moment ago; still at work. */
		{ NODE("0", "0", "0", "false"), 9, 2, 3 },
		{ NODE("0", "0", "0", "true"), 1, 2, 3 },
		{ NODE("0", "3", "0", "true"), 9, 2, 3 },
		{ NODE("0", "0", "0", "true"), 9, 2, 2 },
		/* One of two is done: it goes, the other is waited for. */
		{ NODE("0", "0", "0", "true") "," NODE("1", "1", "0",
		                                       "true") "," NODE("2", "9", "0", "false"),
		  9, 1, 2 },
		/* Long enough: the pod's own grace period is next. */
		{ NODE("0", "3", "0", "true"), 110, 2, 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *nodes =
			xasprintf("%s%s", cases[i].nodes,
		                  strstr(cases[i].nodes, "2.1\"")
		                          ? ""
		                          : "," NODE("1", "9", "0", "false") "," NODE("2", "9", "0",
		                                                                      "false"));
		_cleanup_json_ json_t *w = leaving(cases[i].want, nodes);
		since(w, cases[i].ago_s, "\"c-cn-x0\"");
		_cleanup_json_ json_t *plan = plan_of(w);
		if (shall(plan) != cases[i].shall)
			fail_msg("case %zu: %lld", i, (long long)shall(plan));
		if (cases[i].shall < 3) /* the ReplicaSet is told whom to take */
			assert_true(strtoll(data_get_str(write_of(plan, "cost", "c-cn-x0"), "cost"),
			                    NULL, 10) < 0);
		assert_int_equal(data_get(plan, "status.starRocksCnStatus.drain") != NULL,
		                 cases[i].shall > cases[i].want);
	}
}

static void drain_seconds_is_the_limit(void **state)
{
	(void)state;
	for (int limit = 0; limit <= 600; limit += 300) {
		_cleanup_json_ json_t *w = leaving(
			2, NODE("0", "1", "0", "true") "," NODE("1", "2", "0", "false") "," NODE(
				   "2", "2", "0", "false"));
		data_set(w, "cr.spec.starRocksCnSpec.drainSeconds", json_integer(limit));
		since(w, 300, "\"c-cn-x0\"");
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(shall(plan), limit <= 300 ? 2 : 3);
	}
}

/* Who was chosen stays chosen, so that no second one cools down for nothing; but one that runs less may go sooner. */
static void the_choice_holds(void **state)
{
	(void)state;
	static const struct {
		const char *nodes, *marks;
	} cases[] = {
		{ NODE("0", "1", "9" MIB,
		       "true") "," NODE("1", "1", "0", "false") "," NODE("2", "1", "0", "false"),
		  "60: 0" },
		{ NODE("0", "2", "0", "true") "," NODE("1", "1", "9" MIB,
		                                       "false") "," NODE("2", "3", "0", "false"),
		  "0: 0; 60: 1" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = leaving(2, cases[i].nodes);
		since(w, 9, "\"c-cn-x0\"");
		_cleanup_json_ json_t *plan = plan_of(w);
		autofree char *said = marks(plan);
		if (strcmp(said, cases[i].marks) != 0)
			fail_msg("case %zu: %s", i, said);
		assert_int_equal(shall(plan), 3);
	}
}

static void marks_are_taken_back(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w =
		leaving(3, NODE("0", "2", "0", "true") "," NODE("1", "0", "0", "false") "," NODE(
				   "2", "0", "0", "false"));
	since(w, 9, "\"c-cn-x0\"");
	_cleanup_json_ json_t *plan = plan_of(w);
	autofree char *said = marks(plan);
	assert_string_equal(said, "0: 0");
	/* Until the FE says so: the next step must not forget it. */
	assert_string_equal(data_get_str(plan, "status.starRocksCnStatus.drain.pods.0"), "c-cn-x0");
	data_set(w, "fe.load.nodes.0.draining", json_false());
	_cleanup_json_ json_t *done = plan_of(w);
	autofree char *nothing = marks(done);
	assert_string_equal(nothing, "");
	assert_null(data_get(done, "status.starRocksCnStatus.drain"));
	data_set(w, "fe.at_ms", json_integer(NOW_MS - 9000)); /* an old answer says nothing of it */
	_cleanup_json_ json_t *old = plan_of(w);
	assert_non_null(data_get(old, "status.starRocksCnStatus.drain"));
	/* Two less were wanted, now one: the dearer one serves again. */
	_cleanup_json_ json_t *v =
		leaving(2, NODE("0", "2", "0", "true") "," NODE("1", "1", "0", "false") "," NODE(
				   "2", "0", "0", "true"));
	since(v, 9, "\"c-cn-x0\",\"c-cn-x2\"");
	_cleanup_json_ json_t *less = plan_of(v);
	autofree char *then = marks(less);
	assert_string_equal(then, "0: 0; 60: 2");
	/* A mark that was on its way when its node was no choice any more: nobody remembers it but the FE. */
	_cleanup_json_ json_t *x =
		leaving(2, NODE("0", "2", "0", "true") "," NODE("1", "1", "0", "false") "," NODE(
				   "2", "0", "0", "true"));
	since(x, 9, "\"c-cn-x2\"");
	_cleanup_json_ json_t *late = plan_of(x);
	autofree char *forgotten = marks(late);
	assert_string_equal(forgotten, "0: 0; 60: 2");
	/* Fewer are asked for already, and the ReplicaSet is slow: its victim gets no work meanwhile. */
	_cleanup_json_ json_t *u = leaving(2, NODE("0", "0", "0", "true"));
	data_set(object_of(u, "Deployment/c-cn"), "spec.replicas", json_integer(2));
	since(u, 9, "\"c-cn-x0\"");
	_cleanup_json_ json_t *slow = plan_of(u);
	autofree char *none = marks(slow);
	assert_string_equal(none, "");
	assert_int_equal(data_get_int(slow, "status.starRocksCnStatus.drain.since", 0), NOW - 9);
}

/* An FE of StarRocks' own takes no marks: costs alone say who goes. */
static void starrocks_goes_by_cost(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 3);
	data_set(w, "cr.spec.starRocksCnSpec.replicas", json_integer(2));
	set_fe(w, 100,
	       "{\"nodes\":[{\"host\":\"10.0.2.0\",\"alive\":true,\"running\":0,"
	       "\"cached_bytes\":5000000},{\"host\":\"10.0.2.1\",\"alive\":true,\"running\":0,"
	       "\"cached_bytes\":3000000},{\"host\":\"10.0.2.2\",\"alive\":true,\"running\":1,"
	       "\"cached_bytes\":0}]}");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(shall(plan), 2);
	assert_int_equal(json_array_size(json_object_get(plan, "intents")), 0);
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x0"), "cost"), "4");
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x1"), "cost"), "-999999998");
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x2"), "cost"), "1000000");
}

/* As a ReplicaSet does: what does not serve goes before what does. */
static void what_does_not_serve_goes_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w =
		leaving(2, NODE("0", "0", "0", "false") "," NODE("1", "0", "0", "false"));
	data_set(pod_of(w, "c-cn-x2"), "status.conditions.0.status", json_string("False"));
	_cleanup_json_ json_t *plan = plan_of(w);
	/* The FE does not know it: nothing to wait for. */
	assert_int_equal(shall(plan), 2);
	assert_true(strtoll(data_get_str(write_of(plan, "cost", "c-cn-x2"), "cost"), NULL, 10) < 0);
}

/* The answer is older than the node: what runs there is not known yet. */
static void what_joined_since_is_asked_for(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = leaving(2, "");
	since(w, 9, "\"c-cn-x0\"");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(shall(plan), 3);
	assert_true(data_get_int(plan, "requeue_ms", 0) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_first_then_the_cache),
		cmocka_unit_test(they_leave_when_nothing_runs_there),
		cmocka_unit_test(drain_seconds_is_the_limit),
		cmocka_unit_test(the_choice_holds),
		cmocka_unit_test(marks_are_taken_back),
		cmocka_unit_test(starrocks_goes_by_cost),
		cmocka_unit_test(what_does_not_serve_goes_first),
		cmocka_unit_test(what_joined_since_is_asked_for),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
