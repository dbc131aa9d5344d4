#include "scaler/source/source.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/net/http_client.h"
#include "scaler/source/asker.h"

enum { TOKEN_MAX = 4096, TOKEN_REREAD_MS = 10000, SCAN_MIN_MS = 10, SCAN_MAX_MS = 100 };

struct entry {
	struct source_target target;
	char *key;
	char *token;
	int64_t token_read_ms;
	bool token_wanted;
	bool busy, gone;
	bool troubled; /* the call under way counts among those */
	bool failed;   /* the last answer was none: said in the log once */
	int64_t next_ms;
	struct call *call;          /* while busy */
	struct source_asker *asker; /* instead, of an FE of StarRocks' own */
};

struct call { /* what one call borrows; only those under way have one */
	struct http_reply reply;
	char *url, *token;
};

struct source {
	struct source_events events;
	pthread_mutex_t lock; /* entries and what they hold */
	struct map *entries;
	VEC(struct entry *) retired; /* out of the map, their last call still under way */
	pthread_t thread;
	_Atomic bool stop;
	struct http_batch *batch;
	int64_t scan_ms; /* when an entry may be due next; the thread's own */
	int in_flight, in_flight_troubled;
	size_t scanned; /* where the last scan ended for lack of room, so that all have their turn */
	const struct http_tls *tls;
	VEC(struct source_asker *) leaving; /* stopped, to be joined */
};

char *source_key(const char *ns, const char *cluster, const char *pool)
{
	return xasprintf("%s/%s/%s", ns, cluster, pool);
}

void source_login_copy(const struct source_login *from, struct source_login *to)
{
	*to = *from;
	to->host = from->host ? xstrdup(from->host) : NULL;
	to->user_file = from->user_file ? xstrdup(from->user_file) : NULL;
	to->password_file = from->password_file ? xstrdup(from->password_file) : NULL;
}

void source_login_free(struct source_login *l)
{
	free(l->host);
	free(l->user_file);
	free(l->password_file);
	*l = (struct source_login){ 0 };
}

void source_target_free(struct source_target *t)
{
	free(t->ns);
	free(t->cluster);
	free(t->pool);
	free(t->uid);
	free(t->url);
	free(t->token_file);
	source_login_free(&t->login);
	*t = (struct source_target){ 0 };
}

static void copy_target(const struct source_target *from, struct source_target *to)
{
	source_target_free(to);
	*to = *from;
	to->ns = xstrdup(from->ns);
	to->cluster = xstrdup(from->cluster);
	to->pool = xstrdup(from->pool);
	to->uid = from->uid ? xstrdup(from->uid) : NULL;
	to->url = xstrdup(from->url);
	to->token_file = from->token_file ? xstrdup(from->token_file) : NULL;
	source_login_copy(&from->login, &to->login);
}

static void call_free(struct call *c)
{
	if (!c)
		return;
	free(c->url);
	mem_free_secret(c->token);
	http_reply_free(&c->reply);
	free(c);
}

static void entry_free(void *value)
{
	struct entry *e = value;
	call_free(e->call);
	source_target_free(&e->target);
	mem_free_secret(e->token);
	free(e->key);
	free(e);
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* A Secret's file may be replaced at any time. */
static void read_token(struct entry *e, int64_t now)
{
	if (!e->target.token_file || (e->token && now - e->token_read_ms < TOKEN_REREAD_MS))
		return;
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	struct err err = ERR_INIT;
	e->token_read_ms = now;
	if (fd_read_file(e->target.token_file, &text, &err) < 0) {
		log_warn("pool=%s %s", e->key, err.msg);
		return;
	}
	struct str rest = { buf_cstr(&text), text.len }, line = { "", 0 };
	(void)str_split(&rest, '\n', &line);
	mem_free_secret(e->token);
	e->token = str_dup(str_trim(line));
	explicit_bzero(text.p, text.len);
}

static void failed(struct source *s, struct entry *e, const struct err *err)
{
	if (!e->failed)
		log_warn("pool=%s load unknown: %s", e->key, err->msg);
	e->failed = true;
	s->events.on_failure(s->events.arg, e->key, err);
}

static void ask(struct source *s, struct entry *e, int64_t now)
{
	struct err err = ERR_INIT;
	struct call *c = xcalloc(1, sizeof(*c));
	read_token(e, now);
	c->reply = (struct http_reply)HTTP_REPLY_INIT;
	c->url = xstrdup(e->target.url);
	c->token = e->token && *e->token ? xstrdup(e->token) : NULL;
	e->next_ms = now + SOURCE_PERIOD_MS;
	struct http_call call = { .url = c->url,
		                  .bearer = c->token,
		                  .by = deadline_in(SOURCE_CALL_MS),
		                  .body_max = SOURCE_BODY_MAX,
		                  /* A Service may have led elsewhere while it was young, and a kept
		                   * connection goes on leading there. */
		                  .fresh = e->failed,
		                  .follow_redirects = true };
	if (http_batch_add(s->batch, &call, &c->reply, e, &err) < 0) {
		call_free(c);
		failed(s, e, &err);
		return;
	}
	e->call = c;
	e->busy = true;
	e->troubled = e->failed;
	s->in_flight++;
	s->in_flight_troubled += e->troubled;
}

/* FEs that do not answer hold their calls for long: they must not take the room of those that do. */
static bool room_for(const struct source *s, const struct entry *e)
{
	return s->in_flight < SOURCE_IN_FLIGHT &&
	       (!e->failed || s->in_flight_troubled < SOURCE_IN_FLIGHT_TROUBLED);
}

/* Asks every cluster that is due and notes when to look again. */
static void ask_due(struct source *s)
{
	int64_t now = clock_mono_ms(), next = now + SCAN_MAX_MS;
	size_t at = s->scanned;
	const char *key;
	void *value;
	if (now < s->scan_ms)
		return;
	(void)pthread_mutex_lock(&s->lock);
	for (size_t seen = 0, n = map_count(s->entries); seen < n; seen++) {
		size_t here = at;
		if (!map_next(s->entries, &at, &key, &value)) {
			at = 0;
			if (!map_next(s->entries, &at, &key, &value))
				break;
		}
		struct entry *e = value;
		if (e->asker)
			continue;
		if (!e->busy && now >= e->next_ms && room_for(s, e))
			ask(s, e, now);
		if (s->in_flight >= SOURCE_IN_FLIGHT) {
			s->scanned = here;
			next = now;
			break;
		}
		if (!e->busy && e->next_ms < next)
			next = e->next_ms;
	}
	(void)pthread_mutex_unlock(&s->lock);
	s->scan_ms = next < now + SCAN_MIN_MS ? now + SCAN_MIN_MS : next;
}

static void check_status(struct entry *e, struct err *err)
{
	int status = e->call->reply.status;
	if (status == 401 || status == 403) {
		e->token_wanted = e->target.token_later;
		e->token_read_ms = 0;
	}
	/* These do not heal within a poll, and asking again would only fill the FE's log. */
	if (status == 401 || status == 403 || status == 404)
		e->next_ms = clock_mono_ms() + SOURCE_REFUSED_MS;
	(void)err_set(err, -EACCES, "%s answered %d", e->call->url, status);
}

static void forget_retired(struct source *s, struct entry *e)
{
	for (size_t i = 0; i < s->retired.n; i++) {
		if (s->retired.v[i] == e) {
			s->retired.v[i] = s->retired.v[--s->retired.n];
			break;
		}
	}
	entry_free(e);
}

static void known(struct source *s, struct entry *e, const struct source_snapshot *snap)
{
	if (e->failed)
		log_info("pool=%s load known again", e->key);
	e->failed = false;
	s->events.on_snapshot(s->events.arg, e->key, snap);
}

static void completed(struct source *s, const struct http_done *done)
{
	struct entry *e = done->tag;
	struct source_snapshot snap;
	struct err err = done->err;
	int rc = done->rc;
	bool answered = rc == 0 && e->call->reply.status == 200;
	if (answered)
		rc = source_parse(
			(struct str){ buf_cstr(&e->call->reply.body), e->call->reply.body.len },
			&snap, &err);
	(void)pthread_mutex_lock(&s->lock);
	e->busy = false;
	s->in_flight--;
	s->in_flight_troubled -= e->troubled;
	if (e->gone) {
		forget_retired(s, e);
		e = NULL;
	} else if (answered && rc == 0) {
		known(s, e, &snap);
	} else {
		if (done->rc == 0 && !answered)
			check_status(e, &err);
		failed(s, e, &err);
	}
	if (e) {
		call_free(e->call);
		e->call = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* From the thread of a StarRocks cluster. */
static void told(void *arg, const struct source_asker *who, int rc,
                 const struct source_snapshot *snap, const struct err *err)
{
	struct source *s = arg;
	size_t at = 0;
	const char *key;
	void *value;
	(void)pthread_mutex_lock(&s->lock);
	while (map_next(s->entries, &at, &key, &value)) {
		struct entry *e = value;
		if (e->asker != who)
			continue;
		if (rc < 0)
			failed(s, e, err);
		else
			known(s, e, snap);
		break;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void *poll_all(void *arg)
{
	struct source *s = arg;
	while (!atomic_load(&s->stop)) {
		struct http_done done;
		struct err err = ERR_INIT;
		ask_due(s);
		int64_t wait = s->scan_ms - clock_mono_ms();
		wait = wait < 0 ? 0 : wait;
		int rc = http_batch_next(s->batch, deadline_in(wait), &done, &err);
		if (rc == 0) {
			completed(s, &done);
		} else if (rc == HTTP_BATCH_IDLE) {
			clock_sleep_ms(wait);
		} else if (rc < 0) {
			log_error("%s", err.msg);
			clock_sleep_ms(SCAN_MAX_MS);
		}
	}
	return NULL;
}

/* ---- what is asked ---------------------------------------------------------------------------- */

int source_start(const struct source_events *events, const struct http_tls *tls,
                 struct source **ret, struct err *err)
{
	struct source *s = xcalloc(1, sizeof(*s));
	s->tls = tls;
	s->events = *events;
	s->entries = map_new(NULL);
	(void)pthread_mutex_init(&s->lock, NULL);
	int rc = http_batch_new(tls, &s->batch, err);
	if (rc == 0 && (errno = pthread_create(&s->thread, NULL, poll_all, s)) != 0)
		rc = err_errno(err, "cannot start a thread");
	if (rc < 0) {
		http_batch_free(s->batch);
		map_free(s->entries);
		free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void source_stop(struct source *s)
{
	if (!s)
		return;
	size_t at = 0;
	const char *key;
	void *value;
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	http_batch_free(s->batch); /* before the replies that its calls write to */
	while (map_next(s->entries, &at, &key, &value)) {
		source_asker_join(((struct entry *)value)->asker);
		entry_free(value);
	}
	while (s->leaving.n)
		source_asker_join(s->leaving.v[--s->leaving.n]);
	vec_free(&s->leaving);
	map_free(s->entries);
	while (s->retired.n)
		entry_free(s->retired.v[--s->retired.n]);
	vec_free(&s->retired);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_login(const struct source_login *a, const struct source_login *b)
{
	return same_text(a->host, b->host) && a->query_port == b->query_port &&
	       a->http_port == b->http_port && a->https == b->https &&
	       same_text(a->user_file, b->user_file) &&
	       same_text(a->password_file, b->password_file);
}

/* Under the lock: the old one may be waiting for it, so it is joined at the end. */
static void change_asker(struct source *s, struct entry *e)
{
	struct err err = ERR_INIT;
	if (e->asker) {
		source_asker_stop(e->asker);
		vec_push(&s->leaving, e->asker);
		e->asker = NULL;
	}
	if (e->target.login.host &&
	    source_asker_start(&e->target.login, s->tls, told, s, &e->asker, &err) < 0)
		failed(s, e, &err);
}

void source_put(struct source *s, const struct source_target *t)
{
	autofree char *key = source_key(t->ns, t->cluster, t->pool);
	(void)pthread_mutex_lock(&s->lock);
	struct entry *e = map_get(s->entries, key);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->key = xstrdup(key);
		map_put(s->entries, key, e);
	}
	if (!e->target.url || strcmp(e->target.url, t->url) != 0)
		e->next_ms = 0;
	bool other = !same_login(&e->target.login, &t->login);
	copy_target(t, &e->target);
	if (other)
		change_asker(s, e);
	e->token_wanted = t->token_later && !e->token;
	s->events.on_target(s->events.arg, key, &e->target);
	(void)pthread_mutex_unlock(&s->lock);
}

/* Under the lock; the entry is out of the map. */
static void retire(struct source *s, struct entry *e)
{
	s->events.on_gone(s->events.arg, e->key);
	if (e->asker) {
		source_asker_stop(e->asker);
		vec_push(&s->leaving, e->asker);
		e->asker = NULL;
	}
	if (!e->busy) {
		entry_free(e);
		return;
	}
	e->gone = true;
	vec_push(&s->retired, e);
}

void source_remove(struct source *s, const char *key)
{
	(void)pthread_mutex_lock(&s->lock);
	struct entry *e = map_take(s->entries, key);
	if (e)
		retire(s, e);
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- tokens from elsewhere -------------------------------------------------------------------- */

void source_set_token(struct source *s, const char *key, struct str token)
{
	(void)pthread_mutex_lock(&s->lock);
	struct entry *e = map_get(s->entries, key);
	if (e) {
		mem_free_secret(e->token);
		e->token = str_dup(token);
		e->token_wanted = false;
		e->next_ms = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void source_tokens_wanted(struct source *s,
                          void (*fn)(void *arg, const char *ns, const char *cluster,
                                     const char *key),
                          void *arg)
{
	size_t at = 0;
	const char *key;
	void *value;
	(void)pthread_mutex_lock(&s->lock);
	while (map_next(s->entries, &at, &key, &value)) {
		const struct entry *e = value;
		if (e->token_wanted)
			fn(arg, e->target.ns, e->target.cluster, key);
	}
	(void)pthread_mutex_unlock(&s->lock);
}
