#include "lib/data/pool.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* Blocks of class c hold STEP * c + SLACK bytes, which is what the C library's own blocks hold. */
enum { STEP = 16, SLACK = 8, CLASSES = 17 };

struct block {
	struct block *next;
};

static _Thread_local struct {
	struct block *first[CLASSES];
	size_t held, most;
} pool;

static size_t class_for(size_t size)
{
	return size <= STEP + SLACK ? 1 : (size - SLACK + STEP - 1) / STEP;
}

static void *take(size_t size)
{
	size_t c = class_for(size);
	if (c >= CLASSES)
		return malloc(size);
	struct block *b = pool.first[c];
	if (!b)
		return malloc(STEP * c + SLACK);
	pool.first[c] = b->next;
	pool.held -= STEP * c + SLACK;
	return b;
}

static void give(void *p)
{
	if (!p)
		return;
	size_t size = pool.most ? malloc_usable_size(p) : 0;
	size_t c = size < STEP + SLACK ? 0 : (size - SLACK) / STEP;
	if (c == 0 || c >= CLASSES || pool.held + STEP * c + SLACK > pool.most) {
		free(p);
		return;
	}
	struct block *b = p;
	b->next = pool.first[c];
	pool.first[c] = b;
	pool.held += STEP * c + SLACK;
}

void data_pool_init(void)
{
#ifndef SANITIZED
	json_set_alloc_funcs(take, give);
#else
	(void)take;
	(void)give;
#endif
}

void data_pool_keep(size_t bytes)
{
	pool.most = bytes;
	for (size_t c = 0; bytes == 0 && c < CLASSES; c++) {
		while (pool.first[c]) {
			struct block *b = pool.first[c];
			pool.first[c] = b->next;
			free(b);
		}
	}
	if (bytes == 0)
		pool.held = 0;
}
