#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/data/yaml.h"
#include "operator/render/render.h"
#include "operator/render/template.h"

#define TESTDATA "operator/render/testdata"

static json_t *load_all(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT(4 * 1024 * 1024);
	struct err err = ERR_INIT;
	json_t *docs = NULL;
	if (fd_read_file(path, &text, &err) < 0 ||
	    data_yaml_parse_all((struct str){ text.p, text.len }, &docs, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	return docs;
}

/* ---- the language ---- */
static void template_rules(void **state)
{
	(void)state;
	static const struct {
		const char *template, *want; /* want NULL: an error */
	} cases[] = {
		{ "{\"a\":\"${n}\"}", "{\"a\":3}" },
		{ "{\"a\":\"x-${s}-${n}\"}", "{\"a\":\"x-t-3\"}" },
		{ "{\"a\":\"${none}\",\"b\":1}", "{\"b\":1}" },
		{ "{\"a\":\"${null}\",\"b\":1}", "{\"b\":1}" },
		{ "{\"a\":{\"b\":{\"c\":\"${none}\"}},\"d\":{}}", "{\"d\":{}}" },
		{ "{\"a\":\"x${none}\"}", NULL },
		{ "{\"a\":\"x${o}\"}", NULL },
		{ "{\"a\":\"${none}\"}", NULL },
		{ "[1,\"${list}\",2]", "[1,\"p\",\"q\",2]" },
		{ "[1,\"${none}\",2]", "[1,2]" },
		{ "{\"a\":\"${o}\"}", "{\"a\":{\"k\":true}}" },
		/* A value that looks like a path stays text: nothing a user writes is expanded. */
		{ "{\"a\":\"${evil}\",\"b\":\"<${evil}>\"}",
		  "{\"a\":\"${s}: {x}\",\"b\":\"<${s}: {x}>\"}" },
		{ "{\"a\":\"$(FE_SERVICE_NAME) $${\"}", "{\"a\":\"$(FE_SERVICE_NAME) $${\"}" },
	};
	_cleanup_json_ json_t *ctx =
		json_pack("{s:i, s:s, s:n, s:{s:b}, s:[s, s], s:s}", "n", 3, "s", "t", "null", "o",
	                  "k", 1, "list", "p", "q", "evil", "${s}: {x}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *t = NULL, *got = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(data_json_parse(str_of(cases[i].template), &t, &err), 0);
		int rc = render_expand(t, ctx, &got, &err);
		assert_int_equal(rc < 0, cases[i].want == NULL);
		if (!cases[i].want)
			continue;
		autofree char *text = data_json_text(got);
		assert_string_equal(text, cases[i].want);
	}
}

/* ---- no path that the CRDs do not have: a slip would drop a field in silence ---- */
static int check_path(void *arg, const char *path)
{
	/* What render_object() puts into the context; the name of anything else would drop its key. */
	static const char *const roots[] = { "name",    "namespace", "owner",   "spec",
		                             "pod",     "proxy",     "service", "scale",
		                             "ingress", "replicas",  "token",   "maxUnavailable" };
	const json_t *at = arg;
	struct str rest = str_of(path), part = rest;
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		size_t n = strlen(roots[i]);
		known = known || (strncmp(path, roots[i], n) == 0 && (!path[n] || path[n] == '.'));
	}
	if (!known)
		fail_msg("${%s}: render_object() has no such value", path);
	if (strncmp(path, "spec.", 5) != 0)
		return 0;
	while (str_split(&rest, '.', &part)) {
		autofree char *key = str_dup(part);
		at = json_object_get(json_object_get(at, "properties"), key);
		if (!at)
			fail_msg("${%s} is not in the CRD (at %s)", path, key);
	}
	return 0;
}

static void paths_are_in_the_crd(void **state)
{
	(void)state;
	_cleanup_json_ json_t *docs = load_all("crds/starrocks.com_starrocksclusters.yaml");
	json_t *schema = data_get(docs, "0.spec.versions.0.schema.openAPIV3Schema");
	assert_non_null(schema);
	for (int i = 0; i < RENDER_OBJECTS; i++)
		render_paths(render_template_of((enum render_object)i), check_path, schema);
}

/* ---- goldens ---- */
/* What the API server adds to an object: missing from ours, and equal to this, is no difference. */
static bool server_default(const char *key, const json_t *value)
{
	static const struct {
		const char *key, *value; /* value NULL: any */
	} defaults[] = {
		{ "revisionHistoryLimit", "10" },
		{ "progressDeadlineSeconds", "600" },
		{ "terminationGracePeriodSeconds", "30" },
		{ "securityContext", "{}" },
		{ "strategy",
		  "{\"rollingUpdate\":{\"maxSurge\":\"25%\",\"maxUnavailable\":\"25%\"},"
		  "\"type\":\"RollingUpdate\"}" },
		{ "dnsPolicy", "\"ClusterFirst\"" },
		{ "restartPolicy", "\"Always\"" },
		{ "schedulerName", "\"default-scheduler\"" },
		{ "terminationMessagePath", "\"/dev/termination-log\"" },
		{ "terminationMessagePolicy", "\"File\"" },
		{ "successThreshold", "1" },
		{ "timeoutSeconds", "1" },
		{ "scheme", "\"HTTP\"" },
		{ "apiVersion", "\"v1\"" },
		{ "defaultMode", "420" },
		{ "volumeMode", "\"Filesystem\"" },
		{ "type", "\"\"" },
		{ "type", "\"ClusterIP\"" },
		{ "persistentVolumeClaimRetentionPolicy",
		  "{\"whenDeleted\":\"Retain\",\"whenScaled\":\"Retain\"}" },
		{ "whenScaled", "\"Retain\"" },
		{ "clusterIP", NULL },
		{ "clusterIPs", NULL },
		{ "ipFamilies", NULL },
		{ "ipFamilyPolicy", NULL },
		{ "internalTrafficPolicy", NULL },
		{ "externalTrafficPolicy", NULL },
		{ "sessionAffinity", "\"None\"" },
		{ "nodePort", NULL },
		{ "stabilizationWindowSeconds", "0" },
		{ "selectPolicy", "\"Max\"" },
		{ "policies", "[{\"periodSeconds\":15,\"type\":\"Percent\",\"value\":100}]" },
	};
	autofree char *text = data_json_text(value);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (strcmp(defaults[i].key, key) == 0 &&
		    (!defaults[i].value || strcmp(defaults[i].value, text) == 0))
			return true;
	return false;
}

static void differ(const char *path, const json_t *want, const json_t *got)
{
	autofree char *w = want ? data_json_text(want) : xstrdup("nothing");
	autofree char *g = got ? data_json_text(got) : xstrdup("nothing");
	fail_msg("%s: want %s, got %s", path, w, g);
}

static void same(const char *path, const json_t *want, const json_t *got);

static void same_object(const char *path, const json_t *want, const json_t *got)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)want, key, value)
	{
		autofree char *below = xasprintf("%s.%s", path, key);
		const json_t *g = json_object_get(got, key);
		if (!g && server_default(key, value))
			continue;
		if (!g)
			differ(below, value, NULL);
		same(below, value, g);
	}
	json_object_foreach((json_t *)(uintptr_t)got, key, value)
	{
		autofree char *below = xasprintf("%s.%s", path, key);
		if (!json_object_get(want, key))
			differ(below, NULL, value);
	}
}

static void same(const char *path, const json_t *want, const json_t *got)
{
	if (json_is_object(want) && json_is_object(got)) {
		same_object(path, want, got);
		return;
	}
	if (json_is_array(want) && json_is_array(got) &&
	    json_array_size(want) == json_array_size(got)) {
		for (size_t i = 0; i < json_array_size(want); i++) {
			autofree char *below = xasprintf("%s[%zu]", path, i);
			same(below, json_array_get(want, i), json_array_get(got, i));
		}
		return;
	}
	/* The server writes the quantity 4 as "4". */
	if (json_is_string(want) && json_is_integer(got)) {
		autofree char *text = data_json_text(got);
		if (strcmp(text, json_string_value(want)) == 0)
			return;
	}
	if (!json_equal(want, got))
		differ(path, want, got);
}

static void take_conf(struct model_cluster *m, const json_t *docs)
{
	for (int r = 0; r < MODEL_ROLES; r++) {
		size_t i;
		const json_t *d;
		const struct model_part *p = &m->part[r];
		json_array_foreach((json_t *)(uintptr_t)docs, i, d)
		{
			const char *name = data_get_str(d, "metadata.name");
			if (!p->conf_map || i == 0 || strcmp(name, p->conf_map) != 0)
				continue;
			model_set_conf(m, (enum model_role)r,
			               str_of(json_string_value(json_object_get(
					       json_object_get(d, "data"), p->conf_key))));
		}
	}
}

static enum render_object object_of(const struct model_cluster *m, const json_t *want)
{
	const char *name = data_get_str(want, "metadata.name");
	const char *kind = data_get_str(want, "kind");
	for (int i = 0; i < RENDER_OBJECTS; i++) {
		autofree char *ours = render_object_name(m->name, (enum render_object)i);
		if (strcmp(ours, name) == 0 &&
		    strcmp(render_object_kind((enum render_object)i)->kind, kind) == 0)
			return (enum render_object)i;
	}
	fail_msg("%s %s is none of the objects", kind, name);
	return RENDER_OBJECTS;
}

static void golden(const char *name)
{
	autofree char *cr_path = xasprintf(TESTDATA "/%s/cr.yaml", name);
	autofree char *want_path = xasprintf(TESTDATA "/%s/want.yaml", name);
	_cleanup_json_ json_t *cr = load_all(cr_path), *want = load_all(want_path);
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	struct render_options options = { .volume_hash = true };
	struct err err = ERR_INIT;
	size_t i;
	const json_t *w;
	const json_t *first = json_array_get(cr, 0);
	int rc = model_is_warehouse(first)
	                 ? model_warehouse_decode(first, json_array_get(cr, 1), &m, &err)
	                 : model_cluster_decode(first, &m, &err);
	if (rc < 0)
		fail_msg("%s: %s", cr_path, err.msg);
	take_conf(m, cr);
	if (m->warehouse)
		model_set_conf(m, MODEL_FE, str_of("run_mode = shared_data\nquery_port = 9031\n"));
	json_array_foreach(want, i, w)
	{
		_cleanup_json_ json_t *got = NULL;
		enum render_object what = object_of(m, w);
		enum model_role role = render_object_role(what);
		struct render_values values = {
			.replicas = role < MODEL_ROLES ? m->part[role].replicas : 0, .token = "t"
		};
		if (role == MODEL_FE && m->dr.running)
			values.replicas = 1;
		assert_true(render_wanted(m, what));
		if (render_object(m, what, &values, &options, &got, &err) < 0)
			fail_msg("%s: %s", name, err.msg);
		autofree char *path = xasprintf("%s: %s", name, data_get_str(w, "metadata.name"));
		same(path, w, got);
	}
}

static void goldens(void **state)
{
	(void)state;
	DIR *d = opendir(TESTDATA);
	const struct dirent *e;
	int n = 0;
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			golden(e->d_name);
			n++;
		}
	closedir(d);
	assert_true(n >= 12);
}

/* ---- single facts ---- */
static void volume_names_are_upstreams(void **state)
{
	(void)state;
	autofree char *a =
		render_volume_name("a-starrocks-with-fe-proxy-fe-proxy", "/etc/nginx", "", true);
	autofree char *b = render_volume_name("s", "/x", "", false);
	assert_string_equal(a, "a-starrocks-with-fe-proxy-fe-proxy-2776");
	assert_string_equal(b, "s");
}

static void stop_command_follows_the_tag(void **state)
{
	(void)state;
	static const struct {
		const char *image;
		bool be, cn; /* -g */
	} cases[] = {
		{ "starrocks/x:3.3.16", false, false },
		{ "starrocks/x:3.3.17", false, true },
		{ "starrocks/x:3.3.19-rc1", true, true },
		{ "starrocks/x:3.5.1", false, false },
		{ "starrocks/x:3.2.9", true, true },
		{ "starrocks/x:4.1-latest", true, true },
		{ "starrocks/x", true, true },
		{ "reg:5000/x:3.4.7", false, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *cr = json_pack(
			"{s:{s:s,s:s,s:s}, s:{s:{s:s}, s:{s:s}, s:{s:s}}}", "metadata", "name", "c",
			"namespace", "n", "uid", "u", "spec", "starRocksFeSpec", "image",
			cases[i].image, "starRocksBeSpec", "image", cases[i].image,
			"starRocksCnSpec", "image", cases[i].image);
		_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
		struct render_options options = { .volume_hash = true };
		assert_int_equal(model_cluster_decode(cr, &m, NULL), 0);
		for (int r = MODEL_BE; r < MODEL_ROLES; r++) {
			_cleanup_json_ json_t *pod = NULL;
			assert_int_equal(render_pod(m, (enum model_role)r, &options, &pod, NULL),
			                 0);
			const char *command = data_get_str(pod, "preStop.exec.command.2");
			assert_int_equal(str_ends(str_of(command), " -g"),
			                 r == MODEL_BE ? cases[i].be : cases[i].cn);
		}
	}
}

static void duplicates_are_refused(void **state)
{
	(void)state;
	_cleanup_json_ json_t *cr = json_pack(
		"{s:{s:s,s:s,s:s}, s:{s:{s:s, s:[{s:s,s:s}, {s:s,s:s}]}}}", "metadata", "name", "c",
		"namespace", "n", "uid", "u", "spec", "starRocksFeSpec", "image", "i", "secrets",
		"name", "a", "mountPath", "/same", "name", "b", "mountPath", "/same");
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	struct render_options options = { .volume_hash = true };
	struct render_values values = { .replicas = 1 };
	_cleanup_json_ json_t *got = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(model_cluster_decode(cr, &m, &err), 0);
	assert_true(render_object(m, RENDER_FE_SET, &values, &options, &got, &err) < 0);
	assert_non_null(strstr(err.msg, "/same"));
}

/* The server refuses them anywhere else. */
static void what_only_load_balancers_have_is_left_out(void **state)
{
	(void)state;
	static const char *const types[] = { "LoadBalancer", "ClusterIP", "NodePort" };
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		_cleanup_json_ json_t *cr = json_pack(
			"{s:{s:s,s:s,s:s}, s:{s:{s:s, s:{s:s, s:[s], s:s, s:s}}}}", "metadata",
			"name", "c", "namespace", "n", "uid", "u", "spec", "starRocksFeSpec",
			"image", "i", "service", "type", types[i], "loadBalancerSourceRanges",
			"10.0.0.0/8", "loadBalancerIP", "10.1.1.1", "loadBalancerClass", "a/b");
		_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
		struct render_options options = { .volume_hash = true };
		struct render_values values = { .replicas = 1 };
		_cleanup_json_ json_t *got = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(model_cluster_decode(cr, &m, &err), 0);
		assert_int_equal(render_object(m, RENDER_FE_SERVICE, &values, &options, &got, &err),
		                 0);
		assert_int_equal(json_array_size(data_get(got, "spec.loadBalancerSourceRanges")),
		                 i == 0);
		assert_int_equal(data_get_str(got, "spec.loadBalancerIP") != NULL, i == 0);
		assert_int_equal(data_get_str(got, "spec.loadBalancerClass") != NULL, i == 0);
	}
}

/* Server-side apply answers 500 to them. */
static void the_same_key_twice_is_named(void **state)
{
	(void)state;
	static const struct {
		enum render_object what;
		const char *field, *value, *conf, *says; /* says NULL: fine */
	} cases[] = {
		{ RENDER_FE_SET, "sidecars", "[{\"name\":\"fe\",\"image\":\"x\"}]", "",
		  "name \"fe\": see sidecars" },
		{ RENDER_FE_SET, "sidecars", "[{\"name\":\"a\"},{\"name\":\"a\"}]", "",
		  "sidecars" },
		{ RENDER_FE_SET, "sidecars",
		  "[{\"name\":\"a\",\"env\":[{\"name\":\"E\"},{\"name\":\"E\"}]}]", "",
		  "container a: two entries have the name \"E\"" },
		{ RENDER_FE_SET, "sidecars", "[{\"name\":\"a\"},{\"name\":\"b\"}]", "", NULL },
		{ RENDER_FE_SET, "initContainers", "[{\"name\":\"a\"},{\"name\":\"a\"}]", "",
		  "initContainers" },
		{ RENDER_FE_SET, "hostAliases", "[{\"ip\":\"1.2.3.4\"},{\"ip\":\"1.2.3.4\"}]", "",
		  "hostAliases" },
		{ RENDER_FE_SET, "topologySpreadConstraints",
		  "[{\"topologyKey\":\"z\",\"whenUnsatisfiable\":\"DoNotSchedule\"},"
		  "{\"topologyKey\":\"z\",\"whenUnsatisfiable\":\"ScheduleAnyway\"}]",
		  "", NULL },
		{ RENDER_FE_SET, "sidecars", "[]", "http_port = 9030\n",
		  "ports of the configuration" },
		{ RENDER_FE_SERVICE, "service", "{\"ports\":[{\"name\":\"http\",\"port\":9030}]}",
		  "", "service.ports" },
		{ RENDER_FE_SERVICE, "service", "{\"ports\":[{\"name\":\"http\",\"port\":80}]}", "",
		  NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *cr =
			json_pack("{s:{s:s,s:s,s:s}, s:{s:{s:s, s:o}}}", "metadata", "name", "c",
		                  "namespace", "n", "uid", "u", "spec", "starRocksFeSpec", "image",
		                  "i", cases[i].field, json_loads(cases[i].value, 0, NULL));
		_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
		struct render_options options = { .volume_hash = true };
		struct render_values values = { .replicas = 1 };
		_cleanup_json_ json_t *got = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(model_cluster_decode(cr, &m, &err), 0);
		model_set_conf(m, MODEL_FE, str_of(cases[i].conf));
		int rc = render_object(m, cases[i].what, &values, &options, &got, &err);
		if ((rc < 0) != (cases[i].says != NULL) ||
		    (cases[i].says && !strstr(err.msg, cases[i].says)))
			fail_msg("case %zu: %s", i, rc < 0 ? err.msg : "taken");
	}
}

static void many_entries_are_compared_as_well(void **state)
{
	(void)state;
	for (int twice = 0; twice < 2; twice++) {
		_cleanup_json_ json_t *o = json_pack("{s:{s:[]}}", "spec", "ports");
		struct err err = ERR_INIT;
		for (int i = 0; i < 100; i++)
			json_array_append_new(data_get(o, "spec.ports"),
			                      json_pack("{s:i, s:s}", "port",
			                                twice && i == 99 ? 7 : i, "protocol",
			                                "TCP"));
		assert_int_equal(render_check_lists(o, &err), twice ? -EINVAL : 0);
	}
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	if (render_init(&err) == 0)
		return 0;
	print_error("%s\n", err.msg);
	return -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(template_rules),
		cmocka_unit_test(paths_are_in_the_crd),
		cmocka_unit_test(goldens),
		cmocka_unit_test(volume_names_are_upstreams),
		cmocka_unit_test(stop_command_follows_the_tag),
		cmocka_unit_test(duplicates_are_refused),
		cmocka_unit_test(the_same_key_twice_is_named),
		cmocka_unit_test(many_entries_are_compared_as_well),
		cmocka_unit_test(what_only_load_balancers_have_is_left_out),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
