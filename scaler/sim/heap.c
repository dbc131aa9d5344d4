/* The heap of events: by time, then by the order in which they were made. */
#include "scaler/sim/world_priv.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->serial < b->serial;
}

void sim_heap_push(struct sim_world *w, int64_t at_ms, enum sim_event_kind kind, uint32_t a,
                   uint32_t b)
{
	if (w->n_heap == w->cap_heap) {
		w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 256;
		w->heap = xreallocarray(w->heap, w->cap_heap, sizeof(*w->heap));
	}
	struct sim_event e = { .at_ms = at_ms < w->now ? w->now : at_ms,
		               .serial = w->heap_serial++,
		               .kind = kind,
		               .a = a,
		               .b = b };
	size_t i = w->n_heap++;
	for (; i > 0 && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

bool sim_heap_pop(struct sim_world *w, struct sim_event *ret)
{
	if (w->n_heap == 0)
		return false;
	*ret = w->heap[0];
	struct sim_event e = w->heap[--w->n_heap];
	size_t i = 0;
	for (;;) {
		size_t k = 2 * i + 1;
		if (k >= w->n_heap)
			break;
		if (k + 1 < w->n_heap && before(&w->heap[k + 1], &w->heap[k]))
			k++;
		if (!before(&w->heap[k], &e))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	if (w->n_heap)
		w->heap[i] = e;
	return true;
}
