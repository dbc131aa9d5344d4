/* Prometheus text exposition (version 0.0.4): building it, and reading what others expose.
 *
 * Thread: plain values. Limits: the buffer's own maximum; reading stops at PROM_SERIES_MAX series.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#ifndef ROOST_NET_PROM_H
#define ROOST_NET_PROM_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { PROM_SERIES_MAX = 100000, PROM_LABELS_MAX = 16 };

/* "# HELP" and "# TYPE"; once before the series of a family. type: "gauge", "counter", "summary". */
void prom_family(struct buf *out, const char *name, const char *type, const char *help);
/* One series. labels: name, value pairs ended by NULL; values are escaped. */
void prom_series(struct buf *out, const char *name, double value, ...) __attribute__((sentinel));

struct prom_label {
	struct str name, value;
}; /* value still escaped as in the text */
/* Called for each series of a text; non-zero stops (which is no error). value may be NaN or infinite. */
typedef int (*prom_fn)(void *arg, struct str name, const struct prom_label *labels, size_t n,
                       double value);
/* -EINVAL names the line; -E2BIG. */
int prom_parse(struct str text, prom_fn fn, void *arg, struct err *err);

#endif
