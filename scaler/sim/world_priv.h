/* Inside of the world: the heap of events, and what queries, pods and machines ask of each other. */
#ifndef ROOST_SCALER_SIM_WORLD_PRIV_H
#define ROOST_SCALER_SIM_WORLD_PRIV_H

#include "scaler/sim/world.h"

enum sim_event_kind {
	SIM_EV_ARRIVE,
	SIM_EV_FINISH,  /* a: query, b: attempt */
	SIM_EV_BATCH,   /* Karpenter may close its batch */
	SIM_EV_BOOTED,  /* a: machine */
	SIM_EV_READY,   /* a: pod, b: its serial */
	SIM_EV_GRACE,   /* a: pod, b: its serial: what still runs there ends */
	SIM_EV_EMPTY,   /* a: machine: may be consolidated */
	SIM_EV_NOTICE,  /* a: machine: spot reclaim in two minutes */
	SIM_EV_RECLAIM, /* a: machine */
	SIM_EV_SAMPLE,
	SIM_EV_DECIDE,
};

struct sim_event {
	int64_t at_ms;
	uint64_t serial; /* equal times: in the order they were made */
	enum sim_event_kind kind;
	uint32_t a, b;
};

enum { SIM_PLACES_MAX = SIM_SLOTS_MAX };
struct sim_run {
	uint32_t query;
	int32_t places;
	uint16_t pod[SIM_PLACES_MAX];
	uint16_t slots[SIM_PLACES_MAX];
	int64_t begun_ms;
};

void sim_heap_push(struct sim_world *w, int64_t at_ms, enum sim_event_kind kind, uint32_t a,
                   uint32_t b);
bool sim_heap_pop(struct sim_world *w, struct sim_event *ret);

/* queries.c */
void sim_queries_arrive(struct sim_world *w);
void sim_queries_admit(struct sim_world *w);
void sim_queries_finish(struct sim_world *w, uint32_t query, uint32_t attempt);
/* Pods that are leaving go once nothing runs there. */
void sim_queries_left(struct sim_world *w);
/* Ends what runs on a pod: again from the head of the queue, or killed. */
void sim_queries_lose(struct sim_world *w, uint32_t pod);

/* pods.c */
void sim_pods_reconcile(struct sim_world *w);
void sim_pods_place(struct sim_world *w);
void sim_pods_ready(struct sim_world *w, uint32_t pod, uint32_t serial);
void sim_pods_take(struct sim_world *w, uint32_t pod, int64_t grace_ms);
void sim_pods_gone(struct sim_world *w, uint32_t pod);

/* machines.c */
void sim_machines_batch(struct sim_world *w);
void sim_machines_ask(struct sim_world *w);
void sim_machines_booted(struct sim_world *w, uint32_t m);
void sim_machines_leave(struct sim_world *w, uint32_t m); /* its pod has gone */
void sim_machines_empty(struct sim_world *w, uint32_t m);
void sim_machines_notice(struct sim_world *w, uint32_t m);
void sim_machines_reclaim(struct sim_world *w, uint32_t m);
size_t sim_machines_billed(const struct sim_world *w);

#endif
