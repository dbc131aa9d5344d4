/* Asks the FEs that have a load document: side by side on one thread for each SOURCE_POLLER_FES of them, since curl looks
 * through all its connections for each call (docs/decisions/0231). */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "scaler/source/source_priv.h"

enum {
	TOKEN_MAX = 4096,
	TOKEN_REREAD_MS = 10000,
	SCAN_MIN_MS = 20,
	SCAN_MAX_MS = 100,
	CHUNK_BYTES = 2048
};

struct source_poller {
	struct source *s;
	pthread_t thread;
	struct http_batch *batch;
	VEC(struct fe *) fes; /* under the source's lock; the rest is the thread's own */
	int64_t scan_ms;      /* when an FE may be due next */
	int in_flight, in_flight_troubled;
	size_t kept;            /* connections that the batch was told to keep */
	VEC(struct fe *) asked; /* chosen, not sent yet */
	size_t scanned; /* where the last scan ended for lack of room, so that all have their turn */
};

static void call_free(struct call *c)
{
	if (!c)
		return;
	mem_free_secret(c->token);
	http_reply_free(&c->reply);
	free(c);
}

void source_fe_free(struct fe *f)
{
	call_free(f->call);
	source_login_free(&f->login);
	mem_free_secret(f->token);
	vec_free(&f->pools);
	free(f->token_file);
	free(f->name);
	free(f);
}

/* A Secret's file may be replaced at any time. */
static void read_token(struct fe *f, int64_t now)
{
	if (!f->token_file || (f->token && now - f->token_read_ms < TOKEN_REREAD_MS))
		return;
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	struct err err = ERR_INIT;
	f->token_read_ms = now;
	if (fd_read_file(f->token_file, &text, &err) < 0) {
		log_warn("fe=%s %s", f->url, err.msg);
		return;
	}
	struct str rest = { buf_cstr(&text), text.len }, line = { "", 0 };
	(void)str_split(&rest, '\n', &line);
	mem_free_secret(f->token);
	f->token = str_dup(str_trim(line));
	explicit_bzero(text.p, text.len);
}

/* Longer when there are thousands, so that their calls a second stay SOURCE_CALLS_S. Under the lock. */
static int64_t period_of(const struct source *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->pollers.n; i++)
		n += s->pollers.v[i]->fes.n;
	int64_t ms = (int64_t)n * 1000 / SOURCE_CALLS_S;
	return ms < SOURCE_PERIOD_MS       ? SOURCE_PERIOD_MS
	       : ms > SOURCE_PERIOD_MAX_MS ? SOURCE_PERIOD_MAX_MS
	                                   : ms;
}

/* Evenly over the period from the second call on: FEs that were found together would be asked together for ever. */
static int64_t next_after(const struct source_poller *p, const struct fe *f, int64_t now)
{
	int64_t period = period_of(p->s);
	if (f->next_ms == 0)
		return now + period * (int64_t)(f->at + 1) / (int64_t)p->fes.n;
	return f->next_ms + period > now ? f->next_ms + period : now + period;
}

/* Under the lock; it is sent after that, by send_asked(). */
static void ask(struct source_poller *p, struct fe *f, int64_t now)
{
	struct call *c = xcalloc(1, sizeof(*c));
	read_token(f, now);
	c->reply = (struct http_reply)HTTP_REPLY_INIT;
	c->token = f->token && *f->token ? xstrdup(f->token) : NULL;
	/* A Service may have led elsewhere while it was young, and a kept connection goes on leading there. */
	c->fresh = f->failed;
	f->next_ms = next_after(p, f, now);
	f->call = c;
	f->busy = true;
	f->troubled = f->failed;
	p->in_flight++;
	p->in_flight_troubled += f->troubled;
	vec_push(&p->asked, f);
}

/* This poller's part of what may be under way. Under the lock. */
static int share(const struct source_poller *p, int all)
{
	return all / (int)p->s->pollers.n;
}

/* FEs that do not answer hold their calls for long: they must not take the room of those that do. */
static bool room_for(const struct source_poller *p, const struct fe *f)
{
	return p->in_flight < share(p, SOURCE_IN_FLIGHT) &&
	       (!f->failed || p->in_flight_troubled < share(p, SOURCE_IN_FLIGHT_TROUBLED));
}

/* A connection for each FE, since most calls are over at once and the next FE's would push it out. Under the lock. */
static void keep_connections(struct source_poller *p)
{
	size_t n = p->fes.n + SOURCE_IN_FLIGHT;
	if (n <= p->kept && n + SOURCE_IN_FLIGHT >= p->kept)
		return;
	p->kept = n + SOURCE_IN_FLIGHT / 2;
	http_batch_keep(p->batch, p->kept);
}

/* Chooses every FE that is due and notes when to look again. */
static void choose_due(struct source_poller *p, int64_t now)
{
	int64_t next = now + SCAN_MAX_MS;
	(void)pthread_mutex_lock(&p->s->lock);
	keep_connections(p);
	for (size_t seen = 0, n = p->fes.n, from = p->scanned; seen < n; seen++) {
		size_t here = (from + seen) % n;
		struct fe *f = p->fes.v[here];
		if (!f->busy && now >= f->next_ms && room_for(p, f))
			ask(p, f, now);
		if (p->in_flight >= share(p, SOURCE_IN_FLIGHT)) {
			p->scanned = here;
			next = now;
			break;
		}
		if (!f->busy && f->next_ms < next)
			next = f->next_ms;
	}
	(void)pthread_mutex_unlock(&p->s->lock);
	p->scan_ms = next < now + SCAN_MIN_MS ? now + SCAN_MIN_MS : next;
}

static void completed(struct source_poller *p, const struct http_done *done);

/* Without the lock: the other pollers have the same to do. */
static void send_asked(struct source_poller *p)
{
	for (size_t i = 0; i < p->asked.n; i++) {
		struct fe *f = p->asked.v[i];
		struct http_call call = { .url = f->url,
			                  .bearer = f->call->token,
			                  .by = deadline_in(SOURCE_CALL_MS),
			                  .body_max = SOURCE_BODY_MAX,
			                  .chunk = CHUNK_BYTES,
			                  .fresh = f->call->fresh,
			                  .follow_redirects = true };
		struct http_done none = { .tag = f, .err = ERR_INIT };
		none.rc = http_batch_add(p->batch, &call, &f->call->reply, f, &none.err);
		if (none.rc < 0)
			completed(p, &none);
	}
	p->asked.n = 0;
}

static void check_status(struct fe *f, struct err *err)
{
	int status = f->call->reply.status;
	if (status == 401 || status == 403) {
		f->wanted = f->token_later ? SOURCE_TOKEN : 0;
		f->token_read_ms = 0;
	}
	/* These do not heal within a poll, and asking again would only fill the FE's log. */
	if (status == 401 || status == 403 || status == 404)
		f->next_ms = clock_mono_ms() + SOURCE_REFUSED_MS;
	(void)err_set(err, -EACCES, "%s answered %d", f->url, status);
}

static void forget_retired(struct source *s, struct fe *f)
{
	for (size_t i = 0; i < s->retired.n; i++) {
		if (s->retired.v[i] == f) {
			s->retired.v[i] = s->retired.v[--s->retired.n];
			break;
		}
	}
	source_fe_free(f);
}

static void completed(struct source_poller *p, const struct http_done *done)
{
	struct source *s = p->s;
	struct fe *f = done->tag;
	struct source_load load;
	struct err err = done->err;
	int rc = done->rc;
	bool answered = rc == 0 && f->call->reply.status == 200;
	if (answered)
		rc = source_load_parse(
			(struct str){ buf_cstr(&f->call->reply.body), f->call->reply.body.len },
			&load, &err);
	(void)pthread_mutex_lock(&s->lock);
	f->busy = false;
	p->in_flight--;
	p->in_flight_troubled -= f->troubled;
	if (f->gone) {
		forget_retired(s, f);
		f = NULL;
	} else if (answered && rc == 0) {
		source_known(s, f, &load);
	} else {
		if (done->rc == 0 && !answered)
			check_status(f, &err);
		source_failed(s, f, &err);
	}
	if (f) {
		call_free(f->call);
		f->call = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void *poll_all(void *arg)
{
	struct source_poller *p = arg;
	while (!atomic_load(&p->s->stop)) {
		struct http_done done;
		struct err err = ERR_INIT;
		int64_t now = clock_mono_ms();
		if (now >= p->scan_ms) {
			choose_due(p, now);
			send_asked(p);
		}
		int64_t wait = p->scan_ms - clock_mono_ms();
		wait = wait < 0 ? 0 : wait;
		int rc = http_batch_next(p->batch, deadline_in(wait), &done, &err);
		if (rc == 0) {
			completed(p, &done);
		} else if (rc == HTTP_BATCH_IDLE) {
			clock_sleep_ms(wait);
		} else if (rc < 0) {
			log_error("%s", err.msg);
			clock_sleep_ms(SCAN_MAX_MS);
		}
	}
	return NULL;
}

/* ---- pollers ---------------------------------------------------------------------------------- */

int source_poller_add(struct source *s, struct err *err)
{
	struct source_poller *p = xcalloc(1, sizeof(*p));
	p->s = s;
	int rc = http_batch_new(s->tls, &p->batch, err);
	if (rc == 0 && (errno = pthread_create(&p->thread, NULL, poll_all, p)) != 0)
		rc = err_errno(err, "cannot start a thread");
	if (rc < 0) {
		http_batch_free(p->batch);
		free(p);
		return rc;
	}
	vec_push(&s->pollers, p);
	return 0;
}

/* Pollers stay, so the one with the fewest is the one that others left. */
void source_poller_join(struct source *s, struct fe *f)
{
	struct err err = ERR_INIT;
	struct source_poller *least = s->pollers.v[0];
	for (size_t i = 1; i < s->pollers.n; i++)
		if (s->pollers.v[i]->fes.n < least->fes.n)
			least = s->pollers.v[i];
	if (least->fes.n >= SOURCE_POLLER_FES) {
		if (source_poller_add(s, &err) < 0)
			log_warn("%s", err.msg);
		else
			least = s->pollers.v[s->pollers.n - 1];
	}
	f->poller = least;
	f->at = least->fes.n;
	vec_push(&least->fes, f);
}

void source_poller_leave(struct fe *f)
{
	struct source_poller *p = f->poller;
	if (!p)
		return;
	f->poller = NULL;
	p->fes.v[f->at] = p->fes.v[--p->fes.n];
	p->fes.v[f->at]->at = f->at;
}

void source_pollers_stop(struct source *s)
{
	for (size_t i = 0; i < s->pollers.n; i++)
		(void)pthread_join(s->pollers.v[i]->thread, NULL);
	for (size_t i = 0; i < s->pollers.n; i++) {
		struct source_poller *p = s->pollers.v[i];
		http_batch_free(p->batch); /* before the replies that its calls write to */
		vec_free(&p->asked);
		vec_free(&p->fes);
		free(p);
	}
	vec_free(&s->pollers);
}
