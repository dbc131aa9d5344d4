#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/net/http_text.h"
#include "lib/net/prom.h"

static void text_is_written(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	prom_family(&out, "roost_x", "gauge", "What\\it is\nfor.");
	prom_series(&out, "roost_x", 0.1, "a", "q\"\\\n", "b", "", NULL);
	prom_series(&out, "roost_x", 1e15, NULL);
	prom_series(&out, "roost_x", 1.0 / 3, NULL);
	prom_series(&out, "roost_x", (double)NAN, NULL);
	prom_series(&out, "roost_x", -(double)INFINITY, NULL);
	assert_string_equal(buf_cstr(&out), "# HELP roost_x What\\\\it is\\nfor.\n"
	                                    "# TYPE roost_x gauge\n"
	                                    "roost_x{a=\"q\\\"\\\\\\n\",b=\"\"} 0.1\n"
	                                    "roost_x 1e+15\n"
	                                    "roost_x 0.3333333333333333\n"
	                                    "roost_x NaN\n"
	                                    "roost_x -Inf\n");
}

static int write_back(void *arg, struct str name, const struct prom_label *labels, size_t n,
                      double value)
{
	(void)buf_addf(arg, "%.*s", STR_ARG(name));
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(arg, ",%.*s=%.*s", STR_ARG(labels[i].name),
		               STR_ARG(labels[i].value));
	(void)buf_addf(arg, "=%g;", value);
	return str_eqs(name, "stop");
}

static void text_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want, *says;
	} cases[] = {
		{ "", "", NULL },
		{ "# TYPE a b\n\na 1\r\nb{} 2 1700000000000\n", "a=1;b=2;", NULL },
		{ "a{x=\"1\",y=\"\\\"}\"} -1.5e3", "a,x=1,y=\\\"}=-1500;", NULL },
		{ "a{ x = \"1\" , } NaN\nb +Inf\nc -inf", "a,x=1=nan;b=inf;c=-inf;", NULL },
		{ "ns:a_1 1\nstop 2\nafter 3", "ns:a_1=1;stop=2;", NULL },
		{ "ok 1\n1a 1", NULL, "line 2: a series needs a name" },
		{ "a", NULL, "not a number" },
		{ "a x", NULL, "not a number" },
		{ "a 0x10z", NULL, "not a number" },
		{ "a 1 x", NULL, "not an integer" },
		{ "a{x=\"1\" 1", NULL, "missing after a label" },
		{ "a{x=1} 1", NULL, "quoted" },
		{ "a{x=\"1} 1", NULL, "does not end" },
		{ "a{x=\"1\\", NULL, "does not end" },
		{ "a{=\"1\"} 1", NULL, "needs a name" },
		{ "a{a=\"\",b=\"\",c=\"\",d=\"\",e=\"\",f=\"\",g=\"\",h=\"\",i=\"\",j=\"\",k=\"\","
		  "l=\"\","
		  "m=\"\",n=\"\",o=\"\",p=\"\",q=\"\"} 1",
		  NULL, "too many labels" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(4096);
		struct err err = ERR_INIT;
		int rc = prom_parse(str_of(cases[i].text), write_back, &out, &err);
		assert_int_equal(rc, cases[i].says ? -EINVAL : 0);
		if (cases[i].says && !strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
		if (cases[i].want)
			assert_string_equal(buf_cstr(&out), cases[i].want);
	}
}

static void targets(void **state)
{
	(void)state;
	static const struct {
		const char *raw, *path, *params; /* path NULL: refused */
	} cases[] = {
		{ "/", "/", "" },
		{ "/a%20b+c?x=%41+b&y&=z&&q=a=b", "/a b+c", "x=A b;y=;=z;q=a=b;" },
		{ "/a?x=%3D%26", "/a", "x==&;" },
		{ "", NULL, NULL },
		{ "a", NULL, NULL },
		{ "*", NULL, NULL },
		{ "http://h/a", NULL, NULL },
		{ "/%", NULL, NULL },
		{ "/%4", NULL, NULL },
		{ "/%00", NULL, NULL },
		{ "/?a=%0", NULL, NULL },
		{ "/..", NULL, NULL },
		{ "/a/%2e%2E/b", NULL, NULL },
		{ "/a..b/...", "/a..b/...", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_target t;
		struct err err = ERR_INIT;
		int rc = http_target_parse(cases[i].raw, &t, &err);
		assert_int_equal(rc, cases[i].path ? 0 : -EINVAL);
		assert_true(cases[i].path || err.msg[0]);
		if (!cases[i].path)
			continue;
		assert_string_equal(t.path.p, cases[i].path);
		_cleanup_buf_ struct buf b = BUF_INIT(1000);
		for (size_t k = 0; k < t.n_params; k++)
			(void)buf_addf(&b, "%s=%s;", t.params[k].name, t.params[k].value);
		assert_string_equal(buf_cstr(&b), cases[i].params);
		http_target_free(&t);
	}
	char many[3 * (HTTP_PARAMS_MAX + 1) + 3] = "/?";
	for (size_t i = 0; i <= HTTP_PARAMS_MAX; i++)
		memcpy(many + 2 + 3 * i, "a=&", 4);
	struct http_target t;
	assert_int_equal(http_target_parse(many, &t, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_written),
		cmocka_unit_test(text_is_read),
		cmocka_unit_test(targets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
