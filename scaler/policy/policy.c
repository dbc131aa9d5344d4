#include "scaler/policy/policy.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What one snapshot means, before any history. */
struct demand {
	int64_t node_slots; /* of one node */
	int64_t running;    /* slots in use */
	int64_t waiting;    /* slots asked for by queries that wait */
	double service_s;   /* 0: unknown */
	bool panic;         /* somebody waits for more than half of what is allowed */
	int64_t need;       /* nodes */
	int64_t keep;       /* nodes below which none is taken */
	bool worth;         /* whether more nodes than there are would help in time */
};

static int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t clamp(int64_t n, const struct source_limits *l)
{
	return n < l->min ? l->min : n > l->max ? l->max : n;
}

static void say(struct policy_decision *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct policy_decision *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(d->reason, sizeof(d->reason), fmt, ap);
	va_end(ap);
}

static int64_t nodes_for(double slots, int64_t node_slots)
{
	return (int64_t)ceil(slots / (double)node_slots - 1e-9);
}

/* By prior days or by cycles within the day. */
static int64_t foreseen(const struct source_limits *l, const struct policy_state *s)
{
	return clamp(at_least(s->forecast, s->cycle), l);
}

/* ---- demand ----------------------------------------------------------------------------------- */

/* A node counts only if the queued work outlasts its start, or has outlasted it already. */
static bool worth_a_node(const struct demand *d, const struct source_snapshot *snap,
                         const struct policy_state *s, int64_t now)
{
	int64_t start_ms = s->start_ms + s->warm_ms;
	double start_s = (double)start_ms / 1000;
	int64_t lasting_ms = start_ms < POLICY_LASTING_MS ? start_ms : POLICY_LASTING_MS;
	if (snap->slots == 0 || d->service_s <= 0)
		return true; /* it never drains, or nobody knows when */
	if ((double)d->waiting * d->service_s / (double)snap->slots >= start_s)
		return true;
	return snap->oldest_wait_s * 1000 >= (double)lasting_ms ||
	       now - s->queue_since_ms >= lasting_ms;
}

/* Service times are near enough to lognormal: their mean follows from two quantiles. The median alone would make the
 * work in a queue a third of what it is. */
static double mean_service_s(const struct source_snapshot *snap)
{
	double p50 = snap->service_p50_s, p95 = snap->service_p95_s;
	if (p50 <= 0 || p95 <= p50)
		return p50;
	double sigma = log(p95 / p50) / 1.645;
	return fmin(p50 * exp(sigma * sigma / 2), p95);
}

/* How many slots more would take in what arrives faster than it is done: the growth of the work in the queue. */
static double growth(const struct demand *d, struct policy_state *s, int64_t now)
{
	double work_ms = fmin((double)d->waiting * d->service_s * 1000, 1e15);
	/* A log may say that the last step came later: no time passed then. */
	double passed = fmax(0, (double)(now - s->last_ms) / (double)POLICY_GROWTH_MS);
	if (s->queued_ms < 0) /* the first look */
		s->queued_ms = (int64_t)work_ms;
	s->queued_ms += (int64_t)((work_ms - (double)s->queued_ms) * (1 - exp(-passed)));
	/* A queue that is younger than the smoothing has shown only this much of its growth. */
	double age_ms = fmax((double)POLICY_YOUNG_MS, (double)(now - s->queue_since_ms));
	double span_ms = (double)POLICY_GROWTH_MS * (1 - exp(-age_ms / (double)POLICY_GROWTH_MS));
	return fmax(0, (work_ms - (double)s->queued_ms) / span_ms);
}

/* What of the waiting work is worth slots of its own: not what the nodes that are there will have done before another
 * could help, or well within the target. All of it in panic, where a node starts within the target. */
static double worth_slots(const struct source_limits *l, const struct demand *d,
                          struct policy_state *s, int64_t now)
{
	double waiting = (double)d->waiting, grows = growth(d, s, now);
	double start_s = (double)(s->start_ms + s->warm_ms) / 1000;
	double span_s = fmax(l->wait_target_s, (double)POLICY_STARTS * start_s);
	if (d->service_s <= 0 || d->service_s >= span_s ||
	    (d->panic && start_s <= l->wait_target_s))
		return waiting;
	return fmin(waiting, waiting * d->service_s / span_s + grows);
}

static struct demand measure(const struct source_limits *l, const struct source_snapshot *snap,
                             struct policy_state *s, int64_t now)
{
	struct demand d = { .service_s = mean_service_s(snap) };
	if (snap->slots_of_a_node > 0)
		s->slots_of_a_node = snap->slots_of_a_node;
	d.node_slots = at_least(l->slots_per_node ? l->slots_per_node : s->slots_of_a_node, 1);
	/* slots_asked counts running queries too; while some wait, those that run fill the nodes. */
	d.running =
		snap->pending && snap->slots_asked > snap->slots ? snap->slots : snap->slots_asked;
	d.waiting = snap->slots_asked - d.running;
	if (d.waiting == 0)
		s->queue_since_ms = 0;
	else if (s->queue_since_ms == 0)
		s->queue_since_ms = now;
	d.panic = d.waiting > 0 && snap->oldest_wait_s > l->wait_target_s / 2;
	double slots = worth_slots(l, &d, s, now);
	d.need = nodes_for((double)d.running + slots, d.node_slots);
	d.keep = nodes_for((double)d.running * POLICY_HEADROOM + slots, d.node_slots);
	if (d.need == 0 && (snap->running > 0 || snap->tasks > 0) && snap->nodes > 0)
		d.need = 1; /* not idle: the last node stays */
	d.worth = d.waiting == 0 || worth_a_node(&d, snap, s, now);
	if (!d.worth && d.need > snap->nodes)
		d.need = at_least(snap->nodes, nodes_for((double)d.running, d.node_slots));
	d.need = clamp(d.need, l);
	/* Room to breathe keeps a node that is there; it never asks for one. */
	int64_t there = snap->nodes < s->desired ? snap->nodes : s->desired;
	d.keep = at_least(d.need, d.keep < there ? d.keep : there);
	return d;
}

/* ---- the window ------------------------------------------------------------------------------- */

static int64_t slice_ms(const struct source_limits *l)
{
	return at_least(l->scale_in_window_ms / (POLICY_BUCKETS - 1), 1);
}

int64_t policy_window_at(const struct policy_state *s, size_t i)
{
	return s->slice - (s->slice - (int64_t)i) % POLICY_BUCKETS;
}

void policy_window_put(struct policy_state *s, int64_t slice, int64_t need)
{
	/* Slices that went far back have another length: the window was changed. */
	if (slice <= s->slice - POLICY_BUCKETS || slice >= s->slice + POLICY_BUCKETS) {
		memset(s->slice_need, 0, sizeof(s->slice_need));
		s->slice = slice;
	}
	for (; s->slice < slice; s->slice++)
		s->slice_need[(s->slice + 1) % POLICY_BUCKETS] = 0;
	uint16_t kept = (uint16_t)(1 + (need > POLICY_NEED_MAX ? POLICY_NEED_MAX : need));
	uint16_t *at = &s->slice_need[slice % POLICY_BUCKETS];
	*at = kept > *at ? kept : *at;
}

static void remember(const struct source_limits *l, struct policy_state *s, int64_t now,
                     int64_t need)
{
	policy_window_put(s, now / slice_ms(l) + 1, need);
}

static int64_t peak(const struct source_limits *l, const struct policy_state *s, int64_t now,
                    int64_t slices)
{
	int64_t slice = now / slice_ms(l) + 1, most = 0;
	for (size_t i = 0; i < POLICY_BUCKETS; i++) {
		int64_t at = policy_window_at(s, i);
		if (s->slice_need[i] && at > slice - slices && at <= slice)
			most = at_least(most, s->slice_need[i] - 1);
	}
	return most;
}

static bool lull(const struct policy_state *s)
{
	return s->calm > 0 && (double)(s->calm - 1) <= POLICY_LULL * (double)s->desired;
}

/* Of the window; when the cycles foresee a lull: of a short one, and what the lull needs. */
static int64_t most_needed(const struct source_limits *l, const struct policy_state *s, int64_t now)
{
	int64_t most = peak(l, s, now, POLICY_BUCKETS);
	if (!lull(s) || s->calm > most)
		return most;
	return at_least(s->calm - 1, peak(l, s, now, POLICY_CALM_SLICES));
}

/* After a start, a silence or an FE that began anew nothing is known of the past: what is there counts as
 * needed, so that only a whole window of quiet takes a node away. */
static void begin(const struct source_limits *l, const struct source_snapshot *snap,
                  struct policy_state *s, int64_t now)
{
	if (s->begun && s->epoch == snap->epoch && now - s->last_ms <= POLICY_GAP_MS)
		return;
	if (!s->begun) {
		s->desired = clamp(at_least(snap->nodes, l->replicas), l);
		s->start_ms = POLICY_START_MS;
	}
	s->begun = true;
	s->epoch = snap->epoch;
	s->queue_since_ms = 0;
	s->raised_ms = 0;
	s->joined_ms = 0;
	s->queued_ms = -1;
	remember(l, s, now, s->desired);
}

/* ---- up and down ------------------------------------------------------------------------------ */

static void learn_start(const struct source_snapshot *snap, struct policy_state *s, int64_t now)
{
	if (s->raised_ms && snap->nodes >= s->desired) {
		s->start_ms = (s->start_ms + (now - s->raised_ms)) / 2;
		s->raised_ms = 0;
		s->joined_ms = now;
	}
	if (s->joined_ms && snap->idle_nodes == 0 && snap->tasks > 0) {
		s->warm_ms = (s->warm_ms + (now - s->joined_ms)) / 2;
		s->joined_ms = 0;
	} else if (snap->pending == 0) {
		s->joined_ms = 0; /* nothing is left for them: no measure of their warmth */
	}
}

/* want: the need, or a forecast when that is more. */
static void raise(const struct source_limits *l, const struct demand *d,
                  const struct source_snapshot *snap, int64_t want, int64_t now,
                  struct policy_state *s, struct policy_decision *ret)
{
	if (s->stepped_ms && now - s->stepped_ms < POLICY_MISSED_WINDOWS * l->scale_in_window_ms)
		s->missed_ms = now;
	s->desired = want;
	s->raised_ms = now;
	s->joined_ms = 0;
	if (want > d->need && want > clamp(s->forecast, l))
		say(ret, "forecast: the last cycles of %lld min needed %lld nodes about now",
		    (long long)s->period_min, (long long)want);
	else if (want > d->need)
		say(ret, "forecast: prior days needed %lld nodes about now", (long long)want);
	else if (d->waiting == 0)
		say(ret, "floor: at least %lld", (long long)d->need);
	else
		say(ret, "%s: %lld slots wait up to %.1f s, %lld run", d->panic ? "panic" : "queue",
		    (long long)d->waiting, snap->oldest_wait_s, (long long)d->running);
}

static bool missed(const struct source_limits *l, const struct policy_state *s, int64_t now)
{
	return s->missed_ms && now - s->missed_ms < POLICY_KEPT_WINDOWS * l->scale_in_window_ms &&
	       !lull(s);
}

/* Whether one node less is right now; else why not. */
static bool may_lower(const struct source_limits *l, const struct source_snapshot *snap,
                      const struct policy_state *s, int64_t now, struct policy_decision *ret)
{
	if (now - s->stepped_ms < POLICY_STEP_MS && s->stepped_ms)
		say(ret, "hold: a node was taken %.1f s ago", (double)(now - s->stepped_ms) / 1000);
	else if (missed(l, s, now))
		say(ret, "hold: the last node taken was missed %lld s ago",
		    (long long)((now - s->missed_ms) / 1000));
	else if (s->calm > s->desired) /* it would be ordered again before it has paid */
		say(ret,
		    "hold: the last cycles of %lld min needed %lld nodes within minutes from now",
		    (long long)s->period_min, (long long)(s->calm - 1));
	else if (snap->nodes + snap->draining > s->desired)
		say(ret, "hold: %lld nodes until the last one taken has left",
		    (long long)(snap->nodes + snap->draining));
	else if (snap->nodes == s->desired && snap->idle_nodes == 0)
		say(ret, "hold: every node runs something");
	else if (s->desired == 1 && (snap->slots_asked || snap->running || snap->tasks))
		say(ret, "hold: not idle");
	else
		return true;
	return false;
}

static void say_down(const struct source_limits *l, const struct policy_state *s, int64_t most,
                     struct policy_decision *ret)
{
	if (lull(s) && most >= s->calm - 1)
		say(ret, "down: cycles of %lld min foresee a lull, at most %lld nodes",
		    (long long)s->period_min, (long long)most);
	else
		say(ret, "down: at most %lld needed for %lld s", (long long)most,
		    (long long)(l->scale_in_window_ms / 1000));
}

static void settle(const struct source_limits *l, const struct demand *d,
                   const struct source_snapshot *snap, int64_t now, struct policy_state *s,
                   struct policy_decision *ret)
{
	int64_t most = most_needed(l, s, now), want = at_least(d->need, foreseen(l, s));
	if (s->desired > l->max) {
		s->desired = l->max;
		say(ret, "maxReplicas is %lld", (long long)l->max);
	} else if (want > s->desired) {
		raise(l, d, snap, want, now, s, ret);
	} else if (most < s->desired && may_lower(l, snap, s, now, ret)) {
		say_down(l, s, most, ret);
		s->desired--;
		s->stepped_ms = now;
		s->raised_ms = 0;
	} else if (want >= s->desired && d->need < s->desired && want > clamp(s->forecast, l)) {
		say(ret, "hold: the last cycles of %lld min needed %lld nodes about now",
		    (long long)s->period_min, (long long)s->cycle);
	} else if (want >= s->desired && d->need < s->desired) {
		say(ret, "hold: prior days needed %lld nodes about now", (long long)s->forecast);
	} else if (most >= s->desired && d->need < s->desired) {
		say(ret, "hold: %lld needed within the last %lld s", (long long)most,
		    (long long)(l->scale_in_window_ms / 1000));
	} else if (!d->worth) {
		say(ret, "hold: the queue drains sooner than a node starts (%.1f s)",
		    (double)(s->start_ms + s->warm_ms) / 1000);
	} else if (s->desired == l->max && d->waiting > 0) {
		say(ret, "at maxReplicas, %lld slots wait", (long long)d->waiting);
	} else if (most >= s->desired && snap->nodes < s->desired) {
		say(ret, "up: %lld of %lld nodes are there", (long long)snap->nodes,
		    (long long)s->desired);
	} else if (most >= s->desired) {
		say(ret, s->desired ? "steady" : "idle");
	}
}

void policy_adopt(const struct source_limits *limits, int64_t now_ms, int64_t desired,
                  struct policy_state *state)
{
	state->desired = desired;
	remember(limits, state, now_ms, desired);
}

void policy_step(const struct source_limits *limits, const struct source_snapshot *snap,
                 int64_t now_ms, struct policy_state *state, struct policy_decision *ret)
{
	memset(ret, 0, sizeof(*ret));
	begin(limits, snap, state, now_ms);
	struct demand d = measure(limits, snap, state, now_ms);
	state->need = d.need;
	remember(limits, state, now_ms, at_least(d.keep, foreseen(limits, state)));
	learn_start(snap, state, now_ms);
	settle(limits, &d, snap, now_ms, state, ret);
	state->last_ms = now_ms;
	ret->desired = state->desired;
	ret->active = state->desired > 0 || snap->pending > 0 || snap->running > 0;
}
