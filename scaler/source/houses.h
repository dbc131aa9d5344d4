/* The pools that are StarRocksWarehouses: each takes its own CR and that of the cluster whose FE is asked.
 *
 * What is kept of a cluster is how its FE is asked, as text; of Roost's own engine, which has no warehouses, nothing.
 * Thread: safe; calls into the source under its own lock. */
#ifndef ROOST_SCALER_SOURCE_HOUSES_H
#define ROOST_SCALER_SOURCE_HOUSES_H

#include <jansson.h>

#include "scaler/source/source.h"

struct source_houses;
struct source_houses *source_houses_new(struct source *s /* borrowed */, const char *dns_suffix);
void source_houses_free(struct source_houses *h);

/* list: whose events these are; what is not told between begin and end is gone. */
void source_houses_list_begin(struct source_houses *h, const void *list);
void source_houses_list_end(struct source_houses *h, const void *list);
void source_houses_cluster(struct source_houses *h, const void *list, const json_t *cr, bool gone);
void source_houses_warehouse(struct source_houses *h, const void *list, const json_t *cr,
                             bool gone);

DEFINE_CLEANUP(struct source_houses, source_houses_free)

#endif
