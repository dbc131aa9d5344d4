#include "engine/cluster/cluster.h"
#include "engine/sql/run.h"
#include "lib/data/json.h"

enum { REPLICATION_DEFAULT = 3, BUCKETS_DEFAULT_MAX = 16 };

static int refuse_system(const char *db, struct err *err)
{
	if (!str_caseeqs(str_of(db), "information_schema"))
		return 0;
	return err_set(err, SQL_ERR(1044), "Access denied: database '%s' is the system's", db);
}

int sql_run_create_database(struct sql_session *s, const struct sql_statement *st,
                            struct sql_sink *sink, struct err *err)
{
	int rc = refuse_system(st->name, err);
	if (rc == 0)
		rc = sql_session_submit(
			s, META_CREATE_DATABASE,
			json_pack("{s:s, s:b}", "name", st->name, "if_not_exists", st->if_exists),
			err);
	return rc < 0 ? rc : sink->ok(sink, 0, NULL, err);
}

int sql_run_drop_database(struct sql_session *s, const struct sql_statement *st,
                          struct sql_sink *sink, struct err *err)
{
	int rc = refuse_system(st->name, err);
	if (rc == 0)
		rc = sql_session_submit(
			s, META_DROP_DATABASE,
			json_pack("{s:s, s:b}", "name", st->name, "if_exists", st->if_exists), err);
	if (rc < 0)
		return rc;
	if (strcmp(s->db, st->name) == 0)
		s->db[0] = '\0';
	return sink->ok(sink, 0, NULL, err);
}

static int change_table(struct sql_session *s, const struct sql_statement *st,
                        enum meta_command command, struct sql_sink *sink, struct err *err)
{
	const char *db = NULL;
	int rc = sql_session_resolve(s, st->db, &db, err);
	if (rc == 0)
		rc = refuse_system(db, err);
	if (rc == 0)
		rc = sql_session_submit(s, command,
		                        json_pack("{s:s, s:s, s:b}", "db", db, "name", st->name,
		                                  "if_exists", st->if_exists),
		                        err);
	return rc < 0 ? rc : sink->ok(sink, 0, NULL, err);
}

int sql_run_drop_table(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                       struct err *err)
{
	return change_table(s, st, META_DROP_TABLE, sink, err);
}

int sql_run_truncate_table(struct sql_session *s, const struct sql_statement *st,
                           struct sql_sink *sink, struct err *err)
{
	return change_table(s, st, META_TRUNCATE_TABLE, sink, err);
}

static json_t *columns_json(const struct sql_create_table *c)
{
	json_t *columns = json_array();
	for (size_t i = 0; i < c->columns.n; i++) {
		const struct sql_column_def *d = &c->columns.v[i];
		json_array_append_new(
			columns, json_pack("{s:s, s:s, s:s, s:b, s:b, s:s*, s:s*}", "name", d->name,
		                           "type", d->type.type, "declared", d->type.declared,
		                           "nullable", d->nullable, "key", i < c->keys.n, "default",
		                           d->default_text, "comment", d->comment));
	}
	return columns;
}

static json_t *names_json(const sql_names *names)
{
	json_t *list = json_array();
	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(list, json_string(names->v[i]));
	return list;
}

/* The properties of StarRocks that are accepted; most have no meaning here and only travel along. */
static int check_properties(const json_t *properties, struct err *err)
{
	static const char *const known[] = {
		"replication_num",
		"storage_volume",
		"storage_format",
		"storage_medium",
		"storage_cooldown_time",
		"storage_cooldown_ttl",
		"compression",
		"in_memory",
		"replicated_storage",
		"bucket_size",
		"datacache.enable",
		"datacache.partition_duration",
		"enable_async_write_back",
		"fast_schema_evolution",
		"light_schema_change",
		"write_quorum",
		"bloom_filter_columns",
		"mutable_bucket_num",
	};
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)properties, name, value)
	{
		size_t i = 0;
		while (i < ARRAY_LEN(known) && strcmp(known[i], name) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(err, SQL_ERR(1064), "Unknown properties: {%s=%s}", name,
			               json_string_value(value));
	}
	const char *volume = data_get_str(properties, "storage_volume");
	if (volume && strcmp(volume, "builtin_storage_volume") != 0)
		return err_set(err, SQL_ERR(1064),
		               "Unknown storage volume \"%s\" (there is builtin_storage_volume)",
		               volume);
	return 0;
}

/* Live backends that may take tablets. */
static size_t usable_backends(struct sql_session *s, struct cluster_node **ret)
{
	struct cluster_node *nodes = xcalloc(CLUSTER_NODES_MAX, sizeof(*nodes));
	size_t n = cluster_nodes(s->server->cluster, 1u << META_BE, nodes, CLUSTER_NODES_MAX);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (nodes[i].alive && !nodes[i].decommissioned && !nodes[i].draining)
			nodes[kept++] = nodes[i];
	}
	*ret = nodes;
	return kept;
}

static int choose_replication(const json_t *properties, const char *table,
                              const struct cluster_node *nodes, size_t n, int64_t *ret,
                              struct err *err)
{
	const char *text = data_get_str(properties, "replication_num");
	/* StarRocks' default is 3 and fails below three backends; see docs/decisions/0052. */
	int64_t want = n < REPLICATION_DEFAULT ? (int64_t)n : REPLICATION_DEFAULT;
	if (want < 1)
		want = 1;
	if (text && (str_to_i64(str_of(text), &want) < 0 || want < 1 || want > META_REPLICAS_MAX))
		return err_set(err, SQL_ERR(1064), "Invalid replication_num '%s': 1 to %d", text,
		               META_REPLICAS_MAX);
	if ((uint64_t)want > n) {
		_cleanup_buf_ struct buf alive = BUF_INIT(200);
		for (size_t i = 0; i < n; i++)
			(void)buf_addf(&alive, "%s%lld", i ? "," : "", (long long)nodes[i].id);
		return err_set(
			err, SQL_ERR(1064),
			"Table replication num should be less than or equal to the number of "
			"available BE nodes. You can change this default by setting the "
			"replication_num table properties. Current alive backend is [%s]. , "
			"table=%s",
			buf_cstr(&alive), table);
	}
	*ret = want;
	return 0;
}

/* For each bucket the least loaded backends, each at most once. */
static json_t *place(struct cluster_node *nodes, size_t n, int64_t buckets, int64_t replication)
{
	json_t *places = json_array();
	autofree bool *used = xcalloc(n ? n : 1, sizeof(*used));
	for (int64_t b = 0; b < buckets; b++) {
		json_t *list = json_array();
		memset(used, 0, n * sizeof(*used));
		for (int64_t r = 0; r < replication; r++) {
			size_t best = n;
			for (size_t i = 0; i < n; i++) {
				if (!used[i] &&
				    (best == n || nodes[i].tablets < nodes[best].tablets))
					best = i;
			}
			used[best] = true;
			nodes[best].tablets++;
			json_array_append_new(list, json_integer(nodes[best].id));
		}
		json_array_append_new(places, list);
	}
	return places;
}

static json_t *table_properties(const struct sql_create_table *c)
{
	json_t *properties = json_copy(c->properties);
	_cleanup_buf_ struct buf order = BUF_INIT(64 * 1024);
	for (size_t i = 0; i < c->order_by.n; i++)
		(void)buf_addf(&order, "%s`%s`", i ? ", " : "", c->order_by.v[i]);
	if (order.len)
		json_object_set_new(properties, "roost.order_by", json_string(order.p));
	return properties;
}

int sql_run_create_table(struct sql_session *s, const struct sql_statement *st,
                         struct sql_sink *sink, struct err *err)
{
	const struct sql_create_table *c = st->create;
	const char *db = NULL;
	int rc = sql_session_resolve(s, st->db, &db, err);
	if (rc == 0)
		rc = refuse_system(db, err);
	if (rc == 0)
		rc = check_properties(c->properties, err);
	if (rc < 0)
		return rc;
	bool bucket = data_get_str(c->properties, "storage_volume") != NULL;
	if (bucket && !s->server->s3_json)
		return err_set(
			err, SQL_ERR(1064),
			"storage_volume: builtin_storage_volume has no bucket: set aws_s3_path, "
			"aws_s3_endpoint and the keys in fe.conf");
	autofree struct cluster_node *nodes = NULL;
	size_t n = usable_backends(s, &nodes);
	int64_t replication = 1, buckets = c->buckets;
	if (!bucket)
		rc = choose_replication(c->properties, st->name, nodes, n, &replication, err);
	if (rc < 0)
		return rc;
	if (!buckets)
		buckets = bucket || n < 1           ? 1
		          : n > BUCKETS_DEFAULT_MAX ? BUCKETS_DEFAULT_MAX
		                                    : (int64_t)n;
	json_t *payload = json_pack(
		"{s:s, s:s, s:b, s:o, s:s, s:o, s:o, s:I, s:I, s:s, s:o, s:s*, s:o}", "db", db,
		"name", st->name, "if_not_exists", st->if_exists, "columns", columns_json(c),
		"keys_type", "DUPLICATE", "keys", names_json(&c->keys), "distribution",
		names_json(&c->distribution), "buckets", (json_int_t)buckets, "replication_num",
		(json_int_t)replication, "storage", bucket ? "bucket" : "local", "properties",
		table_properties(c), "comment", c->comment, "replicas",
		bucket ? json_array() : place(nodes, n, buckets, replication));
	rc = sql_session_submit(s, META_CREATE_TABLE, payload, err);
	return rc < 0 ? rc : sink->ok(sink, 0, NULL, err);
}
