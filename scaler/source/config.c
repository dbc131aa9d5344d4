#include "scaler/source/config.h"

#include <errno.h>
#include <math.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "lib/data/yaml.h"

enum {
	CONFIG_MAX = 4 * 1024 * 1024,
	SECONDS_MAX = 86400,
	NAME_MAX_ = 253,
	FE_HTTP_PORT = 8030,
	FE_QUERY_PORT = 9030
};

const char *const source_role_pool[SOURCE_ROLES] = { [SOURCE_CN] = "cn", [SOURCE_BE] = "be" };

/* ---- fields ----------------------------------------------------------------------------------- */

/* 5, 2.5, "5s", "500ms", "2m". */
static int take_ms(const json_t *j, const char *path, int64_t *ret, struct err *err)
{
	const json_t *v = data_get(j, path);
	double n = -1, unit = 1000;
	if (!v)
		return 0;
	if (json_is_string(v)) {
		struct str s = str_of(json_string_value(v));
		unit = str_ends(s, "ms")  ? 1
		       : str_ends(s, "s") ? 1000
		       : str_ends(s, "m") ? 60000
		                          : 0;
		s.len -= unit <= 0 ? 0 : str_ends(s, "ms") ? 2 : 1;
		if (unit <= 0 || str_to_double(str_trim(s), &n) < 0)
			n = -1;
	} else if (json_is_number(v)) {
		n = json_number_value(v);
	}
	if (!(n >= 0) || n * unit > (double)SECONDS_MAX * 1000)
		return err_set(err, -EINVAL,
		               "%s must be a time from 0 to %d s: a number of seconds, or like "
		               "\"500ms\", \"5s\", \"2m\"",
		               path, SECONDS_MAX);
	*ret = (int64_t)llround(n * unit);
	return 0;
}

static int take_int(const json_t *j, const char *path, int64_t min, int64_t max, int64_t *ret,
                    struct err *err)
{
	const json_t *v = data_get(j, path);
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return err_set(err, -EINVAL, "%s must be an integer from %lld to %lld", path,
		               (long long)min, (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

static bool plain_name(const char *s)
{
	size_t n = s ? strlen(s) : 0;
	return n > 0 && n <= NAME_MAX_ && s[0] != '.' /* a path cannot name it */ &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static int take_name(const json_t *j, const char *path, const char *absent, char **ret,
                     struct err *err)
{
	const json_t *v = data_get(j, path);
	const char *s = v ? json_string_value(v) : absent;
	if (!plain_name(s))
		return err_set(err, -EINVAL,
		               "%s must be a name of letters, digits, \"-\", \".\" and \"_\", "
		               "no \".\" first",
		               path);
	*ret = xstrdup(s);
	return 0;
}

static int refuse_unknown(const json_t *j, const char *const *known, struct err *err)
{
	const char *key;
	const json_t *value;
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		bool found = false;
		for (size_t i = 0; known[i] && !found; i++)
			found = strcmp(known[i], key) == 0;
		if (!found)
			return err_set(err, -EINVAL, "unknown field \"%.60s\"", key);
	}
	return 0;
}

static int take_limits(const json_t *j, struct source_limits *l, struct err *err)
{
	int64_t wait_ms = SOURCE_WAIT_TARGET_S * 1000;
	int rc;
	l->max = 1;
	l->scale_in_window_ms = SOURCE_WINDOW_S * 1000;
	l->replicas = -1;
	if ((rc = take_int(j, "slotsPerNode", 1, 1024, &l->slots_per_node, err)) < 0 ||
	    (rc = take_int(j, "minReplicas", 0, SOURCE_REPLICAS_MAX, &l->min, err)) < 0)
		return rc;
	l->max = l->min > 1 ? l->min : 1;
	if ((rc = take_int(j, "maxReplicas", 1, SOURCE_REPLICAS_MAX, &l->max, err)) < 0 ||
	    (rc = take_ms(j, "waitTarget", &wait_ms, err)) < 0 ||
	    (rc = take_ms(j, "waitTargetSeconds", &wait_ms, err)) < 0 ||
	    (rc = take_ms(j, "scaleInWindow", &l->scale_in_window_ms, err)) < 0 ||
	    (rc = take_ms(j, "scaleInWindowSeconds", &l->scale_in_window_ms, err)) < 0)
		return rc;
	l->wait_target_s = (double)wait_ms / 1000;
	if (l->min > l->max)
		return err_set(err, -EINVAL, "minReplicas must not be above maxReplicas");
	return 0;
}

/* ---- the file --------------------------------------------------------------------------------- */

static const char *const top_fields[] = { "clusters", "tokenFile", "maxAge", "feCa", NULL };
static const char *const cluster_fields[] = {
	"namespace",   "name",        "pool",          "fe",
	"queryPort",   "userFile",    "passwordFile",  "slotsPerNode",
	"minReplicas", "maxReplicas", "waitTarget",    "scaleInWindow",
	"tokenFile",   "sqlCaFile",   "sqlServerName", NULL
};

/* "host:port", an IPv6 host in brackets. */
static bool host_and_port(const char *s)
{
	const char *colon = s ? strrchr(s, ':') : NULL;
	uint64_t port = 0;
	if (!colon || colon == s || str_to_u64(str_of(colon + 1), &port) < 0 || port < 1 ||
	    port > 65535 || strpbrk(s, "/@?# \t\r\n"))
		return false;
	struct str host = { s, (size_t)(colon - s) };
	bool bracketed = str_starts(host, "[") && str_ends(host, "]");
	return bracketed || !memchr(host.p, ':', host.len);
}

static int take_path(const json_t *j, const char *name, char **ret, struct err *err)
{
	const json_t *v = data_get(j, name);
	if (!v)
		return 0;
	if (!json_is_string(v) || json_string_length(v) == 0)
		return err_set(err, -EINVAL, "%s must be the path of a file", name);
	*ret = xstrdup(json_string_value(v));
	return 0;
}

/* With userFile or passwordFile the FE is StarRocks' own: its queue is read by SQL. */
static int take_login(const json_t *j, const char *fe, bool https, struct source_login *l,
                      struct err *err)
{
	int64_t port = FE_QUERY_PORT;
	uint64_t http = 0;
	int rc = take_int(j, "queryPort", 1, 65535, &port, err);
	if (rc == 0)
		rc = take_path(j, "userFile", &l->user_file, err);
	if (rc == 0)
		rc = take_path(j, "passwordFile", &l->password_file, err);
	if (rc == 0)
		rc = take_path(j, "sqlCaFile", &l->ca_file, err);
	if (rc < 0)
		return rc;
	bool sql = l->user_file || l->password_file;
	if ((l->ca_file && !sql) || (data_get(j, "sqlServerName") && !l->ca_file))
		return err_set(err, -EINVAL,
		               "sqlServerName goes with sqlCaFile, and that with userFile or "
		               "passwordFile");
	if (!sql)
		return 0;
	const char *colon = strrchr(fe, ':');
	bool bracketed = fe[0] == '[';
	(void)str_to_u64(str_of(colon + 1), &http);
	l->host = xstrndup(fe + bracketed, (size_t)(colon - fe) - 2 * (size_t)bracketed);
	if (l->ca_file && (rc = take_name(j, "sqlServerName", l->host, &l->tls_name, err)) < 0)
		return rc;
	l->query_port = (int)port;
	l->http_port = (int)http;
	l->https = https;
	return 0;
}

static int take_cluster(const json_t *j, const char *token_file, struct source_target *t,
                        struct err *err)
{
	int rc;
	if (!json_is_object(j))
		return err_set(err, -EINVAL, "must be an object");
	if ((rc = refuse_unknown(j, cluster_fields, err)) < 0 ||
	    (rc = take_name(j, "namespace", NULL, &t->ns, err)) < 0 ||
	    (rc = take_name(j, "name", NULL, &t->cluster, err)) < 0 ||
	    (rc = take_name(j, "pool", "cn", &t->pool, err)) < 0 ||
	    (rc = take_limits(j, &t->limits, err)) < 0)
		return rc;
	t->role = strcmp(t->pool, source_role_pool[SOURCE_BE]) == 0 ? SOURCE_BE : SOURCE_CN;
	const char *j_fe = data_get_str(j, "fe"), *own = data_get_str(j, "tokenFile");
	const char *fe = j_fe && str_starts(str_of(j_fe), "https://") ? j_fe + 8 : j_fe;
	if (!host_and_port(fe))
		return err_set(err, -EINVAL,
		               "fe must be \"host:http_port\", or \"https://host:http_port\"");
	bool https = str_starts(str_of(j_fe), "https://");
	t->url = xasprintf("%s://%s/api/roost/load", https ? "https" : "http", fe);
	if ((rc = take_login(j, fe, https, &t->login, err)) < 0)
		return rc;
	t->token_file = own ? xstrdup(own) : token_file ? xstrdup(token_file) : NULL;
	return 0;
}

static int take_clusters(const json_t *list, struct source_config *c, struct err *err)
{
	size_t i;
	const json_t *j;
	if (list && (!json_is_array(list) || json_array_size(list) > SOURCE_POOLS_MAX))
		return err_set(err, -EINVAL, "clusters must be a list of at most %d",
		               SOURCE_POOLS_MAX);
	c->targets = xcalloc(json_array_size(list) + 1, sizeof(c->targets[0]));
	_cleanup_(map_freep) struct map *seen = map_new(NULL);
	json_array_foreach(list, i, j)
	{
		struct source_target t = { 0 };
		int rc = take_cluster(j, c->token_file, &t, err);
		autofree char *key = rc == 0 ? source_key(t.ns, t.cluster, t.pool) : NULL;
		if (rc == 0 && map_get(seen, key))
			rc = err_set(err, -EINVAL, "the pool %s is there twice", key);
		if (rc < 0) {
			source_target_free(&t);
			return err_wrap(err, "clusters[%zu]", i);
		}
		map_put(seen, key, c);
		c->targets[c->n++] = t;
	}
	return 0;
}

int source_config_parse(struct str text, struct source_config *ret, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	_cleanup_(source_config_free) struct source_config c = { .max_age_ms = SOURCE_MAX_AGE_MS };
	int rc = data_yaml_parse(text, &j, err);
	if (rc == 0 && !json_is_object(j))
		rc = err_set(err, -EINVAL, "the file must be an object with \"clusters\"");
	if (rc == 0)
		rc = refuse_unknown(j, top_fields, err);
	if (rc == 0 && data_get(j, "tokenFile") && !data_get_str(j, "tokenFile"))
		rc = err_set(err, -EINVAL, "tokenFile must be the path of a file");
	if (rc < 0)
		return rc;
	const char *token_file = data_get_str(j, "tokenFile");
	c.token_file = token_file ? xstrdup(token_file) : NULL;
	rc = take_path(j, "feCa", &c.fe_ca, err);
	if (rc == 0)
		rc = take_ms(j, "maxAge", &c.max_age_ms, err);
	if (rc == 0 && c.max_age_ms < 1000)
		rc = err_set(err, -EINVAL,
		             "maxAge must be 1 s or more: the load is read twice a second");
	if (rc == 0)
		rc = take_clusters(data_get(j, "clusters"), &c, err);
	if (rc < 0)
		return rc;
	*ret = c;
	c = (struct source_config){ 0 };
	return 0;
}

int source_config_read(const char *path, struct source_config *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CONFIG_MAX);
	int rc = fd_read_file(path, &text, err);
	if (rc < 0)
		return rc;
	rc = source_config_parse((struct str){ buf_cstr(&text), text.len }, ret, err);
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

void source_config_free_targets(struct source_config *c)
{
	for (size_t i = 0; c->targets && i < c->n; i++)
		source_target_free(&c->targets[i]);
	free(c->targets);
	c->targets = NULL;
}

void source_config_free(struct source_config *c)
{
	source_config_free_targets(c);
	free(c->token_file);
	free(c->fe_ca);
	*c = (struct source_config){ 0 };
}

/* ---- a StarRocksCluster ----------------------------------------------------------------------- */

/* Where root's password is; without any root has none. */
static void take_password(const json_t *cr, struct source_login *l)
{
	const char *name = data_get_str(cr, "spec.rootPasswordSecret.name");
	const char *key = data_get_str(cr, "spec.rootPasswordSecret.key");
	size_t i;
	const json_t *e;
	key = name && !key ? "password" : key;
	json_array_foreach(data_get(cr, "spec.starRocksFeSpec.feEnvVars"), i, e)
	{
		const char *variable = data_get_str(e, "name"), *value = data_get_str(e, "value");
		if (name || !variable || strcmp(variable, "MYSQL_PWD") != 0)
			continue;
		name = data_get_str(e, "valueFrom.secretKeyRef.name");
		key = data_get_str(e, "valueFrom.secretKeyRef.key");
		if (!name && value && !l->password)
			l->password = xstrdup(value);
	}
	if (!name || !key || !plain_name(name))
		return;
	mem_free_secret(l->password);
	l->password = NULL;
	l->secret = xstrdup(name);
	l->secret_key = xstrdup(key);
}

/* The operator tells so in the status: whether its own user is refused is for it to find out, not for us. */
static bool root_goes_on(const json_t *cr)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(cr, "status.conditions"), i, c)
	{
		const char *type = data_get_str(c, "type"), *status = data_get_str(c, "status");
		if (type && status && strcmp(type, "RootSql") == 0 && strcmp(status, "True") == 0)
			return true;
	}
	return false;
}

/* The operator's own user (decision 0124), else root. */
static void take_user(const json_t *cr, const char *cluster, struct source_login *l)
{
	const char *user = data_get_str(cr, "spec.sqlUser.name");
	bool wanted = data_get_bool(cr, "spec.sqlUser.enabled", false);
	l->root_instead = wanted && root_goes_on(cr);
	if (!wanted || l->root_instead) {
		take_password(cr, l);
		return;
	}
	l->user = xstrdup(user ? user : "roost_operator");
	l->secret = xasprintf("%s-roost-sql", cluster);
	l->secret_key = xstrdup("password");
}

/* Over TLS to a name, or not at all (decision 0125). */
static int take_tls(const json_t *cr, const char *service, struct source_login *l, struct err *err)
{
	const json_t *tls = data_get(cr, "spec.tls");
	if (!tls || json_is_null(tls))
		return 0;
	int rc = 0;
	if (data_get(tls, "caSecretName"))
		rc = take_name(tls, "caSecretName", NULL, &l->ca_secret, err);
	else
		rc = take_name(tls, "secretName", NULL, &l->ca_secret, err);
	if (rc == 0)
		rc = take_name(tls, "serverName", service, &l->tls_name, err);
	return rc < 0 ? err_wrap(err, "spec.tls") : 0;
}

static int take_way_in(const json_t *cr, const char *dns_suffix, struct source_target *t,
                       struct err *err)
{
	const char *engine = data_get_str(cr, "metadata.annotations.roost\\.io/engine");
	t->url = xasprintf("http://%s-fe-service.%s.svc:%d/api/roost/load", t->cluster, t->ns,
	                   FE_HTTP_PORT);
	if (engine && strcmp(engine, "true") == 0) {
		t->token_later = true;
		return 0;
	}
	autofree char *service = xasprintf("%s-fe-service.%s.%s", t->cluster, t->ns,
	                                   dns_suffix ? dns_suffix : SOURCE_DNS_SUFFIX);
	t->login.host = xasprintf("%s-fe-service.%s.svc", t->cluster, t->ns);
	t->login.query_port = FE_QUERY_PORT;
	t->login.http_port = FE_HTTP_PORT;
	take_user(cr, t->cluster, &t->login);
	return take_tls(cr, service, &t->login, err);
}

/* NULL: these nodes are no pool. */
static const json_t *scaling_of(const json_t *cr, const json_t *spec, enum source_role role)
{
	const json_t *scaling = data_get(spec, "roostAutoscaling");
	if (!json_is_object(scaling) && role == SOURCE_CN)
		scaling = data_get(spec, "autoScalingPolicy");
	bool wanted = json_is_object(scaling) && data_get_bool(scaling, "enabled", true) &&
	              !data_get(cr, "metadata.deletionTimestamp");
	return wanted ? scaling : NULL;
}

int source_target_of_cr(const json_t *cr, enum source_role role, const char *dns_suffix,
                        struct source_target *ret, struct err *err)
{
	const json_t *spec =
		data_get(cr, role == SOURCE_CN ? "spec.starRocksCnSpec" : "spec.starRocksBeSpec");
	const json_t *scaling = scaling_of(cr, spec, role);
	if (!scaling)
		return SOURCE_NO_POOL;
	struct source_target t = { .role = role };
	int rc = take_name(cr, "metadata.namespace", NULL, &t.ns, err);
	if (rc == 0)
		rc = take_name(cr, "metadata.name", NULL, &t.cluster, err);
	if (rc == 0)
		rc = take_limits(scaling, &t.limits, err);
	if (rc == 0)
		rc = take_way_in(cr, dns_suffix, &t, err);
	if (rc < 0) {
		source_target_free(&t);
		return rc;
	}
	t.limits.replicas = data_get_int(spec, "replicas", -1);
	t.pool = xstrdup(source_role_pool[role]);
	const char *uid = data_get_str(cr, "metadata.uid");
	t.uid = uid ? xstrdup(uid) : NULL;
	*ret = t;
	return 0;
}

/* ---- a StarRocksWarehouse --------------------------------------------------------------------- */

static int may_ask(const json_t *cluster, const char *ns, const char *fe_ns, struct err *err)
{
	const char *engine = data_get_str(cluster, "metadata.annotations.roost\\.io/engine");
	if (engine && strcmp(engine, "true") == 0)
		return err_set(err, -ENOTSUP, "Roost's own engine has no warehouses");
	if (strcmp(ns, fe_ns) != 0 && !data_has(data_get(cluster, "spec.warehouseNamespaces"), ns))
		return err_set(err, -EPERM,
		               "its cluster does not name namespace %s in spec.warehouseNamespaces",
		               ns);
	return 0;
}

/* As the nodes' entrypoint names it. */
static char *sql_name(const char *name)
{
	char *sql = xstrdup(name);
	for (char *p = sql; *p; p++)
		if (*p == '-')
			*p = '_';
	return sql;
}

int source_target_of_warehouse(const json_t *cr, const json_t *cluster, const char *dns_suffix,
                               struct source_target *ret, struct err *err)
{
	const json_t *spec = data_get(cr, "spec.template");
	const json_t *scaling = scaling_of(cr, spec, SOURCE_CN);
	autofree char *ns = NULL, *name = NULL;
	struct source_target t = { .role = SOURCE_CN };
	if (!scaling)
		return SOURCE_NO_POOL;
	int rc = take_name(cr, "metadata.namespace", NULL, &ns, err);
	if (rc == 0)
		rc = take_name(cr, "metadata.name", NULL, &name, err);
	/* At first it is the cluster's: that is whose FE is asked. */
	if (rc == 0)
		rc = take_name(cluster, "metadata.namespace", NULL, &t.ns, err);
	if (rc == 0)
		rc = take_name(cluster, "metadata.name", NULL, &t.cluster, err);
	if (rc == 0)
		rc = may_ask(cluster, ns, t.ns, err);
	if (rc == 0)
		rc = take_limits(scaling, &t.limits, err);
	if (rc == 0)
		rc = take_way_in(cluster, dns_suffix, &t, err);
	if (rc < 0) {
		source_target_free(&t);
		return rc;
	}
	t.fe_ns = t.ns;
	t.ns = TAKE_PTR(ns);
	free(t.cluster);
	t.cluster = xasprintf("%s-warehouse", name);
	t.house = sql_name(name);
	t.limits.replicas = data_get_int(spec, "replicas", -1);
	t.pool = xstrdup(source_role_pool[SOURCE_CN]);
	const char *uid = data_get_str(cr, "metadata.uid");
	t.uid = uid ? xstrdup(uid) : NULL;
	*ret = t;
	return 0;
}
