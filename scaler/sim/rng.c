#include "scaler/sim/rng.h"

#include <math.h>

uint64_t sim_rng_next(struct sim_rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void sim_rng_init(struct sim_rng *r, uint64_t seed, uint64_t purpose)
{
	r->s = seed;
	r->s = sim_rng_next(r) ^ (purpose * 0xd1342543de82ef95u);
	(void)sim_rng_next(r);
}

double sim_rng_unit(struct sim_rng *r)
{
	return ((double)(sim_rng_next(r) >> 11) + 0.5) / 9007199254740992.0;
}

double sim_rng_between(struct sim_rng *r, double low, double high)
{
	return low + (high - low) * sim_rng_unit(r);
}

double sim_rng_exp(struct sim_rng *r, double mean)
{
	return -mean * log(sim_rng_unit(r));
}

double sim_rng_normal(struct sim_rng *r)
{
	double u = sim_rng_unit(r), v = sim_rng_unit(r);
	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

double sim_rng_lognormal(struct sim_rng *r, double median, double sigma)
{
	return median * exp(sigma * sim_rng_normal(r));
}
