/* Compute nodes and the machines below them.
 *
 * A machine that is about to go (spot interruption, Karpenter's taint, its Node or NodeClaim being deleted): its pods are
 * deleted now, with 110 seconds to finish, before an eviction or the end of the machine takes them. The ReplicaSet makes
 * the replacement at once, since a pod that is leaving does not count; the node itself tells its FE that it drains, and
 * leaves the catalog like any other that went. A machine that has come: its startup taint goes when its compute node
 * serves. do-not-disrupt is set only while queries run there, so that Karpenter may tidy up at any other time. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { SPOT_GRACE_S = 110 };
#define STARTUP_TAINT "roost.io/starting"
#define DO_NOT_DISRUPT "karpenter.sh/do-not-disrupt"

static json_t *write_of(const char *verb, const char *kind, const char *name)
{
	return json_pack("{s:s, s:s, s:s}", "verb", verb, "kind", kind, "name", name);
}

static void leave(struct step *s, const json_t *pod, const char *node, const char *why)
{
	const char *name = data_get_str(pod, "metadata.name");
	int64_t grace = data_get_int(pod, "spec.terminationGracePeriodSeconds", SPOT_GRACE_S);
	json_t *w = write_of("drain", "Pod", name);
	json_object_set_new(w, "uid", json_string(data_get_str(pod, "metadata.uid")));
	json_object_set_new(w, "grace_s",
	                    json_integer(grace < SPOT_GRACE_S ? grace : SPOT_GRACE_S));
	json_object_set_new(w, "why", json_sprintf("node %s: %s", node, why));
	json_array_append_new(s->writes, w);
	reconcile_wait(s, "%s leaves its node: %s", name, why);
}

static void untaint(struct step *s, const char *name, const json_t *node)
{
	json_t *left = json_array();
	size_t i;
	json_t *t;
	bool found = false;
	json_array_foreach(json_object_get(node, "taints"), i, t)
	{
		const char *key = data_get_str(t, "key");
		if (key && strcmp(key, STARTUP_TAINT) == 0)
			found = true;
		else
			json_array_append(left, t);
	}
	if (found) {
		json_t *w = write_of("taints", "Node", name);
		json_object_set_new(w, "version", json_string(data_get_str(node, "version")));
		json_object_set(w, "taints", left);
		json_array_append_new(s->writes, w);
	}
	json_decref(left);
}

static void protect(struct step *s, const json_t *fe, const json_t *pod)
{
	const char *ip = data_get_str(pod, "status.podIP");
	bool is = data_get_str(pod, "metadata.annotations.karpenter\\.sh/do-not-disrupt") != NULL;
	bool shall = fe && ip && reconcile_running_on(fe, ip) > 0;
	if (!fe || !ip || is == shall)
		return;
	json_t *w = write_of("annotate", "Pod", data_get_str(pod, "metadata.name"));
	json_object_set_new(w, "uid", json_string(data_get_str(pod, "metadata.uid")));
	json_object_set_new(w, "key", json_string(DO_NOT_DISRUPT));
	json_object_set_new(w, "value", shall ? json_string("true") : json_null());
	json_array_append_new(s->writes, w);
}

/* Nobody taints a machine that an Event alone speaks of, so the replacement may land there: driven away again and again, it
 * would never serve. */
static bool came_after(const json_t *pod, const json_t *node)
{
	const char *since = data_get_str(node, "notice_since"),
		   *created = data_get_str(pod, "metadata.creationTimestamp");
	return since && created && strcmp(created, since) > 0;
}

void reconcile_nodes(struct step *s)
{
	const json_t *nodes = json_object_get(s->world, "nodes");
	const json_t *fe = reconcile_fe(s);
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *name = data_get_str(pod, "spec.nodeName");
		const json_t *node = name ? json_object_get(nodes, name) : NULL;
		const char *why = data_get_str(node, "notice");
		bool leaving = data_get_str(pod, "metadata.deletionTimestamp") != NULL;
		if (!node || reconcile_pod_role(s, pod) != MODEL_CN)
			continue;
		if (why)
			s->scale_in_paused = true;
		if (why && came_after(pod, node))
			why = NULL;
		/* A pod that leaves before it served must not keep its machine from being judged. */
		if (!why && (leaving || reconcile_pod_ready(pod)))
			untaint(s, name, node);
		if (why && !leaving)
			leave(s, pod, name, why);
		else if (!leaving && data_get_bool(node, "karpenter", false))
			protect(s, fe, pod);
	}
}
