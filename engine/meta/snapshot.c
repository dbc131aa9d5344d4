#include "engine/meta/state.h"

#include <errno.h>

#include "lib/data/json.h"

static void add_line(struct buf *out, json_t *j)
{
	(void)data_json_dump(j, out);
	(void)buf_addc(out, '\n');
	json_decref(j);
}

static json_t *encode_tablet(const struct meta_tablet *t)
{
	json_t *replicas = json_array(), *rowsets = json_array();
	for (size_t i = 0; i < t->n_replicas; i++)
		json_array_append_new(replicas, json_integer(t->replicas[i]));
	for (size_t i = 0; i < t->n_rowsets; i++) {
		const struct meta_rowset *r = &t->rowsets[i];
		char crc[9];
		(void)snprintf(crc, sizeof(crc), "%08x", r->crc);
		json_array_append_new(rowsets,
		                      json_pack("{s:s, s:I, s:I, s:I, s:s}", "id", r->id, "version",
		                                (json_int_t)r->version, "rows", (json_int_t)r->rows,
		                                "bytes", (json_int_t)r->bytes, "crc", crc));
	}
	return json_pack("{s:I, s:o, s:o}", "id", (json_int_t)t->id, "replicas", replicas,
	                 "rowsets", rowsets);
}

static json_t *encode_table(const struct meta_table *t)
{
	json_t *tablets = json_array(), *objects = json_array();
	for (size_t i = 0; i < t->n_tablets; i++)
		json_array_append_new(tablets, encode_tablet(&t->tablets[i]));
	for (size_t i = 0; i < t->n_objects; i++) {
		const struct meta_object *o = &t->objects[i];
		json_array_append_new(
			objects, json_pack("{s:s, s:s, s:I, s:I, s:I}", "key", o->key, "etag",
		                           o->etag, "version", (json_int_t)o->version, "rows",
		                           (json_int_t)o->rows, "bytes", (json_int_t)o->bytes));
	}
	return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "k", "table", "def",
	                 meta_table_encode(t), "id", (json_int_t)t->id, "version",
	                 (json_int_t)t->version, "rows", (json_int_t)t->rows, "bytes",
	                 (json_int_t)t->bytes, "tablets", tablets, "objects", objects);
}

static json_t *encode_load(const struct meta_load *l)
{
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "k",
	                 "load", "txn", (json_int_t)l->txn, "db", l->db, "label", l->label, "user",
	                 l->user, "state", l->state, "reason", l->reason, "table",
	                 (json_int_t)l->table, "ts", (json_int_t)l->ts, "version",
	                 (json_int_t)l->version, "rows", (json_int_t)l->rows, "bytes",
	                 (json_int_t)l->bytes);
}

void meta_snapshot_encode(const struct meta_state *s, struct buf *out)
{
	add_line(out, json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "k", "state", "v",
	                        META_STATE_VERSION, "cluster_id", (json_int_t)s->cluster_id,
	                        "applied", (json_int_t)s->applied, "next_id",
	                        (json_int_t)s->next_id, "next_txn", (json_int_t)s->next_txn));
	for (size_t i = 0; i < s->dbs.n; i++)
		add_line(out, json_pack("{s:s, s:I, s:s}", "k", "db", "id",
		                        (json_int_t)s->dbs.v[i].id, "name", s->dbs.v[i].name));
	for (size_t i = 0; i < s->nodes.n; i++) {
		const struct meta_node *n = &s->nodes.v[i];
		add_line(out,
		         json_pack("{s:s, s:I, s:s, s:s, s:i, s:b, s:I}", "k", "node", "id",
		                   (json_int_t)n->id, "role", n->role == META_BE ? "be" : "cn",
		                   "host", n->host, "port", n->heartbeat_port, "decommissioned",
		                   n->decommissioned, "added_ts", (json_int_t)n->added_ts));
	}
	for (size_t i = 0; i < s->tables.n; i++)
		add_line(out, encode_table(s->tables.v[i]));
	for (size_t i = 0; i < s->loads.n; i++)
		add_line(out, encode_load(s->loads.v[i]));
	for (size_t i = 0; i < s->users.n; i += 2)
		add_line(out, json_pack("{s:s, s:s, s:s}", "k", "user", "name", s->users.v[i],
		                        "hash", s->users.v[i + 1]));
	size_t at = 0;
	const char *name = NULL;
	void *value = NULL;
	while (map_next(s->variables, &at, &name, &value))
		add_line(out, json_pack("{s:s, s:s, s:s}", "k", "variable", "name", name, "value",
		                        (const char *)value));
}

static int decode_state(struct meta_state *s, const json_t *j, struct err *err)
{
	int64_t v = 0;
	int rc = meta_int(j, "v", 1, META_STATE_VERSION, &v, err);
	if (rc == 0)
		rc = meta_int(j, "cluster_id", 0, INT32_MAX, &s->cluster_id, err);
	if (rc == 0)
		rc = meta_int(j, "applied", 0, INT64_MAX, &s->applied, err);
	if (rc == 0)
		rc = meta_int(j, "next_id", META_FIRST_ID, INT64_MAX / 2, &s->next_id, err);
	if (rc == 0)
		rc = meta_int(j, "next_txn", 1, INT64_MAX / 2, &s->next_txn, err);
	return rc;
}

static int decode_db(struct meta_state *s, const json_t *j, struct err *err)
{
	int64_t id = 0;
	const char *name = meta_name(j, "name", err);
	if (!name || meta_int(j, "id", 1, s->next_id - 1, &id, err) < 0)
		return -EBADMSG;
	if (meta_state_db(s, name))
		return err_set(err, -EBADMSG, "database twice");
	meta_state_add_db(s, id, name);
	return 0;
}

static int decode_node(struct meta_state *s, const json_t *j, struct err *err)
{
	int64_t id = 0, port = 0, ts = 0;
	const char *host = meta_name(j, "host", err), *role = data_get_str(j, "role");
	if (!host || !role || meta_int(j, "id", 1, s->next_id - 1, &id, err) < 0 ||
	    meta_int(j, "port", 1, 65535, &port, err) < 0 ||
	    meta_int(j, "added_ts", 0, INT64_MAX, &ts, err) < 0)
		return -EBADMSG;
	if (s->nodes.n && s->nodes.v[s->nodes.n - 1].id >= id)
		return err_set(err, -EBADMSG, "nodes are not in order");
	vec_push(&s->nodes,
	         (struct meta_node){ .id = id,
	                             .role = strcmp(role, "cn") == 0 ? META_CN : META_BE,
	                             .host = xstrdup(host),
	                             .heartbeat_port = (int)port,
	                             .decommissioned = data_get_bool(j, "decommissioned", false),
	                             .added_ts = ts });
	return 0;
}

static int decode_tablet(const json_t *j, struct meta_tablet *t, struct err *err)
{
	const json_t *list = json_object_get(j, "rowsets");
	int rc = meta_int(j, "id", 1, INT64_MAX / 2, &t->id, err);
	if (rc == 0)
		rc = meta_replicas_decode(json_object_get(j, "replicas"), 0, t->replicas,
		                          &t->n_replicas, err);
	t->rowsets = xcalloc(json_array_size(list) + 1, sizeof(*t->rowsets));
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		struct meta_rowset *r = &t->rowsets[t->n_rowsets++];
		rc = meta_rowset_decode(json_array_get(list, i), r, err);
		if (rc == 0)
			rc = meta_int(json_array_get(list, i), "version", 1, INT64_MAX, &r->version,
			              err);
	}
	return rc;
}

static int decode_tablets(const json_t *list, struct meta_table *t, struct err *err)
{
	size_t n = t->storage == META_LOCAL ? (size_t)t->buckets : 0;
	if (json_array_size(list) != n)
		return err_set(err, -EBADMSG, "tablets: %zu are wanted", n);
	t->tablets = xcalloc(n + 1, sizeof(*t->tablets));
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct meta_tablet *tablet = &t->tablets[t->n_tablets++];
		tablet->bucket = (int)i;
		rc = decode_tablet(json_array_get(list, i), tablet, err);
		if (rc == 0 && tablet->id != t->tablets[0].id + (int64_t)i)
			rc = err_set(err, -EBADMSG, "tablets: ids are not consecutive");
	}
	return rc;
}

static int decode_objects(const json_t *list, struct meta_table *t, struct err *err)
{
	t->objects = xcalloc(json_array_size(list) + 1, sizeof(*t->objects));
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		struct meta_object *o = &t->objects[t->n_objects];
		rc = meta_object_decode(json_array_get(list, i), o, err);
		t->n_objects += rc == 0;
		if (rc == 0)
			rc = meta_int(json_array_get(list, i), "version", 1, INT64_MAX, &o->version,
			              err);
	}
	return rc;
}

static int decode_table(struct meta_state *s, const json_t *j, struct err *err)
{
	_cleanup_(meta_table_freep) struct meta_table *t = NULL;
	int64_t rows = 0, bytes = 0;
	int rc = meta_table_decode(json_object_get(j, "def"), &t, err);
	if (rc == 0)
		rc = meta_int(j, "id", 1, s->next_id - 1, &t->id, err);
	if (rc == 0)
		rc = meta_int(j, "version", 1, INT64_MAX - 1, &t->version, err);
	if (rc == 0)
		rc = meta_int(j, "rows", 0, INT64_MAX, &rows, err);
	if (rc == 0)
		rc = meta_int(j, "bytes", 0, INT64_MAX, &bytes, err);
	if (rc == 0)
		rc = decode_tablets(json_object_get(j, "tablets"), t, err);
	if (rc == 0)
		rc = decode_objects(json_object_get(j, "objects"), t, err);
	if (rc < 0)
		return rc;
	if (meta_state_table(s, t->db, t->name) || meta_state_table_by_id(s, t->id))
		return err_set(err, -EBADMSG, "table %s.%s twice", t->db, t->name);
	t->rows = (uint64_t)rows;
	t->bytes = (uint64_t)bytes;
	meta_state_add_table(s, TAKE_PTR(t));
	return 0;
}

static int decode_load(struct meta_state *s, const json_t *j, struct err *err)
{
	_cleanup_(meta_load_freep) struct meta_load *l = xcalloc(1, sizeof(*l));
	const struct data_field fields[] = {
		{ "db", DATA_STR, offsetof(struct meta_load, db), true },
		{ "label", DATA_STR, offsetof(struct meta_load, label), true },
		{ "user", DATA_STR, offsetof(struct meta_load, user), true },
		{ "state", DATA_STR, offsetof(struct meta_load, state), true },
		{ "reason", DATA_STR, offsetof(struct meta_load, reason), true },
		{ "txn", DATA_INT, offsetof(struct meta_load, txn), true },
		{ "table", DATA_INT, offsetof(struct meta_load, table), true },
		{ "ts", DATA_INT, offsetof(struct meta_load, ts), true },
		{ "version", DATA_INT, offsetof(struct meta_load, version), true },
		{ "rows", DATA_INT, offsetof(struct meta_load, rows), true },
		{ "bytes", DATA_INT, offsetof(struct meta_load, bytes), true },
	};
	int rc = data_decode(j, fields, ARRAY_LEN(fields), l, err);
	if (rc == 0)
		meta_state_add_load(s, TAKE_PTR(l));
	return rc;
}

static int decode_user(struct meta_state *s, const json_t *j, struct err *err)
{
	const char *name = meta_name(j, "name", err), *hash = data_get_str(j, "hash");
	if (!name || !hash)
		return -EBADMSG;
	meta_state_set_user(s, name, hash);
	return 0;
}

static int decode_variable(struct meta_state *s, const json_t *j, struct err *err)
{
	const char *name = meta_name(j, "name", err), *value = data_get_str(j, "value");
	if (!name || !value)
		return -EBADMSG;
	map_put(s->variables, name, xstrdup(value));
	return 0;
}

static int decode_line(struct meta_state *s, struct str line, bool first, struct err *err)
{
	static const struct {
		const char *kind;
		int (*decode)(struct meta_state *s, const json_t *j, struct err *err);
	} kinds[] = {
		{ "state", decode_state },       { "db", decode_db },     { "node", decode_node },
		{ "table", decode_table },       { "load", decode_load }, { "user", decode_user },
		{ "variable", decode_variable },
	};
	_cleanup_json_ json_t *j = NULL;
	int rc = data_json_parse(line, &j, err);
	if (rc < 0)
		return rc;
	const char *kind = data_get_str(j, "k");
	for (size_t i = 0; kind && i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kind, kinds[i].kind) == 0 && first == (i == 0))
			return kinds[i].decode(s, j, err);
	}
	return err_set(err, -EBADMSG, "an entry of kind %.32s is not known or out of order",
	               kind ? kind : "?");
}

int meta_snapshot_decode(struct str bytes, struct meta_state *s, struct err *err)
{
	struct str line;
	size_t number = 0;
	while (str_split(&bytes, '\n', &line)) {
		if (line.len == 0 && bytes.p == NULL)
			break; /* after the last newline */
		number++;
		if (decode_line(s, line, number == 1, err) < 0) {
			(void)err_wrap(err, "snapshot line %zu", number);
			return err->code = -EBADMSG;
		}
	}
	return number ? 0 : err_set(err, -EBADMSG, "empty snapshot");
}
