/* A typed growing array: `VEC(struct node) nodes = { 0 };` has fields v, n, cap.
 *
 * Thread: one owner. Ownership: owns the array, not what the elements point at; vec_free() frees
 * the array. Whatever a peer can grow, the caller bounds before vec_push(). */
#ifndef ROOST_BASE_VEC_H
#define ROOST_BASE_VEC_H

#include <stdlib.h>

#include "lib/base/mem.h"

#define VEC(type)              \
	struct {               \
		type *v;       \
		size_t n, cap; \
	}

/* Makes room for one more and returns its address (not initialised). */
#define vec_more(vec)                                                                      \
	({                                                                                 \
		if ((vec)->n == (vec)->cap) {                                              \
			(vec)->cap = (vec)->cap ? (vec)->cap * 2 : 8;                      \
			(vec)->v = xreallocarray((vec)->v, (vec)->cap, sizeof(*(vec)->v)); \
		}                                                                          \
		&(vec)->v[(vec)->n++];                                                     \
	})

#define vec_push(vec, ...) ((void)(*vec_more(vec) = (__VA_ARGS__)))

#define vec_free(vec)                      \
	do {                               \
		free((vec)->v);            \
		(vec)->v = NULL;           \
		(vec)->n = (vec)->cap = 0; \
	} while (0)

#endif
