/* What starrocks.c and starrocks_read.c share. Private to the room. Thread: plain values. */
#ifndef ROOST_SCALER_SOURCE_STARROCKS_PRIV_H
#define ROOST_SCALER_SOURCE_STARROCKS_PRIV_H

#include <stdint.h>

/* "2026-11-28 17:00:00" as milliseconds, as if it were UTC: only differences count. */
int source_starrocks_time(const char *text, int64_t *ret_ms);

/* Where a cluster's own compute nodes are. */
#define SOURCE_DEFAULT_HOUSE "default_warehouse"

#endif
