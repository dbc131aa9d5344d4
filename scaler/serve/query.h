/* The part of the Prometheus query language that is answered: one instant vector selector,
 * name{label="value", other!="value"}.
 *
 * Thread: plain values; views into the query's text. */
#ifndef ROOST_SCALER_SERVE_QUERY_H
#define ROOST_SCALER_SERVE_QUERY_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { SERVE_MATCHERS_MAX = 8, SERVE_QUERY_MAX = 2000 };

struct serve_matcher {
	struct str label; /* namespace, cluster or pool */
	char value[256];  /* unescaped */
	bool negated;
};
struct serve_query {
	struct str name;
	struct serve_matcher matchers[SERVE_MATCHERS_MAX];
	size_t n;
};

/* -EINVAL says what is not understood; functions, operators and =~ are refused by name. */
int serve_query_parse(struct str text, struct serve_query *ret, struct err *err);
/* "ns/cluster/pool" when it asks for that one pool. false: for others, too, or the key is longer than size. */
bool serve_query_key(const struct serve_query *q, char *key, size_t size);
bool serve_query_matches(const struct serve_query *q, const char *ns, const char *cluster,
                         const char *pool);

#endif
