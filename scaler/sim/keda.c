#include "scaler/sim/keda.h"

int64_t sim_keda_poll(struct sim_keda *k, const struct sim_keda_config *c, bool known, bool active,
                      int64_t spec, int64_t now)
{
	if (!known) {
		k->failures++;
		return spec;
	}
	k->failures = 0;
	if (active)
		k->active_ms = now;
	if (active && spec == 0)
		return c->min > 0 ? c->min : 1;
	if (!active && spec > 0 && c->min == 0 && now - k->active_ms > c->cooldown_ms)
		return 0;
	if (!active && spec < c->min)
		return c->min;
	return spec;
}

bool sim_keda_read(struct sim_keda *k, const struct sim_keda_config *c, bool known, double target,
                   int64_t status, double *value)
{
	if (known) {
		k->failures = 0;
		return true;
	}
	k->failures++;
	if (c->failure_threshold == 0 || k->failures <= c->failure_threshold)
		return false;
	int64_t n = c->fallback_replicas > status ? c->fallback_replicas : status;
	*value = target * (double)n;
	return true;
}
