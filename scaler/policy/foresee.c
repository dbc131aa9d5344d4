#include "scaler/policy/foresee.h"

#include "scaler/policy/cycle.h"

enum { MINUTE_MS = 60000, LULL_MIN = 15 };

void policy_foresee(const struct policy_history *h, int64_t real_ms, struct policy_state *s)
{
	int16_t recent[POLICY_CYCLE_MINUTES];
	struct policy_cycle c;
	int64_t lead_ms = s->start_ms + s->warm_ms;
	int64_t lead = (lead_ms + MINUTE_MS - 1) / MINUTE_MS;
	s->forecast = policy_history_forecast(h, real_ms, lead_ms);
	policy_history_recent(h, real_ms, POLICY_CYCLE_MINUTES, recent);
	policy_cycle_find(recent, POLICY_CYCLE_MINUTES,
	                  lead < POLICY_HORIZON_MIN_MAX ? lead : POLICY_HORIZON_MIN_MAX, LULL_MIN,
	                  &c);
	s->cycle = c.nodes;
	s->period_min = c.period_min;
	s->calm = c.period_min ? c.calm_nodes + 1 : 0;
}
