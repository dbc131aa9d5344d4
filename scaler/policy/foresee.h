/* What a pool's history says of the next minutes, put into the state of its next step: prior days (history.h) and cycles
 * within the day (cycle.h), whichever needs more.
 *
 * Thread: plain values; time is real time. To be called once a minute: sooner says nothing new. */
#ifndef ROOST_SCALER_POLICY_FORESEE_H
#define ROOST_SCALER_POLICY_FORESEE_H

#include "scaler/policy/history.h"
#include "scaler/policy/policy.h"

void policy_foresee(const struct policy_history *h, int64_t real_ms, struct policy_state *s);

#endif
