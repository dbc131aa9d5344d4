#include "operator/reconcile/run.h"

#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "lib/data/pool.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"

enum { RETRY_MS = 1000, RETRY_CAP_MS = 60000, TOKEN_CHECK_MS = 60000 };
/* What passes by itself passes in seconds: so many tries come soon, only then they come further and further apart. */
enum { RETRIES_SOON = 6 };
/* A look at a large cluster. */
enum { POOL_BYTES = 384 * 1024 };
enum { CAN_WAIT_MS = 700 };

/* ---- records ---- */
static void record_free(void *p)
{
	struct record *rec = p;
	reconcile_tally(rec, false, NULL);
	json_decref(rec->unkept);
	json_decref(rec->adopted);
	free(rec->rival);
	json_decref(rec->applied);
	json_decref(rec->problem);
	json_decref(rec->mounts);
	free(rec->scaler_secret);
	json_decref(rec->events);
	free(rec);
}

static struct record *record_of(struct reconcile *r, const char *key)
{
	pthread_mutex_lock(&r->lock);
	struct record *rec = map_get(r->records, key);
	if (!rec) {
		rec = xcalloc(1, sizeof(*rec));
		rec->applied = json_object();
		map_put(r->records, key, rec);
	}
	pthread_mutex_unlock(&r->lock);
	return rec;
}

static void forget(struct reconcile *r, const char *key)
{
	pthread_mutex_lock(&r->lock);
	map_del(r->records, key);
	pthread_mutex_unlock(&r->lock);
	observe_fe_forget(r->config.fe, key);
}

/* ---- the world ---- */
static int add_conf(struct worker *w, const char *key, const struct model_cluster *m, json_t *world,
                    struct err *err)
{
	json_t *conf = json_object();
	json_object_set_new(world, "conf", conf);
	for (int i = 0; i < MODEL_ROLES; i++) {
		const struct model_part *p = &m->part[i];
		autofree char *text = NULL;
		if (!p->present || !p->conf_map || !model_name_ok(p->conf_map))
			continue;
		int rc = observe_conf_get(w->r->config.conf, w->kube, key, m->ns, p->conf_map,
		                          p->conf_key, &text, err);
		if (rc != 0)
			return rc;
		json_object_set_new(conf, MODEL_ROLE_NAME[i], json_string(text));
	}
	return 0;
}

static void check_token(struct worker *w, struct record *rec, const struct model_cluster *m)
{
	autofree char *name = render_object_name(m->name, RENDER_TOKEN);
	struct kube_ref ref = { &KUBE_SECRET, m->ns, name, NULL };
	struct err err = ERR_INIT;
	int64_t now = clock_mono_ms();
	if (!rec->token || now - rec->token_at_ms < TOKEN_CHECK_MS)
		return;
	rec->token_at_ms = now;
	if (kube_get(w->kube, &ref, NULL, &err) == KUBE_NOT_FOUND)
		rec->token = false;
}

static json_t *root_secret_of(const struct model_cluster *m)
{
	const char *name = data_get_str(m->cr, "spec.rootPasswordSecret.name");
	const char *key = data_get_str(m->cr, "spec.rootPasswordSecret.key");
	return name ? json_pack("{s:s, s:s}", "name", name, "key", key ? key : "password") : NULL;
}

/* By name: the certificate is for one, not for the Service's address. */
static json_t *tls_of(const struct model_cluster *m, const char *dns)
{
	const json_t *tls = data_get(m->cr, "spec.tls");
	const char *secret = data_get_str(tls, "secretName");
	const char *ca = data_get_str(tls, "caSecretName");
	const char *name = data_get_str(tls, "serverName");
	return secret ? json_pack("{s:s, s:s}", "ca", ca ? ca : secret, "name", name ? name : dns)
	              : NULL;
}

json_t *reconcile_target(const struct reconcile *r, const struct model_cluster *m,
                         const json_t *world)
{
	autofree char *name = render_object_name(m->name, RENDER_FE_SERVICE);
	autofree char *key = xasprintf("Service/%s", name);
	autofree char *selector = render_selector(m->name, MODEL_CN);
	autofree char *dns = xasprintf("%s.%s.%s", name, m->ns, r->config.dns_suffix);
	const json_t *service = json_object_get(json_object_get(world, "objects"), key);
	const char *ip = data_get_str(service, "spec.clusterIP");
	const json_t *env = m->part[MODEL_FE].env;
	if (ip && (!*ip || strcmp(ip, "None") == 0))
		ip = dns;
	return json_pack("{s:s, s:s, s:s, s:s*, s:i, s:i, s:b, s:s, s:o*, s:o*, s:o*, s:o*}", "ns",
	                 m->ns, "name", m->name, "uid", m->uid, "host", ip, "query_port",
	                 m->part[MODEL_FE].ports.query, "http_port", m->part[MODEL_FE].ports.http,
	                 "engine", m->engine, "cn_selector", selector, "env",
	                 env ? json_deep_copy(env) : NULL, "root_secret", root_secret_of(m),
	                 "sql_user", reconcile_sql_user_target(m), "tls", tls_of(m, dns));
}

bool reconcile_any_fe_ready(const json_t *world)
{
	size_t i, j;
	const json_t *pod, *c;
	json_array_foreach(json_object_get(world, "pods"), i, pod)
	{
		const char *role =
			data_get_str(pod, "metadata.labels.app\\.kubernetes\\.io/component");
		if (!role || strcmp(role, "fe") != 0)
			continue;
		json_array_foreach(data_get(pod, "status.conditions"), j, c)
		{
			const char *type = data_get_str(c, "type");
			const char *status = data_get_str(c, "status");
			if (type && status && strcmp(type, "Ready") == 0 &&
			    strcmp(status, "True") == 0)
				return true;
		}
	}
	return false;
}

/* What the store cannot know: the configuration's text, what the FE said, what we remember. */
static int complete_world(struct worker *w, const char *key, struct record *rec, json_t *world,
                          json_t **ret_target, struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	json_object_set_new(world, "now_ms", json_integer(clock_real_ms()));
	json_object_set_new(world, "applied", json_deep_copy(rec->applied));
	if (rec->problem)
		json_object_set_new(world, "problem", json_deep_copy(rec->problem));
	reconcile_add_refused(w, world);
	reconcile_add_unkept(rec, world);
	reconcile_add_rival(rec, world);
	if (model_is_warehouse(json_object_get(world, "cr")))
		return reconcile_warehouse_world(w, key, rec, world, ret_target, err);
	/* A CR that cannot be decoded is the step's to tell. */
	if (model_cluster_decode(json_object_get(world, "cr"), &m, NULL) < 0)
		return 0;
	int rc = add_conf(w, key, m, world, err);
	if (rc != 0)
		return rc;
	for (int i = 0; i < MODEL_ROLES; i++) {
		const char *text = data_get_str(json_object_get(world, "conf"), MODEL_ROLE_NAME[i]);
		if (text)
			model_set_conf(m, (enum model_role)i, str_of(text));
	}
	rc = reconcile_add_mounts(w, key, rec, m, world, err);
	if (rc != 0)
		return rc;
	if (m->engine)
		check_token(w, rec, m);
	json_object_set_new(world, "token", json_boolean(rec->token));
	if (w->r->config.nodes)
		observe_nodes_add(w->r->config.nodes, world);
	json_t *keda = reconcile_keda_world(w, rec, m);
	if (keda)
		json_object_set_new(world, "keda", keda);
	reconcile_add_warnings(w, world);
	json_t *answer = observe_fe_answer(w->r->config.fe, key);
	if (answer)
		json_object_set_new(world, "fe", answer);
	if (reconcile_any_fe_ready(world) && !m->deleting)
		*ret_target = reconcile_target(w->r, m, world);
	return 0;
}

/* ---- one cluster, once ---- */
static void again(struct worker *w, const char *key, struct record *rec, int64_t wait_ms)
{
	unsigned late = rec->failures < RETRIES_SOON ? 0 : rec->failures - RETRIES_SOON + 1;
	int64_t backoff = http_backoff_ms(late, RETRY_MS, RETRY_CAP_MS);
	rec->failures++;
	observe_metric_add(OBSERVE_RECONCILE_ERRORS, 1);
	observe_queue_add(w->r->config.queue, key, backoff > wait_ms ? backoff : wait_ms);
}

static void log_problem(const char *key, const json_t *before, const json_t *now)
{
	if (now && !json_equal(before, now))
		log_warn("cluster=%s %s: %s", key, data_get_str(now, "reason"),
		         data_get_str(now, "message"));
}

/* What the store holds now: the server's answers to our writes among it. The CR stays the one that was acted
 * on, so that no status tells of a generation whose writes have not been made. */
static void renew(struct worker *w, const char *key, json_t *world, struct observe_digest *seen)
{
	struct observe_digest now = *seen;
	observe_store_renew(w->r->config.store, key, world, &now);
	seen->rest = now.rest;
}

static bool applies(const json_t *plan)
{
	size_t i;
	const json_t *write;
	json_array_foreach(json_object_get(plan, "writes"), i, write)
	{
		if (strcmp(data_get_str(write, "verb"), "apply") == 0)
			return true;
	}
	return false;
}

/* Writes, then the status of what they led to: a refused write shows in this very round, and an object that was
 * just changed is not taken for a settled one. */
static int carry_out(struct worker *w, const char *key, struct record *rec, json_t *world,
                     json_t **plan, struct observe_digest *seen, bool *ret_more,
                     int64_t *ret_wait_ms)
{
	_cleanup_json_ json_t *before = rec->problem ? json_incref(rec->problem) : NULL;
	struct err err = ERR_INIT;
	bool wrote = json_array_size(json_object_get(*plan, "writes")) > 0;
	int rc = reconcile_write_all(w, rec, world, *plan, ret_wait_ms);
	log_problem(key, before, rec->problem);
	if (wrote || !json_equal(before, rec->problem)) {
		json_t *second = NULL;
		renew(w, key, world, seen);
		reconcile_add_rival(rec, world);
		json_object_set_new(world, "applied", json_deep_copy(rec->applied));
		json_object_set_new(world, "token", json_boolean(rec->token));
		json_object_del(world, "problem");
		if (rec->problem)
			json_object_set_new(world, "problem", json_deep_copy(rec->problem));
		if (rc == WRITE_LATER)
			json_object_set_new(world, "unwritten", json_true());
		if (reconcile_step(world, &w->r->config.options, &second, &err) == 0) {
			json_decref(*plan);
			*plan = second;
		}
		/* What it would write besides is for the next look. */
		if (!second || json_array_size(json_object_get(second, "writes")) > 0)
			*seen = (struct observe_digest){ 0 };
		/* What these writes set free (the next role of an upgrade) has yet to come: not settled. */
		if (rc == 0 && applies(*plan)) {
			json_object_set_new(world, "unwritten", json_true());
			*ret_more = true;
			if (reconcile_step(world, &w->r->config.options, &second, &err) == 0) {
				json_decref(*plan);
				*plan = second;
			}
		}
	}
	const json_t *status = json_object_get(*plan, "status");
	reconcile_tally(rec, model_is_warehouse(json_object_get(world, "cr")), status);
	int status_rc = reconcile_write_status(w, rec, world, status, seen, ret_wait_ms);
	if (status_rc == 0)
		reconcile_write_events(w, rec, world, *plan);
	return rc ? rc : status_rc;
}

/* After a start each object is applied once, since nobody knows whether it is as it was left. What is there already waits,
 * so that a cluster that misses something need not wait for hundreds that do not. */
static bool can_wait(struct record *rec, const json_t *plan)
{
	const json_t *writes = json_object_get(plan, "writes");
	bool wait = !rec->looked && json_array_size(writes) > 0;
	size_t i;
	const json_t *write;
	rec->looked = true;
	json_array_foreach(writes, i, write)
	{
		const char *verb = data_get_str(write, "verb");
		wait = wait && verb && strcmp(verb, "apply") == 0 &&
		       !data_get_bool(write, "new", false);
	}
	return wait;
}

static bool nothing_new(struct worker *w, const char *key)
{
	struct observe_digest now = observe_store_digest(w->r->config.store, key);
	if (!now.cr)
		return false;
	struct observe_digest seen = record_of(w->r, key)->seen;
	return now.cr == seen.cr && now.rest == seen.rest;
}

static void one(struct worker *w, const char *key)
{
	struct reconcile *r = w->r;
	struct observe_digest seen = { 0 };
	_cleanup_json_ json_t *world = observe_store_world_at(r->config.store, key, &seen);
	_cleanup_json_ json_t *target = NULL, *plan = NULL;
	struct err err = ERR_INIT;
	int64_t wait_ms = 0;
	if (!world) {
		forget(r, key);
		return;
	}
	struct record *rec = record_of(r, key);
	rec->seen = (struct observe_digest){ 0 };
	if (complete_world(w, key, rec, world, &target, &err) != 0 ||
	    reconcile_step(world, &r->config.options, &plan, &err) < 0) {
		log_warn("cluster=%s %s", key, err.msg);
		again(w, key, rec, 0);
		return;
	}
	if (can_wait(rec, plan)) {
		observe_queue_add(r->config.queue, key, CAN_WAIT_MS);
		return;
	}
	bool more = false;
	int rc = carry_out(w, key, rec, world, &plan, &seen, &more, &wait_ms);
	if (rc)
		again(w, key, rec, wait_ms);
	else
		rec->failures = 0;
	if (!rc)
		rec->seen = seen;
	int64_t requeue = more ? 1 : data_get_int(plan, "requeue_ms", 0);
	if (!rc && requeue > 0)
		observe_queue_add(r->config.queue, key, requeue);
	if (target && json_object_get(plan, "want"))
		json_object_set(target, "want", json_object_get(plan, "want"));
	if (target)
		observe_fe_set(r->config.fe, key, target, json_object_get(plan, "intents"),
		               data_get_int(plan, "ask_ms", 0));
}

static bool served(const struct reconcile *r, const char *key)
{
	const char *slash = strchr(key, '/');
	autofree char *ns = xstrndup(key, slash ? (size_t)(slash - key) : strlen(key));
	return r->config.serves(r->config.arg, ns);
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct reconcile *r = w->r;
	char *key;
	bool touched = false;
	data_pool_keep(POOL_BYTES);
	while ((key = observe_queue_take_any(r->config.queue, &touched))) {
		if (touched && served(r, key) && nothing_new(w, key)) {
			observe_queue_skipped(r->config.queue, key);
			observe_metric_add(OBSERVE_SKIPS, 1);
			free(key);
			continue;
		}
		int64_t began = clock_mono_us();
		observe_metric_set(OBSERVE_QUEUE_DEPTH,
		                   (int64_t)observe_queue_depth(r->config.queue));
		atomic_store(&w->busy_since_ms, clock_mono_ms());
		if (served(r, key))
			one(w, key);
		atomic_store(&w->busy_since_ms, 0);
		observe_queue_done(r->config.queue, key);
		observe_metric_add(OBSERVE_RECONCILES, 1);
		observe_time(OBSERVE_RECONCILE_TIME, clock_mono_us() - began);
		free(key);
	}
	data_pool_keep(0);
	return NULL;
}

int64_t reconcile_busy_ms(const struct reconcile *r, int64_t now_mono_ms)
{
	int64_t longest = 0;
	for (unsigned i = 0; i < r->n; i++) {
		int64_t since = atomic_load(&r->workers[i].busy_since_ms);
		if (since && now_mono_ms - since > longest)
			longest = now_mono_ms - since;
	}
	return longest;
}

/* ---- life ---- */
int reconcile_start(const struct reconcile_config *config, struct reconcile **ret, struct err *err)
{
	_cleanup_(reconcile_freep) struct reconcile *r = xcalloc(1, sizeof(*r));
	r->config = *config;
	r->records = map_new(record_free);
	pthread_mutex_init(&r->lock, NULL);
	r->workers = xcalloc(config->workers, sizeof(*r->workers));
	for (unsigned i = 0; i < config->workers; i++) {
		struct worker *w = &r->workers[i];
		w->r = r;
		int rc = kube_client_new(config->kube, &w->kube, err);
		if (rc < 0)
			return rc;
		kube_client_slim(w->kube, OBSERVE_STORE_WORDS);
		if (pthread_create(&w->thread, NULL, worker_thread, w) != 0) {
			kube_client_free(w->kube);
			return err_set(err, -EAGAIN, "cannot start a thread");
		}
		r->n++;
	}
	*ret = TAKE_PTR(r);
	return 0;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	observe_queue_close(r->config.queue);
	for (unsigned i = 0; i < r->n; i++) {
		pthread_join(r->workers[i].thread, NULL);
		kube_client_free(r->workers[i].kube);
	}
	free(r->workers);
	map_free(r->records);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
