/* Allow, bind and plan over trees recorded from DuckDB; what comes out is golden: engine/plan/testdata/plans.json.
 * ROOST_WRITE_GOLDEN=1 writes it anew (then look at the difference). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/bind/bind.h"
#include "engine/plan/plan.h"
#include "engine/sql/allow.h"
#include "engine/sqlerr.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

#define DATA "engine/plan/testdata/"

static json_t *load(const char *path)
{
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT(64 * 1024 * 1024);
	json_t *j = NULL;
	if (fd_read_file(path, &text, &err) < 0 ||
	    data_json_parse((struct str){ buf_cstr(&text), text.len }, &j, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	return j;
}

static struct plan_table *table_from(const json_t *t)
{
	struct plan_table *p = xcalloc(1, sizeof(*p));
	const json_t *columns = json_object_get(t, "columns");
	const json_t *tablets = json_object_get(t, "tablets");
	const json_t *objects = json_object_get(t, "objects");
	*p = (struct plan_table){ .id = data_get_int(t, "id", 0),
		                  .version = data_get_int(t, "version", 0),
		                  .db = xstrdup("d"),
		                  .name = xstrdup(data_get_str(t, "name")),
		                  .storage = tablets ? META_LOCAL : META_BUCKET,
		                  .rows = data_get_int(t, "rows", 0),
		                  .bytes = data_get_int(t, "bytes", 0),
		                  .n_columns = json_array_size(columns),
		                  .n_tablets = json_array_size(tablets),
		                  .n_objects = json_array_size(objects) };
	p->columns = xcalloc(p->n_columns + 1, sizeof(*p->columns));
	p->tablets = xcalloc(p->n_tablets + 1, sizeof(*p->tablets));
	p->objects = xcalloc(p->n_objects + 1, sizeof(*p->objects));
	size_t i, k;
	json_t *e, *r;
	json_array_foreach(columns, i, e) p->columns[i] =
		(struct plan_column){ xstrdup(data_get_str(e, "0")),
		                      xstrdup(data_get_str(e, "1")) };
	json_array_foreach(tablets, i, e)
	{
		struct plan_tablet *to = &p->tablets[i];
		to->id = data_get_int(e, "0", 0);
		to->bytes = p->bytes / (int64_t)p->n_tablets;
		to->rowsets = json_pack("[{s:s, s:i, s:i, s:s}]", "id", "r", "rows", 1, "bytes", 1,
		                        "crc", "0");
		json_array_foreach(json_array_get(e, 1), k, r) to->replicas[to->n_replicas++] =
			json_integer_value(r);
	}
	json_array_foreach(objects, i, e) p->objects[i] =
		(struct plan_object){ xstrdup(json_string_value(e)), xstrdup("e"),
		                      p->bytes / (int64_t)p->n_objects, 1 };
	return p;
}

static int find_table(void *arg, const char *db, const char *name, struct plan_table **ret,
                      struct err *err)
{
	size_t i;
	json_t *t;
	json_array_foreach(json_object_get(arg, "tables"), i, t)
	{
		if (strcmp(db, "d") == 0 && strcmp(data_get_str(t, "name"), name) == 0) {
			*ret = table_from(t);
			return 0;
		}
	}
	return err_set(err, SQL_ERR(1146), "Table '%s.%s' doesn't exist", db, name);
}

static size_t nodes_from(const json_t *catalog, struct coord_node *out)
{
	size_t i;
	json_t *n;
	json_array_foreach(json_object_get(catalog, "nodes"), i, n)
	{
		bool be = strcmp(data_get_str(n, "role"), "be") == 0;
		out[i] = (struct coord_node){ .id = data_get_int(n, "id", 0),
			                      .role = be ? META_BE : META_CN };
		snprintf(out[i].rpc, sizeof(out[i].rpc), "%s", data_get_str(n, "rpc"));
	}
	return i;
}

static const struct sql_allow_context allow_cx = { "d", "root", "8.0.33", 7, 1700000000000 };

static int bind_text(json_t *catalog, const char *sql, json_t *node, struct plan_query **ret,
                     struct err *err)
{
	struct bind_catalog bc = { find_table, catalog };
	int rc = sql_allow(&allow_cx, node, err);
	return rc < 0 ? rc : bind_query(&bc, "d", sql, json_deep_copy(node), ret, err);
}

static json_t *plan_case(json_t *catalog, const char *name, const json_t *c)
{
	struct err err = ERR_INIT;
	struct coord_node nodes[16];
	_cleanup_(plan_query_freep) struct plan_query *q = NULL;
	_cleanup_(coord_dag_freep) struct coord_dag *dag = NULL;
	struct plan_input in = { .nodes = nodes,
		                 .n_nodes = nodes_from(catalog, nodes),
		                 .s3_json = "{\"bucket\":\"b\"}",
		                 .spread = 1 };
	if (bind_text(catalog, data_get_str(c, "sql"), json_object_get(c, "node"), &q, &err) < 0 ||
	    plan_make(q, &in, &dag, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	json_t *names = json_array();
	for (size_t i = 0; i < q->n_names; i++)
		json_array_append_new(names, json_string(q->names[i]));
	json_t *plan = coord_dag_json(dag);
	json_object_set_new(plan, "names", names);
	json_object_set_new(plan, "explain", plan_explain(dag));
	return plan;
}

static void plans_are_the_golden_ones(void **state)
{
	(void)state;
	_cleanup_json_ json_t *catalog = load(DATA "catalog.json");
	_cleanup_json_ json_t *cases = load(DATA "asts.json");
	bool write = getenv("ROOST_WRITE_GOLDEN") != NULL;
	_cleanup_json_ json_t *golden = write ? json_object() : load(DATA "plans.json");
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024 * 1024);
	const char *name;
	json_t *c;
	json_object_foreach(cases, name, c)
	{
		_cleanup_json_ json_t *plan = plan_case(catalog, name, c);
		autofree char *text = data_json_text(plan);
		if (write) {
			(void)buf_addf(&out, "%s\"%s\": %s", out.len ? ",\n" : "{\n", name, text);
			continue;
		}
		autofree char *want = data_json_text(json_object_get(golden, name));
		if (strcmp(text, want) != 0)
			fail_msg("%s:\n%s\nwanted:\n%s", name, text, want);
	}
	struct err err = ERR_INIT;
	(void)buf_adds(&out, "\n}\n");
	if (write)
		assert_int_equal(fd_write_file(DATA "plans.json", out.p, out.len, 0644, &err), 0);
}

/* refused.txt: an errno, words of the message, a statement; walls and names alike. */
static void the_rest_is_refused_by_name(void **state)
{
	(void)state;
	_cleanup_json_ json_t *catalog = load(DATA "catalog.json");
	_cleanup_json_ json_t *cases = load(DATA "refused.json");
	int wrong = 0;
	size_t i;
	json_t *c;
	json_array_foreach(cases, i, c)
	{
		struct err err = ERR_INIT;
		_cleanup_(plan_query_freep) struct plan_query *q = NULL;
		int rc = bind_text(catalog, data_get_str(c, "sql"), json_object_get(c, "node"), &q,
		                   &err);
		int want = SQL_ERR((int)data_get_int(c, "errno", 0));
		if (rc == want && strstr(err.msg, data_get_str(c, "words")))
			continue;
		print_error("%s: %d %s\n", data_get_str(c, "sql"), rc, err.msg);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void no_worker_no_plan(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t from, to; /* of the catalog's nodes */
		int rc;
		const char *words;
	} cases[] = {
		{ "count", 0, 3, 0, "" },    /* BEs alone: it waits for a CN */
		{ "constant", 0, 0, 0, "" }, /* and so does what needs no backend */
		{ "local_large", 0, 0, SQL_ERR(5905), "No alive" },
		{ "local_large", 2, 3, SQL_ERR(1105), "tablet: 231 of d.sales" },
		{ "local_router", 3, 5, SQL_ERR(1105), "tablet: 201 of d.dates" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *catalog = load(DATA "catalog.json");
		_cleanup_json_ json_t *asts = load(DATA "asts.json");
		const json_t *c = json_object_get(asts, cases[i].name);
		struct coord_node nodes[16];
		(void)nodes_from(catalog, nodes);
		struct plan_input in = { .nodes = nodes + cases[i].from,
			                 .n_nodes = cases[i].to - cases[i].from };
		struct err err = ERR_INIT;
		_cleanup_(plan_query_freep) struct plan_query *q = NULL;
		_cleanup_(coord_dag_freep) struct coord_dag *dag = NULL;
		assert_int_equal(bind_text(catalog, data_get_str(c, "sql"),
		                           json_object_get(c, "node"), &q, &err),
		                 0);
		assert_int_equal(plan_make(q, &in, &dag, &err), cases[i].rc);
		if (!strstr(err.msg, cases[i].words))
			fail_msg("%s: %s", cases[i].name, err.msg);
		if (cases[i].rc == 0) {
			assert_true(dag->needs_cn);
			assert_int_equal(dag->slots_cn, 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_are_the_golden_ones),
		cmocka_unit_test(the_rest_is_refused_by_name),
		cmocka_unit_test(no_worker_no_plan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
