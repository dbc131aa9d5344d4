/* Small blocks for jansson that a thread keeps for its next value, without a lock.
 *
 * A tree of JSON is thousands of blocks below a hundred bytes, made and let go many times a second; the C library's own
 * cache holds seven of a size. Thread: each has its own blocks; a value may be freed by another thread than its maker's.
 * Limits: a thread keeps at most as many bytes as it said, nothing unless it said so. Without effect in builds with
 * sanitizers, which must see each free. */
#ifndef ROOST_DATA_POOL_H
#define ROOST_DATA_POOL_H

#include <stddef.h>

/* For the whole process, before its first JSON value. */
void data_pool_init(void);
/* This thread keeps so many bytes from now on; 0 before it ends, which gives them all back. */
void data_pool_keep(size_t bytes);

#endif
