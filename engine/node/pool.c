#include "engine/node/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/mem.h"

struct job {
	void (*fn)(void *arg);
	void *arg;
	struct job *next;
};

struct node_pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *first, **last;
	unsigned max, started;
	size_t pending;
	bool ending;
	pthread_t *threads;
};

static void *worker(void *arg)
{
	struct node_pool *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *j = p->first;
		if (!j && p->ending)
			break;
		if (!j) {
			(void)pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		(void)pthread_mutex_unlock(&p->lock);
		j->fn(j->arg);
		free(j);
		(void)pthread_mutex_lock(&p->lock);
		p->pending--;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct node_pool *node_pool_new(unsigned threads_max)
{
	struct node_pool *p = xcalloc(1, sizeof(*p));
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	p->last = &p->first;
	p->max = threads_max ? threads_max : 1;
	p->threads = xcalloc(p->max, sizeof(*p->threads));
	return p;
}

void node_pool_run(struct node_pool *p, void (*job)(void *arg), void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));
	bool here = false;
	j->fn = job;
	j->arg = arg;
	(void)pthread_mutex_lock(&p->lock);
	*p->last = j;
	p->last = &j->next;
	p->pending++;
	if (p->started < p->max && p->pending > p->started &&
	    pthread_create(&p->threads[p->started], NULL, worker, p) == 0)
		p->started++;
	here = p->started == 0;
	(void)pthread_cond_signal(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	if (here) /* not one thread can be made: aborting is what a lack of memory does, too */
		abort();
}

size_t node_pool_pending(struct node_pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	size_t n = p->pending;
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

void node_pool_free(struct node_pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->ending = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		(void)pthread_join(p->threads[i], NULL);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

struct each {
	atomic_size_t next;
	size_t n;
	void (*job)(void *arg, size_t i);
	void *arg;
};

static void *each_worker(void *arg)
{
	struct each *e = arg;
	size_t i;
	while ((i = atomic_fetch_add(&e->next, 1)) < e->n)
		e->job(e->arg, i);
	return NULL;
}

void node_pool_each(size_t n, unsigned threads, void (*job)(void *arg, size_t i), void *arg)
{
	enum { THREADS_MAX = 32 };
	struct each e = { .n = n, .job = job, .arg = arg };
	pthread_t others[THREADS_MAX];
	unsigned started = 0;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	while (started + 1 < threads && started + 1 < n &&
	       pthread_create(&others[started], NULL, each_worker, &e) == 0)
		started++;
	(void)each_worker(&e);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(others[i], NULL);
}
