#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "operator/model/cluster.h"

static void conf_gives_ports(void **state)
{
	(void)state;
	struct model_ports p;
	model_ports_from_conf(MODEL_FE, str_of(""), &p);
	assert_int_equal(p.http, 8030);
	assert_int_equal(p.edit_log, 9010);
	assert_int_equal(p.arrow_flight, 0);
	assert_false(p.shared_data);
	model_ports_from_conf(
		MODEL_FE,
		str_of("# http_port = 1\n http_port=18030 \r\nquery_port = \"19030\"\n"
	               "rpc_port = x\nedit_log_port = 0\nrun_mode = shared_data\n"
	               "query_port = 19031\narrow_flight_port: 9408\n"),
		&p);
	assert_int_equal(p.http, 18030);
	assert_int_equal(p.query, 19031); /* the last line counts */
	assert_int_equal(p.rpc, 9020);
	assert_int_equal(p.edit_log, 9010);
	assert_int_equal(p.arrow_flight, 9408);
	assert_true(p.shared_data);
	model_ports_from_conf(MODEL_BE, str_of("be_http_port = 8041\nbe_port=9061"), &p);
	assert_int_equal(p.web, 8041);
	assert_int_equal(p.thrift, 9061);
	model_ports_from_conf(MODEL_CN,
	                      str_of("be_http_port=1\nwebserver_port=2\nthrift_port=3\n"
	                             "be_port=4\nheartbeat_service_port=99999"),
	                      &p);
	assert_int_equal(p.web, 2);
	assert_int_equal(p.thrift, 3);
	assert_int_equal(p.heartbeat, 9050);
}

static int decode(const char *meta, const char *spec, struct model_cluster **ret, struct err *err)
{
	autofree char *text = xasprintf("{\"metadata\":{\"namespace\":\"n\",\"uid\":\"u\"%s},"
	                                "\"spec\":%s}",
	                                meta, spec);
	_cleanup_json_ json_t *cr = NULL;
	assert_int_equal(data_json_parse(str_of(text), &cr, err), 0);
	return model_cluster_decode(cr, ret, err);
}

static void good_cluster(void **state)
{
	(void)state;
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(
		decode(",\"name\":\"c\",\"annotations\":{\"roost.io/engine\":\"true\"}",
	               "{\"starRocksFeSpec\":{\"image\":\"i\",\"configMaps\":[{\"name\":\"a\","
	               "\"mountPath\":\"/x\"},{\"name\":\"b\",\"mountPath\":\"/sr/fe/conf\"}],"
	               "\"feEnvVars\":[{\"name\":\"STARROCKS_ROOT\",\"value\":\"/sr\"}]},"
	               "\"starRocksCnSpec\":{\"image\":\"i\",\"replicas\":2,"
	               "\"configMaps\":[{\"name\":\"s\",\"mountPath\":"
	               "\"/opt/starrocks/cn/conf/cn.conf\",\"subPath\":\"k\"}],"
	               "\"drainSeconds\":300,\"roostAutoscaling\":{\"maxReplicas\":3}}}",
	               &m, &err),
		0);
	assert_int_equal(m->part[MODEL_CN].grace_s, 310);
	assert_int_equal(m->part[MODEL_FE].grace_s, 120);
	assert_true(m->engine);
	assert_false(m->part[MODEL_BE].present);
	assert_int_equal(m->part[MODEL_FE].replicas, 1);
	assert_string_equal(m->part[MODEL_FE].root, "/sr");
	assert_string_equal(m->part[MODEL_FE].conf_map, "b");
	assert_string_equal(m->part[MODEL_FE].conf_key, "fe.conf");
	assert_string_equal(m->part[MODEL_CN].conf_map, "s");
	assert_string_equal(m->part[MODEL_CN].conf_key, "k");
	assert_true(m->scaling.enabled);
	assert_int_equal(m->scaling.min, 0);
	assert_int_equal(m->scaling.max, 3);
}

/* Whatever a schema may let through ends in words that name the field, never in a crash. */
static void bad_clusters(void **state)
{
	(void)state;
	static const struct {
		const char *meta, *spec, *says;
	} cases[] = {
		{ "", "{}", "name" },
		{ ",\"name\":\"../etc\"", "{}", "name" },
		{ ",\"name\":\"1c\"", "{}", "letter" },
		{ ",\"name\":\"c23456789012345678901234567890123456789012345678901\"", "{}",
		  "characters" },
		{ ",\"name\":\"c\"", "{\"starRocksFeSpec\":7}", "starRocksFeSpec" },
		{ ",\"name\":\"c\"", "{\"starRocksFeSpec\":{}}", "image" },
		{ ",\"name\":\"c\"", "{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":-1}}",
		  "replicas" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":2147483647}}", "replicas" },
		{ ",\"name\":\"c\"", "{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":\"3\"}}",
		  "replicas" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksBeSpec\":{\"image\":\"i\",\"storageVolumes\":[{\"name\":\"d\","
		  "\"mountPath\":\"/d\",\"storageSize\":\"abc10Gi\"}]}}",
		  "storageSize" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksBeSpec\":{\"image\":\"i\",\"storageVolumes\":[{\"name\":\"d\"}]}}",
		  "mountPath" },
		{ ",\"name\":\"c\"", "{\"starRocksBeSpec\":{\"image\":\"i\",\"configMaps\":[3]}}",
		  "configMaps[0]" },
		{ ",\"name\":\"c\"", "{\"starRocksBeSpec\":{\"image\":\"i\",\"sidecars\":{}}}",
		  "sidecars" },
		{ ",\"name\":\"c\"", "{\"starRocksBeSpec\":{\"image\":\"i\",\"podLabels\":[]}}",
		  "podLabels" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksCnSpec\":{\"image\":\"i\",\"cnEnvVars\":[{\"name\":\"HOST_TYPE\","
		  "\"value\":\"FQDN\"}]}}",
		  "HOST_TYPE" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksCnSpec\":{\"image\":\"i\",\"roostAutoscaling\":{\"maxReplicas\":1,"
		  "\"minReplicas\":2}}}",
		  "minReplicas" },
		{ ",\"name\":\"c\"",
		  "{\"starRocksCnSpec\":{\"image\":\"i\",\"roostAutoscaling\":{\"maxReplicas\":1},"
		  "\"autoScalingPolicy\":{\"maxReplicas\":2}}}",
		  "autoScalingPolicy" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct model_cluster *m = NULL;
		struct err err = ERR_INIT;
		if (decode(cases[i].meta, cases[i].spec, &m, &err) != -EINVAL)
			fail_msg("case %zu is not refused", i);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu: \"%s\" does not say %s", i, err.msg, cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_gives_ports),
		cmocka_unit_test(good_cluster),
		cmocka_unit_test(bad_clusters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
