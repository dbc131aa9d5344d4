#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "scaler/source/config.h"
#include "scaler/source/snapshot.h"

#define NODE(slots, running, draining)                                         \
	"{\"id\":1,\"address\":\"a\",\"slots\":" slots ",\"running\":" running \
	",\"draining\":" draining "}"
#define DOC(fields, nodes)                                                                      \
	"{\"v\":1,\"ts\":1760000000123,\"epoch\":5," fields ",\"nodes\":[" nodes "],\"service_" \
	"time_s\":{\"p50\":0.5,\"p95\":2}}"
#define FIELDS "\"pending\":7,\"oldest_wait_s\":3.2,\"required_slots\":12,\"running\":3"

static void a_document_is_read(void **state)
{
	(void)state;
	struct source_snapshot s;
	struct err err = ERR_INIT;
	int rc = source_parse(
		str_of(DOC(FIELDS, NODE("4", "4", "false") "," NODE("8", "0", "false") "," NODE(
					   "2", "1", "true") ",{\"role\":\"be\"}")),
		&s, &err);
	if (rc < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s.pending, 7);
	assert_int_equal(s.slots_asked, 12);
	assert_int_equal(s.running, 3);
	assert_int_equal(s.epoch, 5);
	assert_int_equal(s.nodes, 2);
	assert_int_equal(s.draining, 1);
	assert_int_equal(s.idle_nodes, 1);
	assert_int_equal(s.tasks, 5);
	assert_int_equal(s.slots, 12);
	assert_int_equal(s.slots_of_a_node, 8);
	assert_true(s.oldest_wait_s > 3.1 && s.service_p50_s > 0.4 && s.service_p95_s > 1.9);
}

static void a_bad_document_is_refused_whole(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "load" },
		{ "<html>", "load" },
		{ "{\"v\":1,\"ts\":1,\"epoch\":1,\"pending\":7,\"oldest", "load" },
		{ "[]", "v must be 1" },
		{ "{\"v\":2}", "v must be 1" },
		{ "{\"v\":1,\"ts\":1,\"epoch\":\"x\"}", "epoch" },
		{ DOC("\"pending\":-1,\"oldest_wait_s\":0,\"required_slots\":1,\"running\":0", ""),
		  "pending" },
		{ DOC("\"pending\":NaN,\"oldest_wait_s\":0,\"required_slots\":1,\"running\":0", ""),
		  "load" },
		{ DOC("\"pending\":1e308,\"oldest_wait_s\":0,\"required_slots\":1,\"running\":0",
		      ""),
		  "pending" },
		{ DOC("\"pending\":0,\"oldest_wait_s\":1e308,\"required_slots\":1,\"running\":0",
		      ""),
		  "oldest_wait_s" },
		{ DOC("\"pending\":0,\"oldest_wait_s\":-0.5,\"required_slots\":1,\"running\":0",
		      ""),
		  "oldest_wait_s" },
		{ DOC("\"pending\":0,\"oldest_wait_s\":1,\"required_slots\":9999999999,\"running\":"
		      "0",
		      ""),
		  "required_slots" },
		{ DOC("\"pending\":0,\"oldest_wait_s\":1,\"running\":0", ""), "required_slots" },
		{ DOC(FIELDS, "7"), "slots" },
		{ DOC(FIELDS, NODE("-1", "0", "false")), "slots" },
		{ DOC(FIELDS, NODE("1", "null", "false")), "running" },
		{ DOC(FIELDS, NODE("1", "0", "0")), "draining" },
		{ "{\"v\":1,\"ts\":1,\"epoch\":1," FIELDS
		  ",\"service_time_s\":{\"p50\":1,\"p95\":1}}",
		  "nodes" },
		{ "{\"v\":1,\"ts\":1,\"epoch\":1," FIELDS ",\"nodes\":[]}", "p50" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source_snapshot s = { .pending = 77 };
		struct err err = ERR_INIT;
		assert_int_equal(source_parse(str_of(cases[i].text), &s, &err), -EINVAL);
		assert_int_equal(s.pending, 77);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
	}
}

static void a_config_is_read(void **state)
{
	(void)state;
	_cleanup_(source_config_free) struct source_config c = { 0 };
	struct err err = ERR_INIT;
	int rc = source_config_parse(
		STR_LIT("clusters:\n"
	                "- {namespace: a, name: c1, fe: 'fe1:8030', minReplicas: 1, maxReplicas: "
	                "5,\n"
	                "   slotsPerNode: 4, waitTarget: 1500ms, scaleInWindow: 2m}\n"
	                "- {namespace: a, name: c2, pool: p, fe: '[fd00::1]:80', tokenFile: /own,\n"
	                "   waitTarget: 2, queryPort: 9030}\n"
	                "- {namespace: a, name: c3, fe: '[fd00::1]:80', passwordFile: /p, "
	                "sqlCaFile: /ca, sqlServerName: fe.x}\n"
	                "- {namespace: a, name: c4, fe: 'h:80', userFile: /u, sqlCaFile: /ca}\n"
	                "- {namespace: a, name: c5, fe: 'h:80', userFile: /u}\n"
	                "tokenFile: /t\nmaxAge: 3s\n"),
		&c, &err);
	if (rc < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.n, 5);
	assert_string_equal(c.targets[2].login.host, "fd00::1");
	assert_string_equal(c.targets[2].login.tls_name, "fe.x");
	assert_string_equal(c.targets[2].login.ca_file, "/ca");
	assert_string_equal(c.targets[3].login.tls_name, "h");
	assert_null(c.targets[4].login.tls_name);
	assert_string_equal(c.token_file, "/t");
	assert_int_equal(c.max_age_ms, 3000);
	assert_string_equal(c.targets[0].pool, "cn");
	assert_string_equal(c.targets[0].token_file, "/t");
	assert_int_equal(c.targets[0].limits.min, 1);
	assert_int_equal(c.targets[0].limits.max, 5);
	assert_int_equal(c.targets[0].limits.slots_per_node, 4);
	assert_true(c.targets[0].limits.wait_target_s > 1.49 &&
	            c.targets[0].limits.wait_target_s < 1.51);
	assert_int_equal(c.targets[0].limits.scale_in_window_ms, 120000);
	assert_string_equal(c.targets[1].url, "http://[fd00::1]:80/api/roost/load");
	assert_string_equal(c.targets[1].token_file, "/own");
	assert_int_equal(c.targets[1].limits.scale_in_window_ms, SOURCE_WINDOW_S * 1000);
}

static void a_bad_config_names_the_field(void **state)
{
	(void)state;
#define ONE(fields) "clusters: [{namespace: a, name: b, fe: 'h:1'" fields "}]"
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "documents" },
		{ "[]", "clusters" },
		{ "cluster: []", "unknown field \"cluster\"" },
		{ "clusters: {}", "clusters must be a list" },
		{ "clusters: [a]", "clusters[0]: must be an object" },
		{ "clusters: [{name: b, fe: 'h:1'}]", "clusters[0]: namespace" },
		{ "clusters: [{namespace: a/b, name: b, fe: 'h:1'}]", "namespace" },
		{ "clusters: [{namespace: .., name: b, fe: 'h:1'}]", "namespace" },
		{ "clusters: [{namespace: a, name: b}]", "fe must be" },
		{ "clusters: [{namespace: a, name: b, fe: h}]", "fe must be" },
		{ "clusters: [{namespace: a, name: b, fe: 'http://h:1'}]", "fe must be" },
		{ "clusters: [{namespace: a, name: b, fe: 'h:70000'}]", "fe must be" },
		{ "clusters: [{namespace: a, name: b, fe: '::1:80'}]", "fe must be" },
		{ ONE(", replicas: 3"), "unknown field \"replicas\"" },
		{ ONE(", maxReplicas: 0"), "maxReplicas" },
		{ ONE(", maxReplicas: '3'"), "maxReplicas" },
		{ ONE(", minReplicas: 4, maxReplicas: 3"), "above maxReplicas" },
		{ ONE(", sqlCaFile: /ca"), "sqlCaFile" },
		{ ONE(", sqlServerName: x, passwordFile: /p"), "sqlServerName goes with" },
		{ ONE(", sqlCaFile: '', passwordFile: /p"), "sqlCaFile" },
		{ ONE(", sqlCaFile: /ca, sqlServerName: 'a b', passwordFile: /p"),
		  "sqlServerName" },
		{ ONE(", slotsPerNode: 0"), "slotsPerNode" },
		{ ONE(", waitTarget: soon"), "waitTarget" },
		{ ONE(", waitTarget: -1"), "waitTarget" },
		{ ONE(", waitTarget: 5h"), "waitTarget" },
		{ ONE(", scaleInWindow: 99999999"), "scaleInWindow" },
		{ "clusters: []\nmaxAge: 10ms", "maxAge" },
		{ "clusters: []\ntokenFile: 3", "tokenFile" },
		{ "clusters: [{namespace: a, name: b, fe: 'h:1'}, {namespace: a, name: b, fe: "
		  "'h:2'}]",
		  "clusters[1]: the pool a/b/cn is there twice" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source_config c = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(source_config_parse(str_of(cases[i].text), &c, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
	}
}

static void a_cluster_becomes_a_target(void **state)
{
	(void)state;
#define CR(meta, cn)                                                           \
	"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"q\",\"annotations\":{" \
	"\"roost.io/engine\":\"true\"}" meta "},\"spec\":{\"starRocksCnSpec\":" cn "}}"
	static const struct {
		const char *cr;
		int rc;
	} cases[] = {
		{ CR("",
		     "{\"replicas\":2,\"roostAutoscaling\":{\"minReplicas\":1,\"maxReplicas\":3,"
		     "\"slotsPerNode\":2,\"waitTargetSeconds\":2,\"scaleInWindowSeconds\":15}}"),
		  0 },
		{ CR("", "{\"autoScalingPolicy\":{\"minReplicas\":1,\"maxReplicas\":3}}"), 0 },
		{ CR("", "{}"), SOURCE_NO_POOL },
		{ CR("", "null"), SOURCE_NO_POOL },
		{ CR("", "{\"roostAutoscaling\":{\"maxReplicas\":3,\"enabled\":false}}"),
		  SOURCE_NO_POOL },
		{ CR(",\"deletionTimestamp\":\"x\"", "{\"roostAutoscaling\":{\"maxReplicas\":3}}"),
		  SOURCE_NO_POOL },
		{ CR("", "{\"roostAutoscaling\":{\"maxReplicas\":\"3\"}}"), -EINVAL },
		{ CR("", "{\"roostAutoscaling\":{\"maxReplicas\":2,\"minReplicas\":3}}"), -EINVAL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *cr = NULL;
		struct source_target t = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(data_json_parse(str_of(cases[i].cr), &cr, NULL), 0);
		assert_int_equal(source_target_of_cr(cr, SOURCE_CN, NULL, &t, &err), cases[i].rc);
		if (i == 0) {
			assert_string_equal(t.url,
			                    "http://q-fe-service.ns.svc:8030/api/roost/load");
			assert_true(t.token_later);
			assert_int_equal(t.limits.replicas, 2);
			assert_int_equal(t.limits.max, 3);
			assert_int_equal(t.limits.scale_in_window_ms, 15000);
			assert_true(t.limits.wait_target_s > 1.9 && t.limits.wait_target_s < 2.1);
		}
		source_target_free(&t);
	}
}

/* StarRocks' own FE: where root's password comes from. */
static void a_password_is_found_by_name(void **state)
{
	(void)state;
#define SR(spec)                                                              \
	"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"q\"},\"spec\":{" spec \
	"\"starRocksBeSpec\":{\"replicas\":3,\"roostAutoscaling\":{\"maxReplicas\":9}}}}"
#define ENV(entry) \
	"\"starRocksFeSpec\":{\"feEnvVars\":[{\"name\":\"A\",\"value\":\"b\"}," entry "]},"
#define FROM(name, key)                                                             \
	"{\"name\":\"MYSQL_PWD\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"" name \
	"\",\"key\":\"" key "\"}}}"
	static const struct {
		const char *cr, *secret, *key, *password;
	} cases[] = {
		{ SR(""), NULL, NULL, NULL },
		{ SR("\"rootPasswordSecret\":{\"name\":\"s\"},"), "s", "password", NULL },
		{ SR("\"rootPasswordSecret\":{\"name\":\"s\",\"key\":\"k\"},"), "s", "k", NULL },
		{ SR(ENV(FROM("t", "pw"))), "t", "pw", NULL },
		{ SR("\"rootPasswordSecret\":{\"name\":\"s\"}," ENV(FROM("t", "pw"))), "s",
		  "password", NULL },
		{ SR(ENV("{\"name\":\"MYSQL_PWD\",\"value\":\"plain\"}")), NULL, NULL, "plain" },
		/* No name that would lead elsewhere in the API. */
		{ SR("\"rootPasswordSecret\":{\"name\":\"../x\"},"), NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *cr = NULL;
		struct source_target t = { 0 }, none = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(data_json_parse(str_of(cases[i].cr), &cr, &err), 0);
		assert_int_equal(source_target_of_cr(cr, SOURCE_CN, NULL, &none, &err),
		                 SOURCE_NO_POOL);
		assert_int_equal(source_target_of_cr(cr, SOURCE_BE, NULL, &t, &err), 0);
		assert_string_equal(t.pool, "be");
		assert_string_equal(t.login.host, "q-fe-service.ns.svc");
		assert_int_equal(t.limits.replicas, 3);
		const char *const found[] = { t.login.secret, t.login.secret_key,
			                      t.login.password };
		const char *const wanted[] = { cases[i].secret, cases[i].key, cases[i].password };
		for (size_t k = 0; k < ARRAY_LEN(found); k++)
			if (found[k] ? !wanted[k] || strcmp(found[k], wanted[k]) != 0
			             : wanted[k] != NULL)
				fail_msg("case %zu: %s", i, found[k] ? found[k] : "nothing");
		source_target_free(&t);
	}
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* spec.sqlUser, spec.tls and the operator's condition: as whom, and over what. */
static void a_cluster_says_as_whom_and_over_what_it_is_asked(void **state)
{
	(void)state;
#define USER "\"sqlUser\":{\"enabled\":true},"
#define ROOT "\"rootPasswordSecret\":{\"name\":\"s\"},"
#define SQL_NAME "q-fe-service.ns.svc.example.org"
#define REFUSED(status)                                                                      \
	"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"q\"},\"status\":{\"conditions\":[{"  \
	"\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"RootSql\",\"status\":\"" status \
	"\"}]},\"spec\":{" USER ROOT                                                         \
	"\"starRocksBeSpec\":{\"roostAutoscaling\":{\"maxReplicas\":9}}}}"
	static const struct {
		const char *cr;
		int rc;
		const char *user, *secret, *tls_name, *ca_secret;
		bool root_instead;
	} cases[] = {
		{ SR(ROOT), 0, NULL, "s", NULL, NULL, false },
		{ SR(USER ROOT), 0, "roost_operator", "q-roost-sql", NULL, NULL, false },
		{ SR("\"sqlUser\":{\"enabled\":true,\"name\":\"ops\"},"), 0, "ops", "q-roost-sql",
		  NULL, NULL, false },
		{ SR(ROOT "\"sqlUser\":{\"enabled\":false,\"name\":\"ops\"},"), 0, NULL, "s", NULL,
		  NULL, false },
		/* root only when the operator says that the FE refuses its user. */
		{ REFUSED("True"), 0, NULL, "s", NULL, NULL, true },
		{ REFUSED("False"), 0, "roost_operator", "q-roost-sql", NULL, NULL, false },
		{ SR("\"tls\":{\"secretName\":\"t\"},"), 0, NULL, NULL, SQL_NAME, "t", false },
		{ SR(USER "\"tls\":{\"secretName\":\"t\",\"caSecretName\":\"c\",\"serverName\":"
		          "\"db.x\"},"),
		  0, "roost_operator", "q-roost-sql", "db.x", "c", false },
		/* What cannot be verified is no pool: never in the clear instead. */
		{ SR("\"tls\":{},"), -EINVAL, NULL, NULL, NULL, NULL, false },
		{ SR("\"tls\":true,"), -EINVAL, NULL, NULL, NULL, NULL, false },
		{ SR("\"tls\":{\"secretName\":\"../x\"},"), -EINVAL, NULL, NULL, NULL, NULL,
		  false },
		{ SR("\"tls\":{\"secretName\":\"t\",\"caSecretName\":7},"), -EINVAL, NULL, NULL,
		  NULL, NULL, false },
		{ SR("\"tls\":{\"secretName\":\"t\",\"serverName\":\"a b\"},"), -EINVAL, NULL, NULL,
		  NULL, NULL, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *cr = NULL;
		struct source_target t = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(data_json_parse(str_of(cases[i].cr), &cr, &err), 0);
		int rc = source_target_of_cr(cr, SOURCE_BE, "svc.example.org", &t, &err);
		if (rc != cases[i].rc || !same(t.login.user, cases[i].user) ||
		    !same(t.login.secret, cases[i].secret) ||
		    !same(t.login.tls_name, cases[i].tls_name) ||
		    !same(t.login.ca_secret, cases[i].ca_secret) ||
		    t.login.root_instead != cases[i].root_instead)
			fail_msg("case %zu: %d %s, as %s by %s to %s by %s", i, rc, err.msg,
			         t.login.user ? t.login.user : "-",
			         t.login.secret ? t.login.secret : "-",
			         t.login.tls_name ? t.login.tls_name : "-",
			         t.login.ca_secret ? t.login.ca_secret : "-");
		source_target_free(&t);
	}
}

static void backends_have_a_part_of_their_own(void **state)
{
	(void)state;
	struct source_load l;
	struct err err = ERR_INIT;
	int rc = source_load_parse(
		str_of("{\"v\":1,\"ts\":1,\"epoch\":5," FIELDS
	               ",\"nodes\":[],\"be\":{\"pending\":4,\"oldest_wait_s\":1.5,"
	               "\"required_slots\":9,\"running\":2,\"nodes\":[{\"id\":1,\"address\":\"b\","
	               "\"slots\":4,\"running\":4,\"draining\":false,\"role\":\"be\"}]},"
	               "\"service_time_s\":{\"p50\":0.5,\"p95\":2}}"),
		&l, &err);
	if (rc < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(l.rc[SOURCE_CN], 0);
	assert_int_equal(l.of[SOURCE_CN].pending, 7);
	assert_int_equal(l.of[SOURCE_CN].nodes, 0);
	assert_int_equal(l.rc[SOURCE_BE], 0);
	assert_int_equal(l.of[SOURCE_BE].pending, 4);
	assert_int_equal(l.of[SOURCE_BE].slots_asked, 9);
	assert_int_equal(l.of[SOURCE_BE].nodes, 1);
	assert_int_equal(l.of[SOURCE_BE].epoch, 5);
	/* One that says nothing of them is unknown, not idle; the compute nodes are known all the same. */
	assert_int_equal(source_load_parse(str_of(DOC(FIELDS, "")), &l, &err), 0);
	assert_int_equal(l.rc[SOURCE_CN], 0);
	assert_int_equal(l.rc[SOURCE_BE], -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_is_read),
		cmocka_unit_test(a_bad_document_is_refused_whole),
		cmocka_unit_test(a_config_is_read),
		cmocka_unit_test(a_bad_config_names_the_field),
		cmocka_unit_test(a_cluster_becomes_a_target),
		cmocka_unit_test(a_password_is_found_by_name),
		cmocka_unit_test(a_cluster_says_as_whom_and_over_what_it_is_asked),
		cmocka_unit_test(backends_have_a_part_of_their_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
