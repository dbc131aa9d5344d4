/* What arrives: queries with their time, service time and slots, generated from a seed or read from CSV.
 *
 * Thread: plain values. A generated trace is the same bytes for the same pattern, seed and hours. The patterns are
 * those that CAB (van Renen and Leis, VLDB 2023) fitted to Snowset, written anew: 100 time slots over the length of the
 * trace with exponential arrivals inside each; tenants draw their pattern by CAB's weights.
 *
 * CSV: one query a line, a header first. Columns by name, in any order:
 *   arrive_s   seconds since the start of the trace, >= 0; lines need not be in order
 *   service_s  seconds of work on warm nodes, > 0
 *   slots      1..SIM_SLOTS_MAX; optional, 1 when the column is missing or the field empty
 * Empty lines and lines that begin with # are skipped; a wrong value is -EINVAL and names line and column.
 * Limits: SIM_CSV_MAX bytes, SIM_QUERIES_MAX queries, SIM_SECONDS_MAX for every time. */
#ifndef ROOST_SCALER_SIM_TRACE_H
#define ROOST_SCALER_SIM_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	SIM_SLOTS_MAX = 64, /* of one query */
	SIM_QUERIES_MAX = 5000000,
	SIM_CSV_MAX = 256 * 1024 * 1024,
	SIM_SECONDS_MAX = 60 * 60 * 24 * 31,
};

struct sim_arrival {
	int64_t at_ms;
	int64_t service_ms;
	int32_t slots;
};

struct sim_trace {
	struct sim_arrival *v; /* by at_ms */
	size_t n, cap;
	int64_t length_ms; /* of the pattern; the last arrival's time for CSV */
};

enum sim_pattern {
	SIM_CAB, /* tenants of all kinds below, by CAB's weights */
	SIM_SINES,
	SIM_SPIKES,
	SIM_BURST,
	SIM_BREAK,
	SIM_ONOFF,
	SIM_CONSTANT,
	SIM_LONG, /* StarRocks#76485: long queries fill the nodes there are and nobody waits */
	SIM_PATTERNS,
};

/* "cab", "sines", …; NULL past the end. */
const char *sim_pattern_name(enum sim_pattern p);
int sim_pattern_find(const char *name, enum sim_pattern *ret, struct err *err);

struct sim_load {
	enum sim_pattern pattern;
	double hours;
	double per_hour; /* queries, on average */
};

void sim_trace_make(const struct sim_load *load, uint64_t seed, struct sim_trace *ret);
int sim_trace_csv(struct str text, struct sim_trace *ret, struct err *err);
void sim_trace_free(struct sim_trace *t);

#endif
