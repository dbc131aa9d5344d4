/* How many compute nodes a pool should have: a pure step from a snapshot and what was before.
 *
 * Thread: plain values; no clock, no I/O: the same inputs give the same decision, byte for byte.
 * desired = clamp(max(reactive, forecast, in flight, floor)): up in one jump, when queued work is worth a
 * node's start and warm-up, or when prior days needed more at this minute (history.h); down over a window, one
 * node at a time, and never while that would take running work; to zero only when idle for the whole window. */
#ifndef ROOST_SCALER_POLICY_POLICY_H
#define ROOST_SCALER_POLICY_POLICY_H

#include "scaler/source/snapshot.h"
#include "scaler/source/source.h"

enum {
	POLICY_REASON_MAX = 96,
	POLICY_BUCKETS = 32,
	POLICY_START_MS = 2000,    /* how long a node takes to join, until one was seen to */
	POLICY_LASTING_MS = 30000, /* a queue that old is worth a node, however slow its start */
	POLICY_STEP_MS = 2000,     /* between two nodes less */
	POLICY_GAP_MS = 10000,     /* no snapshot for so long: the window begins anew */
	POLICY_GROWTH_MS = 60000,  /* the queue's growth is looked at over so long */
	POLICY_YOUNG_MS = 10000,   /* of a queue as young as that as if it were so old */
	POLICY_CALM_SLICES = 6,    /* of the window, that suffice when the cycles foresee a lull */
	POLICY_MISSED_WINDOWS = 4, /* nodes ordered so soon after one was taken: it was missed … */
	POLICY_KEPT_WINDOWS = 3,   /* … and none is taken for so long */
	POLICY_STARTS = 2, /* work that is done within so many starts needs no node of its own */
};
/* Slots in use, times this, must fit into one node less. These come from docs/benchmarks/sim.md. */
#define POLICY_HEADROOM 1.15
#define POLICY_LULL 0.6 /* of the nodes that are ordered: what is more than that is no lull */

struct policy_state { /* zeroed before the first step */
	bool begun;
	int64_t desired;
	int64_t epoch;
	int64_t last_ms;
	int64_t slots_of_a_node; /* last seen, for when no node is there */
	int64_t queue_since_ms;  /* 0: nobody waits for slots */
	int64_t raised_ms;  /* when desired last grew and the nodes have not joined yet; or 0 */
	int64_t start_ms;   /* measured: from the order to the last node's joining */
	int64_t joined_ms;  /* when they joined, while some of them had nothing to run yet; or 0 */
	int64_t warm_ms;    /* measured: from joining to work on every node while queries wait */
	int64_t stepped_ms; /* when desired last shrank */
	int64_t queued_ms; /* slot-milliseconds of work in the queue, smoothed; -1: not looked at yet */
	int64_t missed_ms; /* when nodes were ordered soon after one was taken; 0: never */
	int64_t need;      /* of the last snapshot, without the forecast: what a history keeps */
	/* Set by the caller before a step: nodes that prior days needed about now; 0: none. */
	int64_t forecast;
	int64_t cycle; /* the same of the last cycles within the day, of so many minutes (cycle.h) */
	int64_t period_min; /* 0: there are none */
	int64_t calm; /* nodes + 1: the most that they foresee for the next while; 0: nothing */
	/* The window: the last POLICY_BUCKETS time slices, by their number modulo that. */
	int64_t slice;                       /* the last of them; 0: none yet */
	uint16_t slice_need[POLICY_BUCKETS]; /* nodes + 1; 0: not looked at */
};

enum { POLICY_NEED_MAX = 32767 };
/* For the step and the log: the slice may be any of the last ones, or a later one. */
void policy_window_put(struct policy_state *s, int64_t slice, int64_t need);
/* The number of the slice that is kept at place i. */
int64_t policy_window_at(const struct policy_state *s, size_t i);

struct policy_decision {
	int64_t desired;
	bool active; /* whether there is anything to do: KEDA's 0 to 1 */
	char reason[POLICY_REASON_MAX];
};

/* now_ms: any clock that only goes forward; more than 0. */
void policy_step(const struct source_limits *limits, const struct source_snapshot *snap,
                 int64_t now_ms, struct policy_state *state, struct policy_decision *ret);

/* Another replica decided: its number is taken over and counts in the window as if it were need, so that whoever has to
 * go on alone takes nothing away before a whole window of quiet. For a state that has begun. */
void policy_adopt(const struct source_limits *limits, int64_t now_ms, int64_t desired,
                  struct policy_state *state);

#endif
