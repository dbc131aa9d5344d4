#include "lib/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_real_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

struct deadline deadline_in(int64_t ms)
{
	return (struct deadline){ clock_mono_ms() + (ms > 0 ? ms : 0) };
}

int64_t deadline_left_ms(struct deadline d)
{
	int64_t left = d.at_ms - clock_mono_ms();
	return left > 0 ? left : 0;
}

bool deadline_passed(struct deadline d)
{
	return deadline_left_ms(d) == 0;
}

struct deadline deadline_min(struct deadline a, struct deadline b)
{
	return a.at_ms < b.at_ms ? a : b;
}

void clock_rfc3339(int64_t real_ms, char out[CLOCK_RFC3339_MAX])
{
	time_t seconds = (time_t)(real_ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	size_t n = strftime(out, CLOCK_RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, CLOCK_RFC3339_MAX - n, ".%03dZ", (int)(real_ms % 1000));
}

void clock_sql(int64_t real_ms, char out[CLOCK_RFC3339_MAX])
{
	time_t seconds = (time_t)(real_ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(out, CLOCK_RFC3339_MAX, "%Y-%m-%d %H:%M:%S", &tm);
}

int clock_from_rfc3339(const char *text, int64_t *ret_real_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return -EINVAL;
	int64_t fraction_ms = 0;
	if (*rest == '.') {
		int64_t scale = 100;
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			fraction_ms += (*rest - '0') * scale;
	}
	if (strcmp(rest, "Z") != 0)
		return -EINVAL;
	*ret_real_ms = (int64_t)timegm(&tm) * 1000 + fraction_ms;
	return 0;
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}
