/* What a pool needed, minute by minute, on the last days; and what that says about the next minutes.
 *
 * One-minute maxima in runs of equal minutes, so that an idle week costs a few bytes; POLICY_DAYS prior days are
 * kept. A forecast only ever raises: it is what all but the highest of the prior days needed at most in the same
 * minutes (one odd day predicts nothing), and is 0 until POLICY_DAYS_MIN prior days have measured them.
 * Thread: one owner. Time is real time, since days are people's. */
#ifndef ROOST_SCALER_POLICY_HISTORY_H
#define ROOST_SCALER_POLICY_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum {
	POLICY_DAYS = 7,
	POLICY_DAYS_MIN = 3,
	POLICY_MINUTES = 1440,
	POLICY_NODES_MAX = 10000,
	POLICY_HORIZON_MIN_MAX = 10,
};

struct policy_history;
struct policy_history *policy_history_new(void);
void policy_history_free(struct policy_history *h);
/* A clock that went back adds nothing. */
void policy_history_note(struct policy_history *h, int64_t real_ms, int64_t need);
/* The minutes from now to now + horizon; at most POLICY_HORIZON_MIN_MAX of them. */
int64_t policy_history_forecast(const struct policy_history *h, int64_t real_ms,
                                int64_t horizon_ms);

/* What the n minutes before the one of real_ms needed, the newest last; -1: not measured. */
void policy_history_recent(const struct policy_history *h, int64_t real_ms, size_t n, int16_t *ret);

/* A line a day: "20420 0*600 3*12 -*20": the day since 1970, then nodes*minutes ("-": not measured). */
void policy_history_write(const struct policy_history *h, struct buf *out);
/* -EINVAL names the line. */
int policy_history_parse(struct str text, struct policy_history **ret, struct err *err);

DEFINE_CLEANUP(struct policy_history, policy_history_free)

#endif
