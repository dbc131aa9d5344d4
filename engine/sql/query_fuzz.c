/* Hostile trees: any JSON is refused or becomes a plan, and what passes the walls holds nothing that is not listed. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "engine/bind/bind.h"
#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "engine/plan/plan.h"
#include "engine/sql/allow.h"
#include "engine/sqlerr.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* t(a BIGINT, b VARCHAR) in a bucket, u(a BIGINT, c DOUBLE) on BEs. */
static int find_table(void *arg, const char *db, const char *name, struct plan_table **ret,
                      struct err *err)
{
	bool t = strcmp(name, "t") == 0;
	(void)arg;
	if (!t && strcmp(name, "u") != 0)
		return err_set(err, SQL_ERR(1146), "Table '%.100s' doesn't exist", name);
	struct plan_table *p = xcalloc(1, sizeof(*p));
	*p = (struct plan_table){ .id = t,
		                  .version = 1,
		                  .db = xstrdup(db),
		                  .name = xstrdup(name),
		                  .storage = t ? META_BUCKET : META_LOCAL,
		                  .rows = 1000000,
		                  .bytes = 1000000000,
		                  .n_columns = 2,
		                  .n_tablets = t ? 0 : 1,
		                  .n_objects = t ? 1 : 0 };
	p->columns = xcalloc(3, sizeof(*p->columns));
	p->columns[0] = (struct plan_column){ xstrdup("a"), xstrdup("BIGINT") };
	p->columns[1] = t ? (struct plan_column){ xstrdup("b"), xstrdup("VARCHAR") }
	                  : (struct plan_column){ xstrdup("c"), xstrdup("DOUBLE") };
	p->tablets = xcalloc(2, sizeof(*p->tablets));
	p->objects = xcalloc(2, sizeof(*p->objects));
	if (t) {
		p->objects[0] = (struct plan_object){ xstrdup("o"), xstrdup("e"), p->bytes, 1 };
	} else {
		p->tablets[0] = (struct plan_tablet){ .id = 5, .replicas = { 1 }, .n_replicas = 1 };
		p->tablets[0].rowsets = json_array();
	}
	*ret = p;
	return 0;
}

/* What a worker will be asked to run calls no function that is not in the table. */
static int check_node(void *arg, json_t *node, struct err *err)
{
	(void)arg;
	(void)err;
	static const char *const made[] = { "strftime", "try_strptime",  "dayofweek",
		                            "isodow",   "epoch",         "make_timestamp",
		                            "instr",    "to_days",       "date_diff",
		                            "date_sub", "regexp_matches" };
	const char *name = ast_str(node, "function_name");
	bool known = !*name || plan_function_called(name);
	for (size_t i = 0; i < ARRAY_LEN(made) && !known; i++)
		known = strcmp(name, made[i]) == 0;
	if (!known || json_object_get(node, "qualified_name"))
		__builtin_trap();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct coord_node nodes[] = { { 1, META_BE, "be:1" },
		                                   { 2, META_CN, "cn:1" },
		                                   { 3, META_CN, "cn:2" } };
	static const struct sql_allow_context cx = { "d", "u", "8", 1, 0 };
	struct bind_catalog catalog = { find_table, NULL };
	struct err err = ERR_INIT;
	json_t *tree = NULL;
	if (data_json_parse((struct str){ (const char *)data, size }, &tree, &err) < 0)
		return 0;
	_cleanup_json_ json_t *owner = tree;
	_cleanup_(plan_query_freep) struct plan_query *q = NULL;
	_cleanup_(coord_dag_freep) struct coord_dag *dag = NULL;
	if (!json_is_object(tree) || sql_allow(&cx, tree, &err) < 0 ||
	    bind_query(&catalog, "d", "select", json_deep_copy(tree), &q, &err) < 0)
		return 0;
	struct plan_input in = { .nodes = nodes, .n_nodes = 3, .s3_json = "{}" };
	if (plan_make(q, &in, &dag, &err) < 0)
		return 0;
	for (size_t i = 0; i < dag->n_stages; i++)
		(void)ast_walk(dag->stages[i].ast, check_node, NULL, NULL);
	return 0;
}
