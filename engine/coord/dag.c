#include "engine/coord/dag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/data/json.h"

/* What a worker reads, less the levels of the request around a fragment. */
enum { LEVELS_MAX = JSON_DEPTH_MAX - 16 };

struct coord_dag *coord_dag_new(void)
{
	return xcalloc(1, sizeof(struct coord_dag));
}

static void stage_free(struct coord_stage *s)
{
	for (size_t i = 0; i < s->n_tasks; i++) {
		json_decref(s->tasks[i].inputs);
		free(s->tasks[i].others);
	}
	free(s->tasks);
	free(s->links);
	json_decref(s->ast);
	json_decref(s->output);
}

void coord_dag_free(struct coord_dag *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_stages; i++)
		stage_free(&d->stages[i]);
	free(d->stages);
	free(d->nodes);
	free(d->versions);
	free(d);
}

struct coord_stage *coord_dag_stage(struct coord_dag *d, enum meta_role place)
{
	d->stages = xreallocarray(d->stages, d->n_stages + 1, sizeof(*d->stages));
	struct coord_stage *s = &d->stages[d->n_stages++];
	*s = (struct coord_stage){ .place = place };
	return s;
}

struct coord_task *coord_stage_task(struct coord_stage *s, size_t node)
{
	s->tasks = xreallocarray(s->tasks, s->n_tasks + 1, sizeof(*s->tasks));
	struct coord_task *t = &s->tasks[s->n_tasks++];
	*t = (struct coord_task){ .node = node, .inputs = json_array() };
	return t;
}

void coord_stage_link(struct coord_stage *s, size_t stage, const char *name)
{
	s->links = xreallocarray(s->links, s->n_links + 1, sizeof(*s->links));
	struct coord_link *l = &s->links[s->n_links++];
	*l = (struct coord_link){ .stage = stage };
	snprintf(l->name, sizeof(l->name), "%s", name);
}

void coord_dag_version(struct coord_dag *d, int64_t table, int64_t version)
{
	for (size_t i = 0; i < d->n_versions; i++) {
		if (d->versions[i].table == table)
			return;
	}
	d->versions = xreallocarray(d->versions, d->n_versions + 1, sizeof(*d->versions));
	d->versions[d->n_versions++] = (struct coord_version){ table, version };
}

/* SHA-256 of the fragment and of what flows into it, by digest: equal digests mean equal work over equal tables. */
static void stage_digest(const struct coord_dag *d, struct coord_stage *s)
{
	_cleanup_json_ json_t *links = json_array();
	for (size_t i = 0; i < s->n_links; i++)
		json_array_append_new(links, json_pack("[s,s]", s->links[i].name,
		                                       d->stages[s->links[i].stage].digest));
	_cleanup_json_ json_t *all = json_pack("{s:O, s:O}", "ast", s->ast, "links", links);
	autofree char *text = data_json_text(all);
	unsigned char hash[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)text, strlen(text), hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(s->digest + 2 * i, 3, "%02x", hash[i]);
}

/* How many different nodes the stage runs on, which is what it asks of admission. */
static int stage_nodes(const struct coord_stage *s)
{
	int n = 0;
	for (size_t i = 0; i < s->n_tasks; i++) {
		size_t before = 0;
		while (before < i && s->tasks[before].node != s->tasks[i].node)
			before++;
		n += before == i;
	}
	return n;
}

/* Levels of a JSON value. */
static int levels(json_t *j)
{
	const char *key;
	json_t *value;
	size_t i;
	int deepest = 0;
	json_array_foreach(j, i, value)
	{
		int n = levels(value);
		deepest = n > deepest ? n : deepest;
	}
	json_object_foreach(j, key, value)
	{
		int n = levels(value);
		deepest = n > deepest ? n : deepest;
	}
	return deepest + 1;
}

int coord_dag_finish(struct coord_dag *d, struct err *err)
{
	if (d->n_stages > RPC_STAGES_MAX)
		return err_set(err, SQL_ERR(1064),
		               "A query of %zu stages: at most %d are allowed; it reads too many "
		               "tables",
		               d->n_stages, RPC_STAGES_MAX);
	for (size_t i = 0; i < d->n_stages; i++) {
		struct coord_stage *s = &d->stages[i];
		if (s->n_tasks > RPC_TASKS_MAX)
			return err_set(err, SQL_ERR(1064),
			               "Stage %zu would have %zu tasks: at most %d are allowed", i,
			               s->n_tasks, RPC_TASKS_MAX);
		if (levels(s->ast) > LEVELS_MAX)
			return err_set(
				err, SQL_ERR(1064),
				"The statement is nested too deeply: %d levels, at most %d are "
				"allowed",
				levels(s->ast), LEVELS_MAX);
		stage_digest(d, s);
		int n = stage_nodes(s);
		int *slots = s->place == META_CN ? &d->slots_cn : &d->slots_be;
		if (n > *slots)
			*slots = n;
	}
	return 0;
}

static json_t *task_json(const struct coord_dag *d, const struct coord_task *t)
{
	json_t *others = json_array();
	for (size_t i = 0; i < t->n_others; i++)
		json_array_append_new(others, json_integer(d->nodes[t->others[i]].id));
	return json_pack("{s:I, s:o, s:O, s:I}", "node", (json_int_t)d->nodes[t->node].id, "others",
	                 others, "inputs", t->inputs, "est_bytes", (json_int_t)t->est_bytes);
}

static json_t *stage_json(const struct coord_dag *d, const struct coord_stage *s)
{
	json_t *links = json_array(), *tasks = json_array();
	for (size_t i = 0; i < s->n_links; i++)
		json_array_append_new(links, json_pack("{s:I, s:s}", "stage",
		                                       (json_int_t)s->links[i].stage, "name",
		                                       s->links[i].name));
	for (size_t i = 0; i < s->n_tasks; i++)
		json_array_append_new(tasks, task_json(d, &s->tasks[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:O, s:O, s:o, s:o, s:I}", "name", s->name,
	                 "reason", s->reason, "place", s->place == META_CN ? "cn" : "be", "digest",
	                 s->digest, "keep_join_order", s->keep_join_order, "ast", s->ast, "output",
	                 s->output, "links", links, "tasks", tasks, "est_bytes",
	                 (json_int_t)s->est_bytes);
}

json_t *coord_dag_json(const struct coord_dag *d)
{
	json_t *stages = json_array(), *versions = json_array();
	for (size_t i = 0; i < d->n_stages; i++)
		json_array_append_new(stages, stage_json(d, &d->stages[i]));
	for (size_t i = 0; i < d->n_versions; i++)
		json_array_append_new(
			versions, json_pack("{s:I, s:I}", "table", (json_int_t)d->versions[i].table,
		                            "version", (json_int_t)d->versions[i].version));
	return json_pack("{s:o, s:o, s:i, s:i, s:b}", "stages", stages, "versions", versions,
	                 "slots_be", d->slots_be, "slots_cn", d->slots_cn, "needs_cn", d->needs_cn);
}
