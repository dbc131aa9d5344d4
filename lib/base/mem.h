/* Memory and ownership: allocation that aborts when memory is gone, and cleanup by attribute.
 *
 * Thread: safe everywhere (malloc's own rules). Small allocations abort on exhaustion, since a
 * restarted pod is better than an untested path; whatever a peer sizes is bounded by struct buf. */
#ifndef ROOST_BASE_MEM_H
#define ROOST_BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), malloc, returns_nonnull));

/* Clears memory that held a secret, in a way that the compiler may not drop, then frees it. */
void mem_free_secret(char *s);

void mem_freep(void *pointer_to_pointer);

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define autofree _cleanup_(mem_freep)

/* DEFINE_CLEANUP(struct x, x_free) makes x_freep for `_cleanup_(x_freep) struct x *x = NULL;` */
#define DEFINE_CLEANUP(type, fn)                                         \
	__attribute__((unused)) static inline void fn##p(type **pointer) \
	{                                                                \
		if (*pointer)                                            \
			fn(*pointer);                                    \
	}

/* Hands over what a cleanup variable owns, leaving NULL behind. */
#define TAKE_PTR(pointer)                                \
	({                                               \
		__typeof__(pointer) *take_ = &(pointer); \
		__typeof__(pointer) taken_ = *take_;     \
		*take_ = NULL;                           \
		taken_;                                  \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
