/* Calls to a Kubernetes API server: who we are, one request at a time, outcomes instead of status codes.
 *
 * Thread: a struct kube_config is read-only after loading and may be shared; a struct kube_client is one
 * thread's (it keeps connections alive). Every call has a deadline (kube_client_timeout()).
 * Ownership: results are the caller's; a config outlives its clients.
 * Limits: an answer is at most KUBE_BODY_MAX bytes; lists come in pages of KUBE_PAGE items.
 * Outcomes: 0, or a positive KUBE_… with the server's own message in err, or a negative code when no
 * answer came (as lib/net/http_client.h; -EPROTO for an answer that is not JSON). */
#ifndef ROOST_KUBE_CLIENT_H
#define ROOST_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/net/http_client.h"

enum { KUBE_BODY_MAX = 32 * 1024 * 1024, KUBE_PAGE = 250, KUBE_TIMEOUT_MS = 10000 };

enum kube_outcome {
	KUBE_OK,
	KUBE_NOT_FOUND, /* 404: the object, or its kind */
	KUBE_CONFLICT,  /* 409: a precondition or a resourceVersion no longer holds; read again */
	KUBE_EXISTS,    /* 409 AlreadyExists */
	KUBE_GONE,      /* 410: the resourceVersion or continue token is too old; list again */
	KUBE_INVALID,   /* 400, 422: never succeeds unchanged */
	KUBE_FORBIDDEN, /* 403: RBAC, quota, terminating namespace */
	KUBE_UNAUTHORIZED, /* 401: the credentials were not taken; they are read again for the next call */
	KUBE_BUSY,         /* 429, 5xx: later; kube_client_retry_ms() says when */
};

/* ---- where the server is and who we are ---- */
struct kube_config;
/* file, else $KUBECONFIG, else the pod's own account. Understands server, certificate-authority(-data),
 * insecure-skip-tls-verify, client-certificate/key(-data), token, tokenFile, the current-context; exec and
 * auth-provider plugins are refused by name. */
int kube_config_load(const char *file, struct kube_config **ret, struct err *err);
/* The same from kubeconfig text; relative paths are taken from folder. */
int kube_config_parse(struct str text, const char *folder, struct kube_config **ret,
                      struct err *err);
void kube_config_free(struct kube_config *k);
const char *kube_config_server(const struct kube_config *k);
/* The namespace of the context, or of the pod; "default" when neither says. */
const char *kube_config_namespace(const struct kube_config *k);

/* ---- a client ---- */
struct kube_client;
int kube_client_new(const struct kube_config *k, struct kube_client **ret, struct err *err);
void kube_client_free(struct kube_client *c);
void kube_client_timeout(struct kube_client *c, int64_t ms); /* of each later call */
/* For a program that ends. Every later call is over by then, whatever its timeout; at_ms 0: no such end. */
void kube_client_by(struct kube_client *c, struct deadline by);
/* Asked before each call but a watch's own, and about once a second while it is under way: true ends it with -ECANCELED. */
void kube_client_stop_when(struct kube_client *c, bool (*should_stop)(void *arg), void *arg);
/* From now on lists, watches and answers to writes come with empty managedFields, unless these contain one of the words
 * (NULL-terminated, borrowed): they are half of an object's text, and parsing is what costs. kube_get() gives them. */
void kube_client_slim(struct kube_client *c, const char *const *words);
/* After KUBE_BUSY: what the server asked us to wait (capped), or -1. */
int64_t kube_client_retry_ms(const struct kube_client *c);

struct kube_kind {
	const char *api; /* "v1", "apps/v1", "starrocks.com/v1" */
	const char *kind;
	const char *plural;
};
struct kube_ref { /* all borrowed */
	const struct kube_kind *kind;
	const char *ns; /* NULL for kinds without a namespace */
	const char *name;
	const char *sub; /* "status", "scale", "eviction" or NULL */
};

/* The kinds that our programs use. */
extern const struct kube_kind KUBE_POD, KUBE_SERVICE, KUBE_SECRET, KUBE_CONFIG_MAP, KUBE_PVC,
	KUBE_EVENT, KUBE_NAMESPACE, KUBE_STATEFUL_SET, KUBE_DEPLOYMENT, KUBE_HPA, KUBE_INGRESS,
	KUBE_PDB, KUBE_LEASE, KUBE_CLUSTER, KUBE_WAREHOUSE, KUBE_NODE, KUBE_NODE_CLAIM,
	KUBE_SCALED_OBJECT, KUBE_TRIGGER_AUTH;

/* ret may be NULL where the answer is of no interest. */
int kube_get(struct kube_client *c, const struct kube_ref *r, json_t **ret, struct err *err);
int kube_create(struct kube_client *c, const struct kube_ref *r, const json_t *object, json_t **ret,
                struct err *err);
/* PUT: the object carries the resourceVersion that it replaces. */
int kube_replace(struct kube_client *c, const struct kube_ref *r, const json_t *object,
                 json_t **ret, struct err *err);
/* Server-side apply with field manager `manager`, taking over fields of others. */
int kube_apply(struct kube_client *c, const struct kube_ref *r, const char *manager,
               const json_t *object, json_t **ret, struct err *err);
/* The same without force, for an object that is not known to exist: KUBE_CONFLICT when another's fields stand
 * in the way, that is, when it exists and is somebody else's. */
int kube_apply_gently(struct kube_client *c, const struct kube_ref *r, const char *manager,
                      const json_t *object, json_t **ret, struct err *err);
/* RFC 7386. A metadata.resourceVersion in the patch is a precondition. */
int kube_merge_patch(struct kube_client *c, const struct kube_ref *r, const json_t *patch,
                     json_t **ret, struct err *err);
/* The same in the name of a field manager. */
int kube_merge_patch_as(struct kube_client *c, const struct kube_ref *r, const char *manager,
                        const json_t *patch, json_t **ret, struct err *err);
/* Background propagation. uid and version (may be NULL) are preconditions: KUBE_CONFLICT. */
int kube_delete(struct kube_client *c, const struct kube_ref *r, const char *uid,
                const char *version, struct err *err);
/* The same, leaving what it owns in place. */
int kube_delete_orphan(struct kube_client *c, const struct kube_ref *r, const char *uid,
                       const char *version, struct err *err);

/* Of a pod, with so many seconds to end; uid (may be NULL) is a precondition. */
int kube_delete_in(struct kube_client *c, const struct kube_ref *r, const char *uid,
                   int64_t grace_s, struct err *err);

struct kube_list_query {
	const struct kube_kind *kind;
	const char *ns;     /* NULL: all namespaces */
	const char *labels; /* label selector or NULL */
	const char *fields; /* field selector or NULL */
	bool metadata_only; /* PartialObjectMetadata */
};
/* Each item in turn, borrowed, with apiVersion and kind filled in; non-zero from fn ends the list with it.
 * *ret_version (malloc'd, may be NULL) is where a watch goes on from. */
typedef int (*kube_item_fn)(void *arg, json_t *item);
int kube_list(struct kube_client *c, const struct kube_list_query *q, kube_item_fn fn, void *arg,
              char **ret_version, struct err *err);

/* The same with each item's text, which nobody has parsed: its brackets match, and it is JSON if the server's answer was. For
 * those who keep much and look at little of it. */
typedef int (*kube_text_fn)(void *arg, struct str item);
int kube_list_text(struct kube_client *c, const struct kube_list_query *q, kube_text_fn fn,
                   void *arg, char **ret_version, struct err *err);

/* The server's path of a collection or object ("/apis/apps/v1/namespaces/x/deployments/y/scale"). */
int kube_path(const struct kube_ref *r, struct buf *out);

DEFINE_CLEANUP(struct kube_config, kube_config_free)
DEFINE_CLEANUP(struct kube_client, kube_client_free)

#endif
