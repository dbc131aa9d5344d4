/* A seeded generator of our own: the same seed gives the same numbers on every machine.
 *
 * Thread: one owner a generator. SplitMix64 (Steele et al. 2014): 64 bits of state, so that a generator for every
 * purpose of a run is cheap and a policy that draws more of one kind shifts no other. */
#ifndef ROOST_SCALER_SIM_RNG_H
#define ROOST_SCALER_SIM_RNG_H

#include <stdint.h>

struct sim_rng {
	uint64_t s;
};

/* Seeds from two numbers: of the run, and of what it is for. */
void sim_rng_init(struct sim_rng *r, uint64_t seed, uint64_t purpose);
uint64_t sim_rng_next(struct sim_rng *r);
double sim_rng_unit(struct sim_rng *r); /* above 0, below 1 */
double sim_rng_between(struct sim_rng *r, double low, double high);
double sim_rng_exp(struct sim_rng *r, double mean);
double sim_rng_normal(struct sim_rng *r);
double sim_rng_lognormal(struct sim_rng *r, double median, double sigma);

#endif
