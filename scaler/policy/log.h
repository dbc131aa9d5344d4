/* The decision log: each line holds one decision with everything it was made from, so that it can be made again.
 *
 * A line is JSON with sorted keys: the pool, the limits, the snapshot, the state before the step, and what was
 * decided. Made anew from the same line, the same program gives the same bytes.
 * Thread: plain values. Limits: POLICY_LOG_LINE_MAX bytes a line. */
#ifndef ROOST_SCALER_POLICY_LOG_H
#define ROOST_SCALER_POLICY_LOG_H

#include <stdio.h>

#include "lib/base/buf.h"
#include "scaler/policy/policy.h"

enum { POLICY_LOG_LINE_MAX = 16 * 1024 };

/* Appends a line, with its newline. before: the state that went into the step. */
int policy_log_write(const char *key, const struct source_limits *limits,
                     const struct source_snapshot *snap, int64_t now_ms,
                     const struct policy_state *before, const struct policy_decision *made,
                     struct buf *out);
/* The line with the decision made anew. -EINVAL names the field. */
int policy_log_again(struct str line, struct buf *out, struct err *err);
/* A whole file to out. 0, or the number of lines that came out otherwise (at most 1000), or -EINVAL, -E… */
int policy_log_replay(const char *path, FILE *out, size_t *ret_lines, struct err *err);

#endif
