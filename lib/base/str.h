/* Views into text that somebody else owns: pointer and length, no NUL needed.
 *
 * Thread: plain values. Ownership: a view never owns; it dies with what it points into. */
#ifndef ROOST_BASE_STR_H
#define ROOST_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t len;
};

#define STR_LIT(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_ARG(s) (int)(s).len, (s).p /* for "%.*s" */

static inline struct str str_of(const char *c)
{
	return (struct str){ c ? c : "", c ? strlen(c) : 0 };
}

bool str_eq(struct str a, struct str b);
bool str_eqs(struct str a, const char *b);
bool str_caseeq(struct str a, struct str b); /* ASCII only */
bool str_caseeqs(struct str a, const char *b);
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
struct str str_trim(struct str s); /* ASCII white space at both ends */

/* Cuts the text before the first sep off *rest and returns it in *ret; false when rest is spent
 * (rest->p == NULL). "a,,b" gives "a", "", "b". */
bool str_split(struct str *rest, char sep, struct str *ret);

/* Whole-text integers in base 10: 0, or -EINVAL (not a number), -ERANGE. Nothing but digits and,
 * for i64, one leading minus is accepted. */
int str_to_i64(struct str s, int64_t *ret);
int str_to_u64(struct str s, uint64_t *ret);
int str_to_double(struct str s, double *ret); /* also refuses nan and infinities */

/* Constant in time for equal lengths: for tokens and password hashes. */
bool str_eq_secret(struct str a, struct str b);

char *str_dup(struct str s);
uint64_t str_hash(struct str s, uint64_t seed); /* FNV-1a 64 with a seed: tables, not security */

#endif
