/* Time: monotonic milliseconds for deadlines, real time for people.
 *
 * Thread: safe. Every network call takes a struct deadline; leases and timeouts use the monotonic
 * clock only, so a jump of the wall clock moves nothing. */
#ifndef ROOST_BASE_CLOCK_H
#define ROOST_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_RFC3339_MAX = 32 };

struct deadline {
	int64_t at_ms; /* on the monotonic clock */
};

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_real_ms(void); /* since 1970, UTC */

struct deadline deadline_in(int64_t ms);     /* ms < 0 counts as 0 */
int64_t deadline_left_ms(struct deadline d); /* 0 when passed */
bool deadline_passed(struct deadline d);
struct deadline deadline_min(struct deadline a, struct deadline b);

/* "2026-11-21T01:12:23.456Z"; and back (fraction optional, only Z): 0 or -EINVAL. */
void clock_rfc3339(int64_t real_ms, char out[CLOCK_RFC3339_MAX]);
int clock_from_rfc3339(const char *text, int64_t *ret_real_ms);
/* "2026-11-21 01:12:23", UTC: the form of SHOW statements. */
void clock_sql(int64_t real_ms, char out[CLOCK_RFC3339_MAX]);

void clock_sleep_ms(int64_t ms);

#endif
