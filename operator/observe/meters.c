/* Counters with labels, and histograms. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/net/prom.h"
#include "operator/observe/metrics.h"

enum { COUNTERS_MAX = 256, LABEL_MAX = 48, BUCKETS = 12 };

static const struct {
	const char *name, *help, *a, *b;
} families[OBSERVE_FAMILIES] = {
	[OBSERVE_WRITES] = { "roost_operator_api_writes_total", "Writes that the API server took",
	                     "verb", "kind" },
	[OBSERVE_REFUSED] = { "roost_operator_api_writes_refused_total",
	                      "Writes that it did not take", "verb", "kind" },
	[OBSERVE_SQL] = { "roost_operator_sql_total", "Statements sent to FEs", "statement",
	                  "outcome" },
	[OBSERVE_WATCH] = { "roost_operator_watch_restarts_total", "Watches that had to start over",
	                    "kind", "why" },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter {
	enum observe_family family;
	char a[LABEL_MAX], b[LABEL_MAX];
	int64_t n;
} counters[COUNTERS_MAX];
static size_t used;

void observe_count(enum observe_family f, const char *a, const char *b)
{
	char x[LABEL_MAX], y[LABEL_MAX];
	snprintf(x, sizeof(x), "%s", a ? a : "");
	snprintf(y, sizeof(y), "%s", b ? b : "");
	pthread_mutex_lock(&lock);
	struct counter *c = NULL;
	for (size_t i = 0; i < used && !c; i++)
		if (counters[i].family == f && strcmp(counters[i].a, x) == 0 &&
		    strcmp(counters[i].b, y) == 0)
			c = &counters[i];
	/* Labels are words of this program: more than there is room for do not come. */
	if (!c && used < COUNTERS_MAX) {
		c = &counters[used++];
		c->family = f;
		memcpy(c->a, x, sizeof(x));
		memcpy(c->b, y, sizeof(y));
	}
	if (c)
		c->n++;
	pthread_mutex_unlock(&lock);
}

void observe_count_statement(const char *sql, const char *outcome)
{
	/* The verb and what it is about: never a name or a value. */
	char words[LABEL_MAX];
	size_t n = 0;
	int spaces = 0;
	for (const char *p = sql; *p && n + 1 < sizeof(words); p++) {
		if (*p == ' ' && ++spaces == 2)
			break;
		if (*p != ' ' && *p != '_' && (*p < 'A' || *p > 'Z') && (*p < 'a' || *p > 'z'))
			break;
		words[n++] = *p;
	}
	words[n] = '\0';
	observe_count(OBSERVE_SQL, words, outcome);
}

/* ---- what the CRs say ---- */
const char *const OBSERVE_CONDITION_NAME[OBSERVE_CONDITIONS] = { "Ready", "Progressing",
	                                                         "Degraded" };
static _Atomic int64_t says[2][OBSERVE_CONDITIONS];

void observe_condition_add(bool warehouse, enum observe_condition c, int64_t n)
{
	atomic_fetch_add(&says[warehouse][c], n);
}

static void conditions_text(struct buf *out)
{
	static const char name[] = "roost_operator_clusters";
	static const char *const kinds[] = { "StarRocksCluster", "StarRocksWarehouse" };
	prom_family(out, name, "gauge", "CRs of which the condition is true");
	for (int k = 0; k < 2; k++)
		for (int c = 0; c < OBSERVE_CONDITIONS; c++)
			prom_series(out, name, (double)atomic_load(&says[k][c]), "kind", kinds[k],
			            "condition", OBSERVE_CONDITION_NAME[c], NULL);
}

/* ---- times ---- */
static const struct {
	const char *name, *help;
} timers[OBSERVE_TIMERS] = {
	[OBSERVE_RECONCILE_TIME] = { "roost_operator_reconcile_seconds",
	                             "Time of a cluster's reconcile, writes included" },
	[OBSERVE_ASK_TIME] = { "roost_operator_ask_seconds", "Time of asking one FE" },
};
static const double bounds[BUCKETS] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
	                                0.1,   0.25,   0.5,   1,    2.5,   10 };
static _Atomic int64_t buckets[OBSERVE_TIMERS][BUCKETS + 1];
static _Atomic int64_t sums_us[OBSERVE_TIMERS];

void observe_time(enum observe_timer t, int64_t us)
{
	int i = 0;
	while (i < BUCKETS && (double)us > bounds[i] * 1e6)
		i++;
	atomic_fetch_add(&buckets[t][i], 1);
	atomic_fetch_add(&sums_us[t], us);
}

static void histogram(struct buf *out, enum observe_timer t)
{
	char name[80];
	int64_t n = 0;
	prom_family(out, timers[t].name, "histogram", timers[t].help);
	snprintf(name, sizeof(name), "%s_bucket", timers[t].name);
	for (int i = 0; i < BUCKETS; i++) {
		char le[16];
		snprintf(le, sizeof(le), "%g", bounds[i]);
		n += atomic_load(&buckets[t][i]);
		prom_series(out, name, (double)n, "le", le, NULL);
	}
	n += atomic_load(&buckets[t][BUCKETS]);
	prom_series(out, name, (double)n, "le", "+Inf", NULL);
	snprintf(name, sizeof(name), "%s_sum", timers[t].name);
	prom_series(out, name, (double)atomic_load(&sums_us[t]) / 1e6, NULL);
	snprintf(name, sizeof(name), "%s_count", timers[t].name);
	prom_series(out, name, (double)n, NULL);
}

void observe_meters_text(struct buf *out)
{
	for (int t = 0; t < OBSERVE_TIMERS; t++)
		histogram(out, (enum observe_timer)t);
	conditions_text(out);
	pthread_mutex_lock(&lock);
	for (int f = 0; f < OBSERVE_FAMILIES; f++) {
		prom_family(out, families[f].name, "counter", families[f].help);
		for (size_t i = 0; i < used; i++)
			if (counters[i].family == (enum observe_family)f)
				prom_series(out, families[f].name, (double)counters[i].n,
				            families[f].a, counters[i].a, families[f].b,
				            counters[i].b, NULL);
	}
	pthread_mutex_unlock(&lock);
}
