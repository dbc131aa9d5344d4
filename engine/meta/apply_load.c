#include "engine/meta/state.h"

#include "lib/data/json.h"

enum { REASON_MAX = 1024 };

/* What a load brings, checked before anything changes. */
struct pieces {
	size_t n;
	struct meta_rowset *rowsets; /* META_LOCAL, with their tablets */
	struct meta_tablet **tablets;
	struct meta_object *objects; /* META_BUCKET */
};

static void pieces_free(struct pieces *p)
{
	for (size_t i = 0; p->objects && i < p->n; i++) {
		free(p->objects[i].key);
		free(p->objects[i].etag);
	}
	free(p->rowsets);
	free(p->tablets);
	free(p->objects);
}

static int decode_rowset(const json_t *j, struct meta_table *t, struct pieces *out, struct err *err)
{
	int64_t id = 0;
	int rc = meta_int(j, "tablet", 1, INT64_MAX, &id, err);
	if (rc == 0)
		rc = meta_rowset_decode(j, &out->rowsets[out->n], err);
	if (rc < 0)
		return rc;
	if (id < t->tablets[0].id || id > t->tablets[t->n_tablets - 1].id)
		return err_set(err, SQL_ERR(1105), "tablet %lld is not of table %s.%s",
		               (long long)id, t->db, t->name);
	out->tablets[out->n++] = &t->tablets[id - t->tablets[0].id];
	return 0;
}

static int decode_pieces(const json_t *p, struct meta_table *t, struct pieces *out, struct err *err)
{
	const char *field = t->storage == META_LOCAL ? "rowsets" : "objects";
	const json_t *list = json_object_get(p, field);
	size_t n = json_array_size(list);
	if (!json_is_array(list) || n > META_PIECES_MAX)
		return err_set(err, SQL_ERR(1105), "%s: a list of at most %d is wanted", field,
		               META_PIECES_MAX);
	out->rowsets = xcalloc(n + 1, sizeof(*out->rowsets));
	out->tablets = xcalloc(n + 1, sizeof(struct meta_tablet *));
	out->objects = xcalloc(n + 1, sizeof(*out->objects));
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *j = json_array_get(list, i);
		if (t->storage == META_LOCAL) {
			rc = decode_rowset(j, t, out, err);
		} else {
			rc = meta_object_decode(j, &out->objects[out->n], err);
			out->n += rc == 0;
		}
	}
	return rc;
}

/* Cannot fail: takes over what the pieces own. */
static void add_pieces(struct meta_table *t, struct pieces *p, int64_t version)
{
	for (size_t i = 0; t->storage == META_LOCAL && i < p->n; i++) {
		struct meta_tablet *tablet = p->tablets[i];
		tablet->rowsets = xreallocarray(tablet->rowsets, tablet->n_rowsets + 1,
		                                sizeof(*tablet->rowsets));
		p->rowsets[i].version = version;
		tablet->rowsets[tablet->n_rowsets++] = p->rowsets[i];
	}
	if (t->storage == META_LOCAL || p->n == 0)
		return;
	t->objects = xreallocarray(t->objects, t->n_objects + p->n, sizeof(*t->objects));
	for (size_t i = 0; i < p->n; i++) {
		p->objects[i].version = version;
		t->objects[t->n_objects++] = p->objects[i];
	}
	p->n = 0; /* key and etag have a new owner */
}

static int decode_load(const json_t *p, struct meta_load **ret, struct err *err)
{
	_cleanup_(meta_load_freep) struct meta_load *l = xcalloc(1, sizeof(*l));
	const char *db = meta_name(p, "db", err);
	const char *label = db ? meta_name(p, "label", err) : NULL;
	if (!label)
		return SQL_ERR(1064);
	int rc = meta_int(p, "txn", 1, INT64_MAX, &l->txn, err);
	if (rc == 0)
		rc = meta_int(p, "ts", 0, INT64_MAX, &l->ts, err);
	if (rc < 0)
		return rc;
	const char *user = data_get_str(p, "user");
	l->db = xstrdup(db);
	l->label = xstrdup(label);
	l->user = user ? xstrndup(user, META_NAME_MAX) : xstrdup("");
	*ret = TAKE_PTR(l);
	return 0;
}

int meta_apply_commit_load(struct meta_state *s, const json_t *p, json_t **ret_result,
                           struct err *err)
{
	_cleanup_(meta_load_freep) struct meta_load *l = NULL;
	int rc = decode_load(p, &l, err);
	int64_t rows = 0, bytes = 0;
	if (rc == 0)
		rc = meta_int(p, "table", 1, INT64_MAX, &l->table, err);
	if (rc == 0)
		rc = meta_int(p, "rows", 0, INT64_MAX, &rows, err);
	if (rc == 0)
		rc = meta_int(p, "bytes", 0, INT64_MAX, &bytes, err);
	if (rc < 0)
		return rc;
	const struct meta_load *same = meta_state_load(s, l->db, l->label);
	if (same && same->txn == l->txn && strcmp(same->state, "FINISHED") == 0) {
		*ret_result = json_pack("{s:I}", "version", (json_int_t)same->version);
		return 0;
	}
	if (same && (same->txn == l->txn || strcmp(same->state, "FINISHED") == 0))
		return err_set(err, SQL_ERR(1105), "Label [%s] is %s already", l->label,
		               same->state);
	struct meta_table *t = meta_state_table_by_id(s, l->table);
	if (!t)
		return err_set(err, SQL_ERR(1146), "Table %lld doesn't exist any more",
		               (long long)l->table);
	struct pieces pieces = { 0 };
	rc = decode_pieces(p, t, &pieces, err);
	if (rc == 0) {
		l->version = ++t->version;
		l->rows = (uint64_t)rows;
		l->bytes = (uint64_t)bytes;
		l->state = xstrdup("FINISHED");
		l->reason = xstrdup("");
		t->rows += l->rows;
		t->bytes += l->bytes;
		add_pieces(t, &pieces, l->version);
		*ret_result = json_pack("{s:I}", "version", (json_int_t)l->version);
		meta_state_add_load(s, TAKE_PTR(l));
	}
	pieces_free(&pieces);
	return rc;
}

int meta_apply_abort_load(struct meta_state *s, const json_t *p, json_t **ret_result,
                          struct err *err)
{
	_cleanup_(meta_load_freep) struct meta_load *l = NULL;
	int rc = decode_load(p, &l, err);
	if (rc < 0)
		return rc;
	const struct meta_load *same = meta_state_load(s, l->db, l->label);
	if (same && (same->txn == l->txn || strcmp(same->state, "FINISHED") == 0))
		return err_set(err, SQL_ERR(1105), "Label [%s] is %s already", l->label,
		               same->state);
	const char *reason = data_get_str(p, "reason");
	l->reason = reason ? xstrndup(reason, REASON_MAX) : xstrdup("");
	l->state = xstrdup("CANCELLED");
	*ret_result = json_object();
	meta_state_add_load(s, TAKE_PTR(l));
	return 0;
}
