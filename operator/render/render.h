/* The Kubernetes objects of a cluster, each from its template and what C computes for it.
 *
 * Thread: safe; templates are parsed once and only read. Pure: the same model gives the same object.
 * Errors: -EINVAL with the field of the CR that cannot be rendered. */
#ifndef ROOST_OPERATOR_RENDER_RENDER_H
#define ROOST_OPERATOR_RENDER_RENDER_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/kube/client.h"
#include "operator/model/cluster.h"

/* In the order in which they are written; the objects of a role lie together: search, service, set. */
enum render_object {
	RENDER_TOKEN,
	RENDER_FE_SEARCH,
	RENDER_FE_SERVICE,
	RENDER_FE_SET,
	RENDER_BE_SEARCH,
	RENDER_BE_SERVICE,
	RENDER_BE_SET,
	RENDER_CN_SEARCH,
	RENDER_CN_SERVICE,
	RENDER_CN_SET,
	RENDER_CN_HPA,
	RENDER_CN_KEDA_AUTH, /* KEDA's: where it is installed */
	RENDER_CN_KEDA,
	/* The rest belongs to no role: render_object_role() says MODEL_ROLES. */
	RENDER_PROXY_CONFIG,
	RENDER_PROXY_SERVICE,
	RENDER_PROXY_SET,
	RENDER_INGRESS,
	RENDER_FE_PDB,
	RENDER_BE_PDB,
	RENDER_CN_PDB,
	RENDER_PROXY_PDB,
	RENDER_OBSERVER_SEARCH, /* FE observers (observers.c) */
	RENDER_OBSERVER_SERVICE,
	RENDER_OBSERVER_SET,
	RENDER_OBSERVER_PDB,
	RENDER_OBJECTS,
};
#define RENDER_OBSERVER "fe-observer" /* the component; the set is "<cluster>-fe-observer" */
#define RENDER_ROLE_SET(role) ((enum render_object)(RENDER_FE_SET + 3 * (int)(role)))
#define RENDER_ROLE_FIRST(role) ((enum render_object)(RENDER_FE_SEARCH + 3 * (int)(role)))

struct render_options {
	bool volume_hash; /* --volume-name-with-hash */
	const char *
		unsupported_envs; /* KUBE_STARROCKS_UNSUPPORTED_ENVS: names, comma-separated; or NULL */
	const char *dns_suffix; /* NULL: svc.cluster.local */
};

struct render_values {
	int64_t replicas;  /* of a set: what it shall have now, which may lag behind the CR */
	const char *token; /* of RENDER_TOKEN */
	/* of KEDA's objects: min, max, fallback, poll, cooldown, url, secret, authMode, authRef, annotations */
	const json_t *scale;
};

/* Parses the templates; once, before threads start. */
int render_init(struct err *err);

int render_object(const struct model_cluster *m, enum render_object what,
                  const struct render_values *values, const struct render_options *options,
                  json_t **ret, struct err *err);
/* malloc'd; needs only the name of the cluster. */
char *render_object_name(const char *cluster, enum render_object what);
const struct kube_kind *render_object_kind(enum render_object what);
/* Whether the CR asks for the object at all. */
bool render_wanted(const struct model_cluster *m, enum render_object what);
/* The role an object belongs to; MODEL_ROLES for those of the whole cluster. */
enum model_role render_object_role(enum render_object what);

/* "app.kubernetes.io/component=cn,app.starrocks.ownerreference/name=c-cn" (malloc'd). */
char *render_selector(const char *cluster, enum model_role role);

/* ---- inside the room ---- */
const json_t *render_template_of(enum render_object what);
int render_pod(const struct model_cluster *m, enum model_role role,
               const struct render_options *options, json_t **ret, struct err *err);
int render_service(const struct model_cluster *m, enum model_role role, json_t **ret,
                   struct err *err);
/* What the proxy, the Ingress and the budgets need (extras.c). */
int render_extra(const struct model_cluster *m, enum render_object what,
                 const struct render_options *options, json_t *ctx, struct err *err);
bool render_extra_wanted(const struct model_cluster *m, enum render_object what);
/* What FE observers need (observers.c). */
int render_observer(const struct model_cluster *m, enum render_object what,
                    const struct render_values *values, const struct render_options *options,
                    json_t *ctx, struct err *err);
bool render_observer_wanted(const struct model_cluster *m, enum render_object what);
/* {labels, type, …} of a Service that users see; the ports are the caller's. */
int render_outer_service(const struct model_cluster *m, const struct model_part *p,
                         const char *component, json_t **ret, struct err *err);
json_t *render_port(const json_t *service, const char *name, int port);
/* {volumes, mounts} of the FE proxy. */
int render_proxy_volumes(const struct model_cluster *m, const struct render_options *options,
                         json_t *pod, struct err *err);
json_t *render_probe(int64_t seconds, int threshold, const char *path, int port);
/* {volumes, mounts, claims} */
int render_volumes(const struct model_cluster *m, enum model_role role,
                   const struct render_options *options, json_t *pod, struct err *err);
/* -EINVAL when entries of a list that the server tells apart by a key have the same one (lists.c). */
int render_check_lists(const json_t *object, struct err *err);
/* name-NNNN, from upstream's hash of the mount. */
char *render_volume_name(const char *name, const char *mount, const char *sub, bool hash);

#endif
