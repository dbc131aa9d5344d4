/* The operator's own database user (decision 0124): its connection, and how root makes it and gives it the rights of the
 * operator's statements. root is used for nothing else while that user is let in. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"

enum { STATEMENT_MAX = 1024, RETRY_MS = 60000 };

/* ---- what the FE said last, by the cluster's uid ---- */
struct seen {
	bool doubt;          /* a statement was refused: its rights may be gone */
	int64_t again_at_ms; /* monotonic; not made anew before */
	char why[256];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *all;

static struct seen *seen_of(const char *uid)
{
	if (!all)
		all = map_new(free);
	struct seen *s = map_get(all, uid);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		map_put(all, uid, s);
	}
	return s;
}

static bool doubted(const char *uid)
{
	pthread_mutex_lock(&lock);
	bool doubt = seen_of(uid)->doubt;
	pthread_mutex_unlock(&lock);
	return doubt;
}

/* why != NULL: it was refused, and is not tried again for a while. */
static void note(const char *uid, bool doubt, const char *why)
{
	pthread_mutex_lock(&lock);
	struct seen *s = seen_of(uid);
	s->doubt = doubt;
	s->again_at_ms = why ? clock_mono_ms() + RETRY_MS : 0;
	snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
	pthread_mutex_unlock(&lock);
}

void observe_user_forget(const char *uid)
{
	pthread_mutex_lock(&lock);
	if (all && uid)
		map_del(all, uid);
	pthread_mutex_unlock(&lock);
}

void observe_user_doubt(struct ask *a)
{
	const char *uid = data_get_str(a->target, "uid");
	const char *state = data_get_str(a->answer, "sql_user");
	if (uid && state && strcmp(state, "used") == 0)
		note(uid, true, NULL);
}

/* ---- making it ---- */
/* Words that a person may read; the text holds the password. */
static int send(struct ask *a, struct mysqlc *root, const char *words, const struct buf *text,
                struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	struct err quiet = ERR_INIT;
	if (!a->config->may_write(a->config->arg))
		return err_set(err, -EACCES, "another operator leads: it makes the user");
	int rc = mysqlc_query(root, text->p, a->by, &r, &quiet);
	observe_count(OBSERVE_SQL, words, rc == 0 ? "ok" : (rc > 0 ? "refused" : "failed"));
	if (rc != 0)
		err_set(err, -EACCES, "%s is refused by the FE (error %u)", words, r.server_errno);
	return rc;
}

static int make_user(struct ask *a, struct mysqlc *root, const char *user, const char *password,
                     struct err *err)
{
	static const struct {
		const char *words, *before, *between, *after;
		bool secret;
	} steps[] = {
		{ "CREATE USER", "CREATE USER IF NOT EXISTS ", "@'%' IDENTIFIED BY ", "", true },
		{ "ALTER USER", "ALTER USER ", "@'%' IDENTIFIED BY ", "", true },
		/* NODE, which ALTER SYSTEM asks for, cannot be granted by itself. */
		{ "GRANT cluster_admin", "GRANT 'cluster_admin' TO USER ", "@'%'", "", false },
		{ "SET DEFAULT ROLE", "SET DEFAULT ROLE 'cluster_admin' TO ", "@'%'", "", false },
		{ "GRANT OPERATE", "GRANT OPERATE ON SYSTEM TO USER ", "@'%'", "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		_cleanup_buf_ struct buf text = BUF_INIT(STATEMENT_MAX);
		buf_adds(&text, steps[i].before);
		mysqlc_quote(&text, user);
		buf_adds(&text, steps[i].between);
		if (steps[i].secret)
			mysqlc_quote(&text, password);
		if (text.overflow)
			return err_set(err, -E2BIG, "the password of the SQL user is too long");
		int rc = send(a, root, steps[i].words, &text, err);
		explicit_bzero(text.p, text.len);
		if (rc != 0)
			return rc;
	}
	log_info("cluster=%s/%s SQL user %s has its password and its rights",
	         data_get_str(a->target, "ns"), data_get_str(a->target, "name"), user);
	return 0;
}

/* ---- opening ---- */
static void tell(struct ask *a, const char *state, const char *why)
{
	json_object_set_new(a->answer, "sql_user", json_string(state));
	if (why)
		json_object_set_new(a->answer, "sql_user_error", json_string(why));
	else
		json_object_del(a->answer, "sql_user_error");
}

/* Whether it may do what is asked of it at each ask. */
static int try_it(struct ask *a, struct mysqlc *sql, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	return mysqlc_query(sql, "SHOW FRONTENDS", a->by, &r, err);
}

/* As root, with the user made anew; where that is refused root goes on. */
static int open_anew(struct ask *a, const char *user, const char *password, struct mysqlc **ret,
                     struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *root = NULL, *own = NULL;
	const char *uid = data_get_str(a->target, "uid");
	struct err why = ERR_INIT;
	int rc = observe_open_root(a, &root, err);
	if (rc != 0)
		return rc;
	rc = make_user(a, root, user, password, &why);
	if (rc == 0)
		rc = observe_open_as(a, user, password, &own, &why);
	if (rc == 0)
		rc = try_it(a, own, &why);
	note(uid, false, rc == 0 ? NULL : why.msg);
	tell(a, rc == 0 ? "used" : "refused", rc == 0 ? NULL : why.msg);
	*ret = rc == 0 ? TAKE_PTR(own) : TAKE_PTR(root);
	return 0;
}

static bool too_soon(struct ask *a)
{
	pthread_mutex_lock(&lock);
	const struct seen *s = seen_of(data_get_str(a->target, "uid"));
	bool soon = clock_mono_ms() < s->again_at_ms;
	if (soon)
		tell(a, "refused", s->why);
	pthread_mutex_unlock(&lock);
	return soon;
}

/* The password; NULL with 0: there is no Secret yet. */
static int password_of(struct ask *a, char **ret, struct err *err)
{
	const char *name = data_get_str(a->target, "sql_user.secret");
	struct kube_ref ref = { &KUBE_SECRET, data_get_str(a->target, "ns"), name, NULL };
	_cleanup_json_ json_t *secret = NULL;
	int rc = kube_get(a->kube, &ref, &secret, err);
	if (rc != 0 && rc != KUBE_NOT_FOUND)
		return rc < 0 ? rc : -EACCES;
	*ret = observe_secret_key(secret, "password");
	return 0;
}

static int open_with_password(struct ask *a, const char *user, const char *password,
                              struct mysqlc **ret, struct err *err)
{
	/* A new root password is root's own to set. */
	int rc = observe_rotate_root(a, err);
	if (rc == 0)
		rc = doubted(data_get_str(a->target, "uid"))
		             ? -EACCES
		             : observe_open_as(a, user, password, ret, err);
	if (rc == 0)
		tell(a, "used", NULL);
	return rc == -EACCES ? open_anew(a, user, password, ret, err) : rc;
}

int observe_open_user(struct ask *a, const char *user, struct mysqlc **ret, struct err *err)
{
	struct err why = ERR_INIT;
	char *password = NULL;
	if (too_soon(a))
		return observe_open_root(a, ret, err);
	if (password_of(a, &password, &why) < 0) {
		tell(a, "refused", why.msg);
		return observe_open_root(a, ret, err);
	}
	if (!password || !*password) {
		mem_free_secret(password);
		tell(a, "no_secret", NULL);
		return err_set(err, -ENOENT, "the SQL user's Secret is not there yet");
	}
	int rc = open_with_password(a, user, password, ret, err);
	mem_free_secret(password);
	return rc;
}
