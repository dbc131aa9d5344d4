#include <string.h>

#include "engine/coord/coord_priv.h"
#include "engine/rpc.h"

/* All outputs of an earlier stage under one name. */
static json_t *exchange_input(const struct run *r, const struct coord_link *link)
{
	const struct coord_stage *from = &r->d->stages[link->stage];
	json_t *parts = json_array();
	json_int_t rows = 0;
	json_t *columns = NULL;
	for (size_t i = 0; i < from->n_tasks; i++) {
		const struct run_task *t = &r->tasks[r->first[link->stage] + i];
		rows += json_integer_value(json_object_get(t->answer, "rows"));
		columns = json_object_get(t->answer, "columns");
		json_array_append_new(parts,
		                      json_pack("{s:s, s:I, s:I, s:i, s:i, s:i}", "addr",
		                                r->d->nodes[t->node].rpc, "stage",
		                                (json_int_t)link->stage, "task", (json_int_t)i,
		                                "attempt", t->attempts - 1, "from", 0, "to", 1));
	}
	return json_pack("{s:s, s:s, s:O, s:I, s:o}", "name", link->name, "kind", "exchange",
	                 "columns", columns ? columns : json_null(), "rows", rows, "parts", parts);
}

json_t *coord_request(const struct run *r, const struct run_task *t)
{
	const struct coord_stage *s = &r->d->stages[t->stage];
	json_t *inputs = json_copy(s->tasks[t->task].inputs);
	for (size_t i = 0; i < s->n_links; i++)
		json_array_append_new(inputs, exchange_input(r, &s->links[i]));
	json_t *settings = json_object();
	if (s->keep_join_order)
		json_object_set_new(settings, "disabled_optimizers", json_string("join_order"));
	return json_pack("{s:i, s:s, s:I, s:I, s:i, s:s, s:I, s:I, s:s, s:O, s:o, s:o, s:O, s:b}",
	                 "v", RPC_VERSION, "query", r->job->query_id, "stage", (json_int_t)t->stage,
	                 "task", (json_int_t)t->task, "attempt", t->attempts - 1, "digest",
	                 s->digest, "timeout_ms", (json_int_t)deadline_left_ms(r->job->by),
	                 "mem_limit", (json_int_t)r->job->mem_limit, "group",
	                 r->job->group ? r->job->group : "default_wg", "ast", s->ast, "settings",
	                 settings, "inputs", inputs, "output", s->output, "alone", t->crashes > 0);
}
