/* The cluster in virtual time: queries in a queue, slots on pods, pods on machines that Karpenter buys.
 *
 * Thread: one owner a world; no clock, no I/O: the same trace, seed and setup give the same outcome, byte for byte.
 * A query is admitted first come first served when its slots are free at once, spread over the pods with most room;
 * a task stays on its pod for good. A pod's cache is cold at first: its work takes twice as long, less and less until
 * SIM_WARM_MS of work were done there. docs/decisions/0150-simulator.md names what is modelled and what is not. */
#ifndef ROOST_SCALER_SIM_WORLD_H
#define ROOST_SCALER_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "scaler/sim/rng.h"
#include "scaler/sim/trace.h"
#include "scaler/source/snapshot.h"

enum {
	SIM_PODS_MAX = 512,      /* at once, leaving ones too */
	SIM_MACHINES_MAX = 4096, /* in one run */
	SIM_WARM_MS = 240000,    /* work of all slots together until a pod's cache is warm */
	SIM_BATCH_IDLE_MS = 1000,
	SIM_BATCH_MAX_MS = 10000,
	SIM_NOTICE_MS = 120000,           /* between a spot notice and the end of the machine */
	SIM_SPOT_GONE_MS = 180000,        /* so long after a notice Karpenter buys on demand */
	SIM_SAMPLE_MS = 15000,            /* of the timeline */
	SIM_DRAIN_LIMIT_MS = 4 * 3600000, /* after the last arrival, for the queue to empty */
};

/* What belongs to the way a pool is run, whoever decides on its size. */
struct sim_pool {
	bool statefulset; /* victim: the highest ordinal; else idle ones, then cold ones */
	bool retried;     /* work of a lost pod runs again elsewhere; else the query is killed */
	int64_t grace_ms; /* for running work of a pod that is taken */
	int64_t notice_grace_ms; /* the same after a spot notice */
	int64_t consolidate_ms;  /* Karpenter: an empty machine leaves after so long */
	int64_t slots;           /* of a pod */
	int64_t max;             /* pods that may be asked for */
};

struct sim_machines {
	double boot_low_s, boot_high_s;
	double pod_new_s,
		pod_again_s; /* pod start on a fresh machine (image pull), on a used one */
	double spot_mean_h;  /* between reclaims of one machine; 0: never */
	double price_spot, price_on_demand; /* of an hour */
};

enum sim_query_state { SIM_LATER, SIM_WAITS, SIM_RUNS, SIM_DONE, SIM_KILLED };
struct sim_query {
	int64_t start_ms; /* first start; -1: none yet */
	int64_t end_ms;
	int32_t run; /* in world's runs */
	uint16_t attempt;
	uint8_t state;
};

enum sim_pod_state {
	SIM_POD_NONE,
	SIM_POD_PENDING,
	SIM_POD_STARTING,
	SIM_POD_READY,
	SIM_POD_LEAVING
};
struct sim_pod {
	enum sim_pod_state state;
	uint32_t serial;
	int64_t ordinal;
	int32_t machine; /* -1: none */
	int64_t busy;    /* slots */
	int64_t work_ms; /* done there: warms the cache */
	bool used;
	int64_t cpu_ms; /* busy slot time, up to cpu_at_ms */
	int64_t cpu_at_ms;
	int64_t ready_ms;
};

enum sim_machine_state { SIM_BOOTS, SIM_UP, SIM_OFF };
struct sim_machine {
	enum sim_machine_state state;
	int32_t pod; /* -1: empty */
	bool used, spot, noticed;
	int64_t from_ms, to_ms;
	int64_t empty_ms;
};

struct sim_sample {
	float nodes, wanted, machines, demand; /* demand: slots asked, in nodes */
};

struct sim_event;
struct sim_run;
struct sim_world {
	struct sim_pool pool;
	struct sim_machines cfg;
	const struct sim_trace *trace;
	uint64_t seed;
	int64_t now;
	struct sim_query *queries; /* of the trace */
	size_t arrived, finished, killed, waiting, retries;
	uint32_t *queue; /* ring of query numbers, room for every query twice */
	size_t queue_head, queue_tail, queue_cap;
	int64_t waiting_slots, running_slots;
	struct sim_run *runs;
	size_t n_runs, cap_runs;
	struct sim_pod pods[SIM_PODS_MAX];
	size_t n_pods; /* highest in use + 1 */
	uint32_t pod_serial;
	struct sim_machine *machines;
	size_t n_machines;
	int64_t batch_from_ms, batch_last_ms; /* 0: no batch is open */
	int64_t spot_gone_until_ms;
	int64_t spec, status; /* replicas of the target */
	int last_direction;
	int64_t reversals, changes, useless;
	struct sim_event *heap;
	size_t n_heap, cap_heap;
	uint64_t heap_serial;
	struct {
		struct sim_sample *v;
		size_t n, cap;
	} samples;
	double recent_s[256]; /* service times of the last finished queries */
	size_t n_recent;
	double p50_s, p95_s;
	bool p_stale;
};

/* What decides on the size: called in virtual time, by its own period. */
struct sim_decider {
	int64_t (*next_ms)(void *self); /* when step() wants to run next */
	void (*step)(void *self, struct sim_world *w);
	void (*finished)(void *self); /* a query has ended; may be NULL */
	void *self;
};

void sim_world_init(struct sim_world *w, const struct sim_pool *pool,
                    const struct sim_machines *cfg, const struct sim_trace *trace, uint64_t seed);
void sim_world_release(struct sim_world *w);
/* Until every query has ended, or SIM_DRAIN_LIMIT_MS after the last arrival. */
void sim_world_run(struct sim_world *w, const struct sim_decider *d);

/* Orders a number of pods; counts changes and reversals of direction. */
void sim_world_scale(struct sim_world *w, int64_t replicas);
/* What the FE would say of its load at this moment. */
void sim_world_snapshot(struct sim_world *w, struct source_snapshot *ret);
int64_t sim_world_ready(const struct sim_world *w);
int64_t sim_world_oldest_ms(const struct sim_world *w); /* wait of the first in the queue */
/* Busy slot time of a pod up to now. */
int64_t sim_world_cpu_ms(struct sim_world *w, struct sim_pod *p);

#endif
