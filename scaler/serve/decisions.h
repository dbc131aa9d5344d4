/* The file of decisions (policy/log.h): opened once, appended to, turned over when it is long.
 *
 * Thread: the owner's lock. A line that cannot be written is dropped and said once in the program's log. */
#ifndef ROOST_SCALER_SERVE_DECISIONS_H
#define ROOST_SCALER_SERVE_DECISIONS_H

#include "scaler/policy/policy.h"

struct serve_decisions;
int serve_decisions_open(const char *path, struct serve_decisions **ret, struct err *err);
void serve_decisions_close(struct serve_decisions *d);
void serve_decisions_add(struct serve_decisions *d, const char *key,
                         const struct source_limits *limits, const struct source_snapshot *snap,
                         int64_t now_ms, const struct policy_state *before,
                         const struct policy_decision *made);

#endif
