/* A growing byte buffer with a maximum that its owner must name.
 *
 * Thread: one owner at a time. Ownership: the buffer owns its bytes until buf_take().
 * Invariants: p is never NULL after the first append and is always NUL-terminated at p[len], so it
 * reads as a C string where the content has no NUL. An append that would pass max changes nothing,
 * returns -E2BIG and sets `overflow`, which stays set until buf_reset(): a writer may append many
 * pieces and look once at the end. */
#ifndef ROOST_BASE_BUF_H
#define ROOST_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p;
	size_t len;
	size_t cap;
	size_t max;
	bool overflow;
};

#define BUF_INIT(maximum) { .p = NULL, .len = 0, .cap = 0, .max = (maximum), .overflow = false }

int buf_add(struct buf *b, const void *data, size_t len);
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes without a further allocation; returns where they go, or NULL past max.
 * The caller then raises len by what it wrote (and writes the NUL with buf_addz). */
char *buf_reserve(struct buf *b, size_t n);

/* Little-endian integers, as MySQL's protocol and our own files write them. */
int buf_addle(struct buf *b, uint64_t value, size_t bytes);

void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
void buf_reset(struct buf *b);             /* empties, keeps the memory */
char *buf_take(struct buf *b);             /* the bytes as a malloc'd C string; b is empty after */
const char *buf_cstr(const struct buf *b); /* never NULL */
void buf_free(struct buf *b);              /* also clears; the struct may be used again */

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
