/* Whether a pool's need comes and goes with a period of its own within a day, and what that says about the next minutes.
 *
 * A period counts only when it is seen three times (POLICY_CYCLES) in the minutes that are given, and would have foretold
 * them: what two cycles before said of the third is compared with what was needed, over all and over the last cycle.
 * So a pool whose bursts follow no clock has none, and one that stops to follow it loses its own within a cycle.
 * Thread: plain values; no clock, no I/O. */
#ifndef ROOST_SCALER_POLICY_CYCLE_H
#define ROOST_SCALER_POLICY_CYCLE_H

#include <stddef.h>
#include <stdint.h>

enum {
	POLICY_CYCLE_MINUTES = 720, /* looked at */
	POLICY_CYCLE_SHORTEST = 20,
	POLICY_CYCLE_LONGEST = POLICY_CYCLE_MINUTES / 3,
	POLICY_CYCLES = 3,
};

struct policy_cycle {
	int64_t period_min; /* 0: there is none, and the rest is 0 too */
	int64_t nodes;      /* that the last cycles needed within the horizon from now */
	int64_t calm_nodes; /* the most that one of them needed within the lull from now */
};

/* need: of the last n minutes, the newest last; below 0: not measured. horizon_min and lull_min: below the shortest period. */
void policy_cycle_find(const int16_t *need, size_t n, int64_t horizon_min, int64_t lull_min,
                       struct policy_cycle *ret);

#endif
