/* Which compute nodes leave, and when: those whose loss costs least, after the FE has stopped giving them work.
 *
 * What runs there counts first, then what its cache holds; the ReplicaSet follows by pod-deletion-cost. Roost's own FE
 * takes a mark for each of them (docs/draining.md), and replicas fall only when nothing runs there any more, or after
 * drainSeconds. An FE of StarRocks' own knows no such mark: there the grace period of the pod is all. */
#include <stdlib.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum {
	DRAIN_S = 110, /* when the CR gives no drainSeconds; what a node itself gives its tasks */
	MARK_S = 60,   /* renewed each second; a mark that is forgotten is over after so long */
	SETTLE_S = 2,  /* tasks that were on their way are counted after so long at the latest */
	AGAIN_MS = 1000,
	RUNNING_MAX = 999,
	CACHED_MAX = 999999, /* MiB: below one thing that runs */
	LEAVING = 1000000000 /* a victim is cheaper than whoever stays, whatever it holds */
};

struct candidate {
	const json_t *pod;
	const char *name, *ip;
	const json_t *row; /* of the FE; NULL: it does not know it */
	bool serves, chosen_before;
	int64_t cost;
};

/* ---- what the FE says of a node ---- */
static bool is_at(const char *address, const char *ip)
{
	size_t len = strlen(ip);
	/* "10.0.0.7:9050" or the address alone; IPv6 in brackets. */
	if (address && *address == '[')
		address++;
	return address && strncmp(address, ip, len) == 0 &&
	       (address[len] == ':' || address[len] == ']' || !address[len]);
}

static const json_t *row_at(const json_t *fe, const char *ip)
{
	size_t i;
	const json_t *n;
	json_array_foreach(data_get(fe, "load.nodes"), i, n)
	{
		if (is_at(data_get_str(n, "address"), ip))
			return n;
	}
	json_array_foreach(json_object_get(fe, "nodes"), i, n)
	{
		const char *host = data_get_str(n, "host");
		if (host && strcmp(host, ip) == 0)
			return n;
	}
	return NULL;
}

int64_t reconcile_running_on(const json_t *fe, const char *ip)
{
	return data_get_int(row_at(fe, ip), "running", 0);
}

static int64_t cost_of(const struct candidate *c)
{
	int64_t running = data_get_int(c->row, "running", 0);
	int64_t cached = data_get_int(c->row, "cached_bytes", 0) / (1024 * 1024);
	if (!c->ip)
		return -1;
	running = running > RUNNING_MAX ? RUNNING_MAX : running;
	cached = cached > CACHED_MAX ? CACHED_MAX : cached < 0 ? 0 : cached;
	return running * (CACHED_MAX + 1) + cached;
}

/* ---- who leaves ---- */
/* As a ReplicaSet chooses: what does not serve goes before what does, then by cost. Whoever was chosen stays so, unless
 * another one runs less. */
static int cheapest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->serves != y->serves)
		return x->serves ? 1 : -1;
	int64_t xr = data_get_int(x->row, "running", 0), yr = data_get_int(y->row, "running", 0);
	if (xr != yr)
		return xr < yr ? -1 : 1;
	if (x->chosen_before != y->chosen_before)
		return x->chosen_before ? -1 : 1;
	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return strcmp(x->name, y->name);
}

static const json_t *chosen_before(const struct step *s)
{
	return data_get(s->m->cr, "status.starRocksCnStatus.drain.pods");
}

/* Those that are there and not on their way out, the cheapest first. */
static struct candidate *candidates(const struct step *s, const json_t *fe, size_t *ret_n)
{
	const json_t *pods = json_object_get(s->world, "pods"), *pod;
	struct candidate *c = xcalloc(json_array_size(pods) + 1, sizeof(*c));
	size_t i, n = 0;
	json_array_foreach(pods, i, pod)
	{
		const char *name = data_get_str(pod, "metadata.name");
		const char *ip = data_get_str(pod, "status.podIP");
		if (!name || reconcile_pod_role(s, pod) != MODEL_CN ||
		    data_get_str(pod, "metadata.deletionTimestamp"))
			continue;
		c[n] = (struct candidate){ .pod = pod,
			                   .name = name,
			                   .ip = ip,
			                   .row = ip ? row_at(fe, ip) : NULL,
			                   .serves = reconcile_pod_ready(pod),
			                   .chosen_before = data_has(chosen_before(s), name) };
		c[n].cost = cost_of(&c[n]);
		n++;
	}
	qsort(c, n, sizeof(*c), cheapest_first);
	*ret_n = n;
	return c;
}

/* Written only now, just before fewer are asked for. */
static void write_costs(struct step *s, const struct candidate *c, size_t n, size_t victims)
{
	for (size_t i = 0; i < n; i++) {
		const char *was = data_get_str(c[i].pod, "metadata.annotations.controller"
		                                         "\\.kubernetes\\.io/pod-deletion-cost");
		autofree char *cost = xasprintf(
			"%lld", (long long)(i < victims ? c[i].cost - LEAVING : c[i].cost));
		if (was && strcmp(was, cost) == 0)
			continue;
		json_array_append_new(
			s->writes, json_pack("{s:s, s:s, s:s, s:s*, s:s}", "verb", "cost", "kind",
		                             "Pod", "name", c[i].name, "uid",
		                             data_get_str(c[i].pod, "metadata.uid"), "cost", cost));
	}
}

/* ---- marks ---- */
/* Each FE keeps marks of its own. */
static json_t *fe_hosts(const struct step *s)
{
	json_t *hosts = json_array();
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *ip = data_get_str(pod, "status.podIP");
		if (ip && reconcile_pod_role(s, pod) == MODEL_FE && reconcile_pod_ready(pod))
			json_array_append_new(hosts, json_string(ip));
	}
	return hosts;
}

static void mark(struct step *s, json_t *nodes /* taken over */, int64_t seconds)
{
	if (json_array_size(nodes) == 0) {
		json_decref(nodes);
		return;
	}
	json_array_append_new(s->intents,
	                      json_pack("{s:s, s:o, s:I, s:o, s:I}", "do", "drain", "nodes", nodes,
	                                "seconds", (json_int_t)seconds, "fes", fe_hosts(s),
	                                "generation", (json_int_t)s->m->generation));
	reconcile_ask(s, AGAIN_MS);
}

static void remember(struct step *s, json_t *names /* taken over */, int64_t since)
{
	if (json_array_size(names) == 0) {
		json_decref(names);
		return;
	}
	s->drain = json_pack("{s:I, s:o}", "since", (json_int_t)since, "pods", names);
	reconcile_requeue(s, AGAIN_MS);
}

/* Nodes that were chosen and are not any more serve again. They stay in names until the FE says so: an intent alone may
 * be overtaken by the next step's. sure: the FE's answer is fresh, and says who is marked; one who was forgotten while a
 * mark was on its way is among them. */
static void unmark(struct step *s, const struct candidate *c, size_t n, size_t victims, bool sure,
                   json_t *names)
{
	json_t *nodes = json_array();
	for (size_t i = victims; i < n; i++) {
		if (!c[i].ip ||
		    !(sure ? data_get_bool(c[i].row, "draining", false) : c[i].chosen_before))
			continue;
		json_array_append_new(nodes, json_string(c[i].ip));
		json_array_append_new(names, json_string(c[i].name));
	}
	mark(s, nodes, 0);
}

/* Nothing runs there, and nothing will: the FE says so of a node that it has marked. One that it did not list is
 * empty unless it serves: then it has joined since. */
static bool is_empty(const struct candidate *c, bool settled)
{
	if (!c->row)
		return !c->serves;
	return settled && c->chosen_before && data_get_bool(c->row, "draining", false) &&
	       data_get_int(c->row, "running", 1) == 0;
}

static int64_t drain_since(const struct step *s)
{
	return data_get_int(s->m->cr, "status.starRocksCnStatus.drain.since", s->now_ms / 1000);
}

/* How many of the victims may go now; those before come first. */
static size_t drained(struct step *s, const struct candidate *c, size_t n, size_t victims)
{
	int64_t limit = s->m->part[MODEL_CN].drain_s >= 0 ? s->m->part[MODEL_CN].drain_s : DRAIN_S;
	int64_t passed = s->now_ms / 1000 - drain_since(s);
	json_t *nodes = json_array(), *names = json_array();
	size_t empty = 0;
	unmark(s, c, n, victims, true, names);
	for (size_t i = 0; i < victims; i++) {
		empty += passed >= limit || is_empty(&c[i], passed >= SETTLE_S);
		if (c[i].row)
			json_array_append_new(nodes, json_string(c[i].ip));
	}
	mark(s, nodes, MARK_S);
	if (empty < victims) {
		for (size_t i = 0; i < victims; i++)
			json_array_append_new(names, json_string(c[i].name));
		reconcile_wait(s,
		               "%zu compute nodes are to leave and get no more work: %zu still run "
		               "some",
		               victims, victims - empty);
	}
	remember(s, names, drain_since(s));
	return empty;
}

int64_t reconcile_leave(struct step *s, const json_t *fe, int64_t want, int64_t have)
{
	size_t n = 0;
	autofree struct candidate *c = candidates(s, fe, &n);
	size_t victims = (int64_t)n > want ? n - (size_t)want : 0, may = victims;
	if (s->m->engine && !s->m->warehouse && json_is_array(data_get(fe, "load.nodes")))
		may = drained(s, c, n, victims);
	int64_t shall = (int64_t)(n - may) > want ? (int64_t)(n - may) : want;
	if (shall >= have)
		return have;
	write_costs(s, c, n, victims);
	return shall;
}

void reconcile_stay(struct step *s, int64_t want, bool sure)
{
	const json_t *fe = json_object_get(s->world, "fe");
	size_t n = 0;
	if (json_array_size(chosen_before(s)) == 0 || !data_get_bool(fe, "ok", false))
		return; /* marks that nobody renews end */
	autofree struct candidate *c = candidates(s, fe, &n);
	json_t *names = json_array();
	if ((int64_t)n <= want)
		unmark(s, c, n, 0, sure, names);
	else /* fewer are asked for already: the ReplicaSet is about to take them */
		json_array_extend(names, (json_t *)(uintptr_t)chosen_before(s));
	remember(s, names, drain_since(s));
}
