/* Worker threads for jobs that block: tasks, loads, copies.
 *
 * Thread: safe. Threads are started as jobs need them, up to the maximum, and stay. */
#ifndef ROOST_ENGINE_NODE_POOL_H
#define ROOST_ENGINE_NODE_POOL_H

#include <stddef.h>

struct node_pool;

struct node_pool *node_pool_new(unsigned threads_max);
/* Jobs beyond the threads wait in order. */
void node_pool_run(struct node_pool *p, void (*job)(void *arg), void *arg);
size_t node_pool_pending(struct node_pool *p); /* running and waiting */
/* Waits until every job, also the waiting ones, has ended. NULL is fine. */
void node_pool_free(struct node_pool *p);

/* Runs job(arg, 0 … n-1) on at most `threads` threads, this one among them; returns when all have ended. */
void node_pool_each(size_t n, unsigned threads, void (*job)(void *arg, size_t i), void *arg);

#endif
