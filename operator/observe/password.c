/* Root's connection to an FE: by the password that the Secret holds; where the FE still has the one before it, that
 * one opens, and the password is changed. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/base64.h"
#include "lib/data/json.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"

enum { PASSWORD_MAX = 4096, STATEMENT_MAX = 2 * PASSWORD_MAX + 64 };
#define PREVIOUS_KEY "previous"

/* ---- the password that last opened, by the cluster's uid ---- */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *known;

static void free_secret(void *p)
{
	mem_free_secret(p);
}

static void remember(const char *uid, const char *password)
{
	pthread_mutex_lock(&lock);
	if (!known)
		known = map_new(free_secret);
	map_put(known, uid, xstrdup(password));
	pthread_mutex_unlock(&lock);
}

static char *remembered(const char *uid)
{
	pthread_mutex_lock(&lock);
	const char *password = known ? map_get(known, uid) : NULL;
	char *copy = password ? xstrdup(password) : NULL;
	pthread_mutex_unlock(&lock);
	return copy;
}

/* ---- what the Secret says ---- */
static json_t *read_secret(struct ask *a, const char *name, struct err *err)
{
	struct kube_ref ref = { &KUBE_SECRET, data_get_str(a->target, "ns"), name, NULL };
	json_t *secret = NULL;
	if (kube_get(a->kube, &ref, &secret, err) == 0)
		return secret;
	log_warn("cluster=%s/%s secret=%s cannot be read: %s", ref.ns,
	         data_get_str(a->target, "name"), name, err->msg);
	return NULL;
}

char *observe_secret_key(const json_t *secret, const char *key)
{
	const char *text = json_string_value(json_object_get(json_object_get(secret, "data"), key));
	_cleanup_buf_ struct buf out = BUF_INIT(PASSWORD_MAX);
	if (!text || data_base64_decode(str_of(text), &out) < 0)
		return NULL;
	return buf_take(&out);
}

char *observe_secret(struct ask *a, const char *name, const char *key)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *secret = name ? read_secret(a, name, &err) : NULL;
	return observe_secret_key(secret, key);
}

/* MYSQL_PWD of the FE's environment, itself or by Secret. */
static char *password_of_env(struct ask *a)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(a->target, "env"), i, e)
	{
		const char *name = data_get_str(e, "name");
		const char *value = data_get_str(e, "value");
		const char *secret = data_get_str(e, "valueFrom.secretKeyRef.name");
		const char *key = data_get_str(e, "valueFrom.secretKeyRef.key");
		if (!name || strcmp(name, "MYSQL_PWD") != 0)
			continue;
		if (value)
			return xstrdup(value);
		if (secret && key) {
			struct err err = ERR_INIT;
			_cleanup_json_ json_t *s = read_secret(a, secret, &err);
			return observe_secret_key(s, key);
		}
	}
	return NULL;
}

/* ---- opening ---- */
int observe_open_as(struct ask *a, const char *user, const char *password, struct mysqlc **ret,
                    struct err *err)
{
	const char *ca_secret = data_get_str(a->target, "tls.ca");
	const char *name = data_get_str(a->target, "tls.name");
	struct err why = ERR_INIT;
	_cleanup_json_ json_t *secret = ca_secret ? read_secret(a, ca_secret, &why) : NULL;
	autofree char *ca = observe_secret_key(secret, "ca.crt");
	struct mysqlc_address address = { .host = ca_secret ? name
		                                            : data_get_str(a->target, "host"),
		                          .port = (int)data_get_int(a->target, "query_port", 9030),
		                          .user = user,
		                          .password = password,
		                          .tls_ca = ca };
	/* Read each time: a new CA counts from the next connection on. Never in the clear instead. */
	int rc = 0;
	if (ca_secret && !secret)
		rc = err_set(err, -EKEYREJECTED, "spec.tls: Secret %s cannot be read: %s",
		             ca_secret, why.msg);
	else if (ca_secret && (!ca || !*ca))
		rc = err_set(err, -EKEYREJECTED, "spec.tls: Secret %s has no ca.crt", ca_secret);
	else
		rc = mysqlc_open(&address, a->by, ret, err);
	if (rc == -EKEYREJECTED) {
		json_object_set_new(a->answer, "tls_refused", json_true());
		if (ca && *ca)
			err_wrap(err, "TLS to the FE, whose certificate must be for %s", name);
	}
	return rc;
}

static int open_with(struct ask *a, const char *password, struct mysqlc **ret, struct err *err)
{
	return observe_open_as(a, "root", password, ret, err);
}

/* The statement holds the password: neither it nor the server's answer is told or logged. */
static int set_password(struct ask *a, struct mysqlc *sql, const char *password, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(STATEMENT_MAX);
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	struct err quiet = ERR_INIT;
	if (!a->config->may_write(a->config->arg))
		return err_set(err, -EACCES, "another operator leads: it changes the password");
	buf_adds(&text, "SET PASSWORD = PASSWORD(");
	if (mysqlc_quote(&text, password) < 0 || buf_addc(&text, ')') < 0)
		return err_set(err, -E2BIG, "the root password is too long");
	int rc = mysqlc_query(sql, text.p, a->by, &r, &quiet);
	explicit_bzero(text.p, text.len);
	observe_count(OBSERVE_SQL, "SET PASSWORD", rc == 0 ? "ok" : "refused");
	if (rc == 0)
		return 0;
	return err_set(err, -EACCES, "the FE refused the new root password (error %u)",
	               r.server_errno);
}

static int change(struct ask *a, const char *old, const char *fresh, struct mysqlc **ret,
                  struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *sql = NULL;
	int rc = open_with(a, old, &sql, err);
	if (rc == 0)
		rc = set_password(a, sql, fresh, err);
	if (rc != 0)
		return rc;
	log_info("cluster=%s/%s root password changed to the Secret's",
	         data_get_str(a->target, "ns"), data_get_str(a->target, "name"));
	json_object_set_new(a->answer, "rotated", json_true());
	return open_with(a, fresh, ret, err);
}

static int open_by_secret(struct ask *a, struct mysqlc **ret, struct err *err)
{
	const char *uid = data_get_str(a->target, "uid");
	const char *name = data_get_str(a->target, "root_secret.name");
	struct err why = ERR_INIT;
	_cleanup_json_ json_t *secret = read_secret(a, name, &why);
	char *fresh = observe_secret_key(secret, data_get_str(a->target, "root_secret.key"));
	if (!fresh || !*fresh) {
		mem_free_secret(fresh);
		return secret ? err_set(err, -EACCES,
		                        "spec.rootPasswordSecret: Secret %s has nothing under the "
		                        "key %s",
		                        name, data_get_str(a->target, "root_secret.key"))
		              : err_set(err, -EACCES,
		                        "spec.rootPasswordSecret: Secret %s cannot be read: %s",
		                        name, why.msg);
	}
	int rc = open_with(a, fresh, ret, err);
	char *before[] = { remembered(uid), observe_secret_key(secret, PREVIOUS_KEY), xstrdup("") };
	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		if (rc == -EACCES && before[i] && strcmp(before[i], fresh) != 0)
			rc = change(a, before[i], fresh, ret, err);
		mem_free_secret(before[i]);
	}
	if (rc == 0)
		remember(uid, fresh);
	else if (rc == -EACCES)
		err_set(err, -EACCES,
		        "root is refused by the FE with the password of Secret %s; put the one it "
		        "had before under the key " PREVIOUS_KEY,
		        name);
	mem_free_secret(fresh);
	return rc;
}

int observe_rotate_root(struct ask *a, struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *root = NULL;
	const char *name = data_get_str(a->target, "root_secret.name");
	if (!name)
		return 0;
	char *now = observe_secret(a, name, data_get_str(a->target, "root_secret.key"));
	char *last = remembered(data_get_str(a->target, "uid"));
	bool same = now && last && strcmp(now, last) == 0;
	mem_free_secret(now);
	mem_free_secret(last);
	return same ? 0 : observe_open_root(a, &root, err);
}

int observe_open_root(struct ask *a, struct mysqlc **ret, struct err *err)
{
	int rc;
	if (data_get_str(a->target, "root_secret.name")) {
		rc = open_by_secret(a, ret, err);
	} else {
		char *password = password_of_env(a);
		rc = open_with(a, password, ret, err);
		mem_free_secret(password);
	}
	if (rc == -EACCES)
		json_object_set_new(a->answer, "denied", json_true());
	return rc;
}

int observe_open(struct ask *a, struct mysqlc **ret, struct err *err)
{
	const char *user = data_get_str(a->target, "sql_user.name");
	return user ? observe_open_user(a, user, ret, err) : observe_open_root(a, ret, err);
}
