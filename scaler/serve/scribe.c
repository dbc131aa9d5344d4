#include "scaler/serve/scribe.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct job {
	struct http_req *r;
	http_handler fn;
	void *arg;
};

struct serve_scribe {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job jobs[SERVE_SCRIBE_MAX]; /* the first n wait */
	size_t n;
	bool stop, joined;
};

static void refuse(struct http_req *r)
{
	http_answer_header(r, "Retry-After", "1");
	http_answer_error(r, 503, "too many long answers at once, or the program ends");
}

/* false: it is over. */
static bool next(struct serve_scribe *s, struct job *ret)
{
	(void)pthread_mutex_lock(&s->lock);
	while (!s->n && !s->stop)
		(void)pthread_cond_wait(&s->more, &s->lock);
	bool stop = s->stop;
	if (!stop) {
		*ret = s->jobs[0];
		memmove(&s->jobs[0], &s->jobs[1], --s->n * sizeof(s->jobs[0]));
	}
	(void)pthread_mutex_unlock(&s->lock);
	return !stop;
}

static void *work(void *arg)
{
	struct serve_scribe *s = arg;
	for (struct job job; next(s, &job);)
		job.fn(job.arg, job.r);
	return NULL;
}

int serve_scribe_start(struct serve_scribe **ret, struct err *err)
{
	struct serve_scribe *s = xcalloc(1, sizeof(*s));
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->more, NULL);
	if ((errno = pthread_create(&s->thread, NULL, work, s)) != 0) {
		int rc = err_errno(err, "cannot start a thread");
		s->joined = true;
		serve_scribe_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void serve_scribe_hand(struct serve_scribe *s, struct http_req *r, http_handler fn, void *arg)
{
	(void)pthread_mutex_lock(&s->lock);
	bool room = !s->stop && s->n < SERVE_SCRIBE_MAX;
	if (room) {
		http_hold(r);
		s->jobs[s->n++] = (struct job){ r, fn, arg };
		(void)pthread_cond_signal(&s->more);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!room)
		refuse(r);
}

void serve_scribe_stop(struct serve_scribe *s)
{
	if (!s || s->joined)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = true;
	(void)pthread_cond_signal(&s->more);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	s->joined = true;
	while (s->n)
		refuse(s->jobs[--s->n].r);
}

void serve_scribe_free(struct serve_scribe *s)
{
	if (!s)
		return;
	serve_scribe_stop(s);
	(void)pthread_cond_destroy(&s->more);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
