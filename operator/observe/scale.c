#include "operator/observe/scale.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "operator/model/cluster.h"
#include "operator/observe/metrics.h"

enum { PERIOD_MS = 1000, ANSWER_MS = 800, TOKEN_MAX = 4096, CLUSTERS_MAX = 10000 };

struct observe_scale {
	struct observe_scale_config config;
	pthread_t thread;
	atomic_bool stop;
};

struct question {
	const struct kube_kind *kind;
	char *ns, *name, *version, *url;
	char *key; /* in the store */
	char *of;  /* a warehouse's cluster, "namespace/name"; else NULL */
	int64_t min, max, replicas;
	bool has_status, be;
	struct http_reply reply;
};

typedef VEC(struct question) questions_t;

struct collect {
	const struct observe_scale_config *config;
	questions_t list;
	VEC(char *) resting; /* clusters at rest, "namespace/name" */
};

/* ---- what to ask ---- */
/* A cluster that sleeps, is paused or was given back is scaled by nobody, nor are its warehouses. */
static bool at_rest(const json_t *cr)
{
	return data_get_bool(cr, "spec.hibernate", false) || model_says(cr, "roost.io/paused") ||
	       model_says(cr, "roost.io/released");
}

static char *cluster_of(const json_t *cr)
{
	const char *ns = NULL, *name = NULL;
	if (!model_is_warehouse(cr))
		return NULL;
	name = model_warehouse_cluster(cr, &ns);
	return xasprintf("%s/%s", ns ? ns : "", name ? name : "");
}

/* as: the name that the scaler and the store know it by. */
static void collect_one(struct collect *c, const json_t *cr, const json_t *spec, const char *as,
                        bool be)
{
	const json_t *s = json_object_get(spec, "roostAutoscaling");
	bool house = model_is_warehouse(cr);
	const char *ns = data_get_str(cr, "metadata.namespace");
	const char *name = data_get_str(cr, "metadata.name");
	const char *version = data_get_str(cr, "metadata.resourceVersion");
	if (!json_is_object(s) || !data_get_bool(s, "enabled", true) || !ns || !name || !version ||
	    data_get_str(cr, "metadata.deletionTimestamp") || at_rest(cr) ||
	    !c->config->serves(c->config->arg, ns) || c->list.n >= CLUSTERS_MAX)
		return;
	vec_push(&c->list,
	         (struct question){ .kind = house ? &KUBE_WAREHOUSE : &KUBE_CLUSTER,
	                            .key = xasprintf("%s/%s", ns, as),
	                            .of = cluster_of(cr),
	                            .ns = xstrdup(ns),
	                            .name = xstrdup(name),
	                            .version = xstrdup(version),
	                            .url = xasprintf("%s/v1/namespaces/%s/clusters/%s/pools/%s",
	                                             c->config->url, ns, as, be ? "be" : "cn"),
	                            .be = be,
	                            .min = data_get_int(s, "minReplicas", 0),
	                            .max = data_get_int(s, "maxReplicas", -1),
	                            .replicas = data_get_int(spec, "replicas", 1),
	                            .has_status =
	                                    data_get(cr, house ? "status.replicas"
	                                                       : "status.starRocksCnStatus.phase"),
	                            .reply = HTTP_REPLY_INIT });
}

static void collect(void *arg, const json_t *cr)
{
	struct collect *c = arg;
	const char *name = data_get_str(cr, "metadata.name");
	const char *ns = data_get_str(cr, "metadata.namespace");
	if (ns && name && !model_is_warehouse(cr) && at_rest(cr))
		vec_push(&c->resting, xasprintf("%s/%s", ns, name));
	if (model_is_warehouse(cr)) {
		autofree char *as = xasprintf("%s-warehouse", name ? name : "");
		collect_one(arg, cr, data_get(cr, "spec.template"), as, false);
		return;
	}
	collect_one(arg, cr, data_get(cr, "spec.starRocksCnSpec"), name, false);
	collect_one(arg, cr, data_get(cr, "spec.starRocksBeSpec"), name, true);
}

static void question_free(struct question *q)
{
	free(q->ns);
	free(q->name);
	free(q->version);
	free(q->url);
	free(q->key);
	free(q->of);
	http_reply_free(&q->reply);
}

static void questions_free(questions_t *q)
{
	for (size_t i = 0; i < q->n; i++)
		question_free(&q->v[i]);
	vec_free(q);
}

/* CRs come in no order, so that this is known at the end only. */
static void leave_resting(struct collect *c)
{
	size_t kept = 0;
	for (size_t i = 0; i < c->list.n; i++) {
		struct question *q = &c->list.v[i];
		bool rests = false;
		for (size_t j = 0; q->of && !rests && j < c->resting.n; j++)
			rests = strcmp(q->of, c->resting.v[j]) == 0;
		if (rests)
			question_free(q);
		else
			c->list.v[kept++] = *q;
	}
	c->list.n = kept;
	for (size_t j = 0; j < c->resting.n; j++)
		free(c->resting.v[j]);
	vec_free(&c->resting);
}

/* ---- what was answered ---- */
int observe_scale_wish(struct str body, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	if (data_json_parse(body, &j, err) < 0)
		return -EINVAL;
	const json_t *d = json_object_get(j, "desired");
	if (!json_is_integer(d) || json_integer_value(d) < 0)
		return err_set(err, -EINVAL, "the scaler's answer has no whole number \"desired\"");
	if (max < min || min < 0)
		return err_set(err, -EINVAL, "roostAutoscaling has no usable limits");
	int64_t n = json_integer_value(d);
	*ret = n < min ? min : (n > max ? max : n);
	return 0;
}

/* /scale first; status.replicas at once after it, since an HPA that still reads the old number would write
 * it back. The resourceVersion keeps a wish for an older CR from undoing what a person just set. */
static void act(struct observe_scale *s, struct kube_client *kube, const struct question *q,
                int64_t n)
{
	struct kube_ref scale = { q->kind, q->ns, q->name, "scale" };
	struct kube_ref status = { q->kind, q->ns, q->name, "status" };
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s}, s:{s:I}}", "metadata", "resourceVersion", q->version, "spec",
	                  "replicas", (json_int_t)n);
	if (!s->config.may_write(s->config.arg))
		return;
	int rc = kube_merge_patch(kube, &scale, patch, NULL, &err);
	if (rc == KUBE_CONFLICT)
		return; /* the next second sees the newer CR */
	observe_metric_add(rc == 0 ? OBSERVE_WRITES_SCALE : OBSERVE_WRITES_REFUSED, 1);
	observe_count(rc == 0 ? OBSERVE_WRITES : OBSERVE_REFUSED, "scale", q->kind->kind);
	if (rc != 0) {
		log_warn("cluster=%s cannot scale to %lld: %s", q->key, (long long)n, err.msg);
		return;
	}
	log_info("cluster=%s scaled from=%lld to=%lld", q->key, (long long)q->replicas,
	         (long long)n);
	_cleanup_json_ json_t *told = json_object();
	data_set(told,
	         q->kind == &KUBE_WAREHOUSE ? "status.replicas"
	                                    : "status.starRocksCnStatus.replicas",
	         json_integer(n));
	if (q->has_status && kube_merge_patch(kube, &status, told, NULL, &err) == 0)
		observe_metric_add(OBSERVE_WRITES_STATUS, 1);
}

static void answered(struct observe_scale *s, struct kube_client *kube, struct question *q, int rc)
{
	struct str body = { buf_cstr(&q->reply.body), q->reply.body.len };
	struct err err = ERR_INIT;
	int64_t n = 0;
	if (rc != 0 || q->reply.status != 200 ||
	    observe_scale_wish(body, q->min, q->max, &n, &err) < 0) {
		observe_metric_add(OBSERVE_SCALER_UNKNOWN, 1);
		return;
	}
	observe_store_wish(s->config.store, q->key, q->be, n, q->replicas);
	if (q->be) /* whose number is not written to the CR */
		return;
	if (n != q->replicas)
		act(s, kube, q, n);
}

/* ---- one round ---- */
static char *token_of(const struct observe_scale *s)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	if (!s->config.token_file || fd_read_file(s->config.token_file, &text, NULL) < 0)
		return NULL;
	struct str rest = { text.p, text.len }, line;
	if (!str_split(&rest, '\n', &line))
		return NULL;
	return str_dup(str_trim(line));
}

static void round_of(struct observe_scale *s, struct kube_client *kube, struct http_batch **batch)
{
	struct collect c = { .config = &s->config };
	struct deadline by = deadline_in(ANSWER_MS);
	struct err err = ERR_INIT;
	observe_store_each(s->config.store, collect, &c);
	leave_resting(&c);
	char *token = c.list.n ? token_of(s) : NULL;
	struct http_call *calls = xcalloc(c.list.n + 1, sizeof(*calls));
	for (size_t i = 0; i < c.list.n; i++) {
		struct question *q = &c.list.v[i];
		calls[i] = (struct http_call){ .url = q->url,
			                       .bearer = token && *token ? token : NULL,
			                       .by = by,
			                       .body_max = 64 * 1024 };
		observe_metric_add(OBSERVE_SCALER_ASKS, 1);
		if (http_batch_add(*batch, &calls[i], &q->reply, q, &err) < 0)
			log_debug("scaler: %s", err.msg);
	}
	struct http_done done;
	int rc;
	/* Each call ends by its own deadline; nothing of the list is freed before the last has ended. */
	while ((rc = http_batch_next(*batch, deadline_in(ANSWER_MS), &done, &err)) !=
	       HTTP_BATCH_IDLE) {
		if (rc < 0) {
			http_batch_free(*batch);
			*batch = NULL;
			break;
		}
		if (rc == 0)
			answered(s, kube, done.tag, done.rc);
	}
	free(calls);
	mem_free_secret(token);
	questions_free(&c.list);
}

static void *scale_thread(void *arg)
{
	struct observe_scale *s = arg;
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(http_batch_freep) struct http_batch *batch = NULL;
	struct err err = ERR_INIT;
	if (kube_client_new(s->config.kube, &kube, &err) < 0) {
		log_error("the scaler's fast path cannot start: %s", err.msg);
		return NULL;
	}
	kube_client_timeout(kube, 3000);
	while (!atomic_load(&s->stop)) {
		struct deadline next = deadline_in(PERIOD_MS);
		if (batch || http_batch_new(NULL, &batch, &err) == 0)
			round_of(s, kube, &batch);
		while (!deadline_passed(next) && !atomic_load(&s->stop)) {
			int64_t left = deadline_left_ms(next);
			clock_sleep_ms(left < 100 ? left : 100);
		}
	}
	return NULL;
}

int observe_scale_start(const struct observe_scale_config *config, struct observe_scale **ret,
                        struct err *err)
{
	struct observe_scale *s = xcalloc(1, sizeof(*s));
	s->config = *config;
	if (pthread_create(&s->thread, NULL, scale_thread, s) != 0) {
		free(s);
		return err_set(err, -EAGAIN, "cannot start a thread");
	}
	*ret = s;
	return 0;
}

void observe_scale_free(struct observe_scale *s)
{
	if (!s)
		return;
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	free(s);
}
