#include "operator/observe/nodes.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"

/* Karpenter's recorder writes Events of cluster-wide objects into this namespace. */
#define EVENTS_NAMESPACE "default"

static const struct {
	enum observe_nodes_source source;
	const struct kube_kind *kind;
	const char *ns, *fields;
} watched[] = {
	{ OBSERVE_NODES_NODE, &KUBE_NODE, NULL, NULL },
	{ OBSERVE_NODES_CLAIM, &KUBE_NODE_CLAIM, NULL, NULL },
	{ OBSERVE_NODES_EVENT, &KUBE_EVENT, EVENTS_NAMESPACE, "reason=SpotInterrupted" },
	{ OBSERVE_NODES_EVENT, &KUBE_EVENT, EVENTS_NAMESPACE,
	  "reason=SpotRebalanceRecommendation" },
};
enum { WATCHED = ARRAY_LEN(watched) };

struct one {
	struct observe_nodes *all;
	unsigned number;
	pthread_t thread;
	int last_trouble;
};

struct observe_nodes {
	struct observe_nodes_config config;
	pthread_mutex_t lock;
	struct map *nodes;  /* name -> json_t: what a world gets, and "created" */
	struct map *claims; /* name of the node -> json_t {why, at} */
	struct map *events; /* name of the node -> json_t {why, at} */
	struct one ones[WATCHED];
	unsigned started;
	atomic_bool stop;
};

static void drop(void *p)
{
	json_decref(p);
}

struct observe_nodes *observe_nodes_new(const struct observe_nodes_config *config)
{
	struct observe_nodes *n = xcalloc(1, sizeof(*n));
	n->config = *config;
	pthread_mutex_init(&n->lock, NULL);
	n->nodes = map_new(drop);
	n->claims = map_new(drop);
	n->events = map_new(drop);
	return n;
}

/* ---- what an object says ---- */
static const char *notice_of_taints(const json_t *taints)
{
	size_t i;
	const json_t *t;
	json_array_foreach(taints, i, t)
	{
		const char *key = data_get_str(t, "key");
		if (key && (strcmp(key, "karpenter.sh/disrupted") == 0 ||
		            strncmp(key, "aws-node-termination-handler/", 29) == 0))
			return key;
	}
	return NULL;
}

static json_t *node_of(const json_t *o)
{
	json_t *taints = data_get(o, "spec.taints");
	const char *why = data_get_str(o, "metadata.deletionTimestamp")
	                          ? "the node is being deleted"
	                          : notice_of_taints(taints);
	bool karpenter = data_get_str(o, "metadata.labels.karpenter\\.sh/nodepool") != NULL;
	return json_pack("{s:s*, s:s*, s:b, s:o, s:s*}", "version",
	                 data_get_str(o, "metadata.resourceVersion"), "created",
	                 data_get_str(o, "metadata.creationTimestamp"), "karpenter", karpenter,
	                 "taints", json_is_array(taints) ? json_deep_copy(taints) : json_array(),
	                 "notice", why);
}

static const char *time_of_event(const json_t *o)
{
	const char *at = data_get_str(o, "lastTimestamp");
	at = at ? at : data_get_str(o, "eventTime");
	return at ? at : data_get_str(o, "metadata.creationTimestamp");
}

/* The node that the object is about changes; its name, borrowed from the object, or NULL. Under the lock. */
static const char *take(struct observe_nodes *n, enum observe_nodes_source source, bool gone,
                        const json_t *o)
{
	const char *name = data_get_str(o, "metadata.name");
	if (source == OBSERVE_NODES_NODE && name) {
		if (gone)
			map_del(n->nodes, name);
		else
			map_put(n->nodes, name, node_of(o));
		return name;
	}
	if (source == OBSERVE_NODES_CLAIM) {
		name = data_get_str(o, "status.nodeName");
		if (!name || (!gone && !data_get_str(o, "metadata.deletionTimestamp")))
			return NULL;
		if (gone)
			map_del(n->claims, name);
		else
			map_put(n->claims, name,
			        json_pack("{s:s, s:s*}", "why", "its NodeClaim is being deleted",
			                  "at", data_get_str(o, "metadata.deletionTimestamp")));
		return name;
	}
	const char *kind = data_get_str(o, "involvedObject.kind");
	name = data_get_str(o, "involvedObject.name");
	if (!kind || !name || strcmp(kind, "Node") != 0)
		return NULL;
	if (gone)
		map_del(n->events, name);
	else
		map_put(n->events, name,
		        json_pack("{s:s*, s:s*}", "why", data_get_str(o, "reason"), "at",
		                  time_of_event(o)));
	return name;
}

void observe_nodes_event(struct observe_nodes *n, enum observe_nodes_source source,
                         enum kube_change change, const json_t *object)
{
	if (!object)
		return; /* what a cut hid is corrected by the next list's own objects */
	pthread_mutex_lock(&n->lock);
	const char *name = take(n, source, change == KUBE_DELETED, object);
	pthread_mutex_unlock(&n->lock);
	if (name)
		observe_store_node_changed(n->config.store, name);
}

/* ---- reading ---- */
/* What is older than the node was about another of its name: names are addresses, and used again. */
static bool is_of(const json_t *notice, const json_t *node)
{
	const char *at = data_get_str(notice, "at"), *created = data_get_str(node, "created");
	return at && created && strcmp(at, created) >= 0;
}

/* Into the copy for a world: "notice", and "notice_since" when it says nothing against what is scheduled there later. */
static void add_notice(const struct observe_nodes *n, const char *name, json_t *node)
{
	const json_t *claim = map_get(n->claims, name), *event = map_get(n->events, name);
	if (json_object_get(node, "notice"))
		return; /* its own */
	if (is_of(claim, node)) {
		json_object_set(node, "notice", json_object_get(claim, "why"));
	} else if (is_of(event, node)) {
		json_object_set(node, "notice", json_object_get(event, "why"));
		json_object_set(node, "notice_since", json_object_get(event, "at"));
	}
}

void observe_nodes_add(struct observe_nodes *n, json_t *world)
{
	json_t *nodes = json_object();
	size_t i;
	const json_t *pod;
	json_object_set_new(world, "nodes", nodes);
	pthread_mutex_lock(&n->lock);
	json_array_foreach(json_object_get(world, "pods"), i, pod)
	{
		const char *name = data_get_str(pod, "spec.nodeName");
		const json_t *node = name ? map_get(n->nodes, name) : NULL;
		if (!node || json_object_get(nodes, name))
			continue;
		json_t *copy = json_deep_copy(node);
		add_notice(n, name, copy);
		json_object_set_new(nodes, name, copy);
	}
	pthread_mutex_unlock(&n->lock);
}

/* ---- threads ---- */
static void on_change(void *arg, enum kube_change change, json_t *object)
{
	struct one *o = arg;
	if (change != KUBE_LIST_BEGIN)
		o->last_trouble = 0;
	observe_nodes_event(o->all, watched[o->number].source, change, object);
}

static void on_trouble(void *arg, int rc, const struct err *err)
{
	struct one *o = arg;
	if (rc == KUBE_NOT_FOUND)
		return; /* no Karpenter here, or not yet */
	observe_metric_add(OBSERVE_WATCH_TROUBLES, 1);
	if (rc != o->last_trouble && rc != KUBE_GONE)
		log_warn("watch=%s %s", watched[o->number].kind->plural, err->msg);
	o->last_trouble = rc;
}

static bool should_stop(void *arg)
{
	struct one *o = arg;
	return atomic_load(&o->all->stop);
}

static void *watch_thread(void *arg)
{
	struct one *o = arg;
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	struct err err = ERR_INIT;
	bool node = watched[o->number].source == OBSERVE_NODES_NODE;
	struct kube_watch_config w = {
		.query = { .kind = watched[o->number].kind,
		           .ns = watched[o->number].ns,
		           .labels = node ? o->all->config.selector : NULL,
		           .fields = watched[o->number].fields },
		.on_change = on_change,
		.on_trouble = on_trouble,
		.should_stop = should_stop,
		.arg = o,
	};
	if (kube_client_new(o->all->config.kube, &kube, &err) < 0) {
		log_error("a watch of nodes cannot start: %s", err.msg);
		return NULL;
	}
	kube_watch_run(kube, &w);
	return NULL;
}

int observe_nodes_start(const struct observe_nodes_config *config, struct observe_nodes **ret,
                        struct err *err)
{
	_cleanup_(observe_nodes_freep) struct observe_nodes *n = observe_nodes_new(config);
	for (unsigned i = 0; i < WATCHED; i++) {
		n->ones[i] = (struct one){ .all = n, .number = i };
		if (pthread_create(&n->ones[i].thread, NULL, watch_thread, &n->ones[i]) != 0)
			return err_set(err, -EAGAIN, "cannot start a thread");
		n->started++;
	}
	*ret = TAKE_PTR(n);
	return 0;
}

void observe_nodes_free(struct observe_nodes *n)
{
	if (!n)
		return;
	atomic_store(&n->stop, true);
	for (unsigned i = 0; i < n->started; i++)
		pthread_join(n->ones[i].thread, NULL);
	map_free(n->nodes);
	map_free(n->claims);
	map_free(n->events);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
