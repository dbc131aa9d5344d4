#include "scaler/policy/history.h"

#include <errno.h>

#include "lib/base/vec.h"

enum { MINUTE_MS = 60000, UNKNOWN = -1 };

struct run {
	int16_t need;
	uint16_t minutes;
};

struct day {
	int64_t number; /* since 1970 */
	uint32_t minutes;
	VEC(struct run) runs;
};

struct policy_history {
	VEC(struct day) days; /* oldest first; the last one is today */
};

struct policy_history *policy_history_new(void)
{
	return xcalloc(1, sizeof(struct policy_history));
}

void policy_history_free(struct policy_history *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->days.n; i++)
		vec_free(&h->days.v[i].runs);
	vec_free(&h->days);
	free(h);
}

/* ---- noting ----------------------------------------------------------------------------------- */

static void add_minutes(struct day *d, int16_t need, uint32_t minutes)
{
	struct run *last = d->runs.n ? &d->runs.v[d->runs.n - 1] : NULL;
	if (!minutes)
		return;
	if (last && last->need == need)
		last->minutes = (uint16_t)(last->minutes + minutes);
	else
		vec_push(&d->runs, (struct run){ need, (uint16_t)minutes });
	d->minutes += minutes;
}

/* The last minute needed more than was known. */
static void raise_last(struct day *d, int16_t need)
{
	struct run *last = &d->runs.v[d->runs.n - 1];
	if (last->need >= need)
		return;
	d->minutes--;
	if (--last->minutes == 0)
		d->runs.n--;
	add_minutes(d, need, 1);
}

static struct day *add_day(struct policy_history *h, int64_t number)
{
	if (h->days.n > POLICY_DAYS) {
		vec_free(&h->days.v[0].runs);
		memmove(h->days.v, h->days.v + 1, (h->days.n - 1) * sizeof(h->days.v[0]));
		h->days.n--;
	} else if (h->days.n ==
	           h->days.cap) { /* one more, not twice as many: there are thousands */
		h->days.v = xreallocarray(h->days.v, ++h->days.cap, sizeof(h->days.v[0]));
	}
	h->days.v[h->days.n] = (struct day){ .number = number };
	return &h->days.v[h->days.n++];
}

void policy_history_note(struct policy_history *h, int64_t real_ms, int64_t need)
{
	int64_t at = real_ms / MINUTE_MS, number = at / POLICY_MINUTES;
	uint32_t minute = (uint32_t)(at % POLICY_MINUTES);
	struct day *d = h->days.n ? &h->days.v[h->days.n - 1] : NULL;
	if (real_ms < 0 || need < 0 || (d && number < d->number))
		return;
	int16_t nodes = (int16_t)(need > POLICY_NODES_MAX ? POLICY_NODES_MAX : need);
	if (!d || number > d->number)
		d = add_day(h, number);
	if (minute >= d->minutes) {
		add_minutes(d, UNKNOWN, minute - d->minutes);
		add_minutes(d, nodes, 1);
	} else if (minute + 1 == d->minutes) {
		raise_last(d, nodes);
	}
}

/* ---- forecasting ------------------------------------------------------------------------------ */

static int64_t need_at(const struct policy_history *h, int64_t at)
{
	for (size_t i = 0; i < h->days.n; i++) {
		const struct day *d = &h->days.v[i];
		int64_t left = at - d->number * POLICY_MINUTES;
		if (left < 0 || left >= POLICY_MINUTES)
			continue;
		for (size_t j = 0; j < d->runs.n; j++) {
			if (left < d->runs.v[j].minutes)
				return d->runs.v[j].need;
			left -= d->runs.v[j].minutes;
		}
	}
	return UNKNOWN;
}

int64_t policy_history_forecast(const struct policy_history *h, int64_t real_ms, int64_t horizon_ms)
{
	int64_t now = real_ms / MINUTE_MS, minutes = (horizon_ms + MINUTE_MS - 1) / MINUTE_MS;
	int64_t highest = UNKNOWN, second = UNKNOWN;
	int known = 0;
	if (minutes > POLICY_HORIZON_MIN_MAX)
		minutes = POLICY_HORIZON_MIN_MAX;
	for (int64_t day = 1; day <= POLICY_DAYS; day++) {
		int64_t most = UNKNOWN;
		for (int64_t m = 0; m <= minutes; m++) {
			int64_t need = need_at(h, now + m - day * POLICY_MINUTES);
			most = need > most ? need : most;
		}
		if (most == UNKNOWN)
			continue;
		known++;
		if (most > highest) {
			second = highest;
			highest = most;
		} else if (most > second) {
			second = most;
		}
	}
	return known >= POLICY_DAYS_MIN && second > 0 ? second : 0;
}

void policy_history_recent(const struct policy_history *h, int64_t real_ms, size_t n, int16_t *ret)
{
	int64_t from = real_ms / MINUTE_MS - (int64_t)n;
	for (size_t i = 0; i < n; i++)
		ret[i] = UNKNOWN;
	for (size_t i = 0; i < h->days.n; i++) {
		const struct day *d = &h->days.v[i];
		int64_t at =
			d->number * POLICY_MINUTES - from; /* the place of the run's first minute */
		for (size_t j = 0; j < d->runs.n; j++) {
			int64_t end = at + d->runs.v[j].minutes;
			for (int64_t k = at < 0 ? 0 : at; k < end && k < (int64_t)n; k++)
				ret[k] = d->runs.v[j].need;
			at = end;
		}
	}
}

/* ---- text ------------------------------------------------------------------------------------- */

void policy_history_write(const struct policy_history *h, struct buf *out)
{
	for (size_t i = 0; i < h->days.n; i++) {
		const struct day *d = &h->days.v[i];
		(void)buf_addf(out, "%lld", (long long)d->number);
		for (size_t j = 0; j < d->runs.n; j++) {
			if (d->runs.v[j].need == UNKNOWN)
				(void)buf_addf(out, " -*%u", d->runs.v[j].minutes);
			else
				(void)buf_addf(out, " %d*%u", d->runs.v[j].need,
				               d->runs.v[j].minutes);
		}
		(void)buf_addc(out, '\n');
	}
}

static bool take_run(struct str text, struct day *d)
{
	struct str rest = text, need, minutes;
	uint64_t nodes = 0, n = 0;
	if (!str_split(&rest, '*', &need) || !str_split(&rest, '*', &minutes) || rest.p ||
	    str_to_u64(minutes, &n) < 0 || n == 0 || n > POLICY_MINUTES - d->minutes)
		return false;
	bool unknown = str_eqs(need, "-");
	if (!unknown && (str_to_u64(need, &nodes) < 0 || nodes > POLICY_NODES_MAX))
		return false;
	add_minutes(d, unknown ? UNKNOWN : (int16_t)nodes, (uint32_t)n);
	return true;
}

static bool take_day(struct str line, struct policy_history *h)
{
	struct str rest = line, word;
	int64_t number = 0;
	if (!str_split(&rest, ' ', &word) || str_to_i64(word, &number) < 0 || number < 0 ||
	    number > INT32_MAX || (h->days.n && number <= h->days.v[h->days.n - 1].number) ||
	    h->days.n > POLICY_DAYS)
		return false;
	struct day *d = add_day(h, number);
	while (str_split(&rest, ' ', &word))
		if (!take_run(word, d))
			return false;
	return true;
}

int policy_history_parse(struct str text, struct policy_history **ret, struct err *err)
{
	_cleanup_(policy_history_freep) struct policy_history *h = policy_history_new();
	struct str rest = text, line;
	for (int n = 1; str_split(&rest, '\n', &line); n++)
		if (line.len && !take_day(line, h))
			return err_set(err, -EINVAL,
			               "history: line %d must be a day and its nodes*minutes, days "
			               "rising, at most %d of them",
			               n, POLICY_DAYS + 1);
	*ret = TAKE_PTR(h);
	return 0;
}
