/* A StarRocksCluster as C sees it: the fields that code branches on, checked.
 *
 * Thread: read-only once decoded. Ownership: a model keeps its own copy of the CR; every pointer in it lives
 * as long as the model. Whatever is only copied into objects stays in the CR's JSON and is reached by the
 * templates. Limits: what a schema of upstream's would have let through is refused here, by the field's name:
 * the CRDs in the cluster may be upstream's. */
#ifndef ROOST_OPERATOR_MODEL_CLUSTER_H
#define ROOST_OPERATOR_MODEL_CLUSTER_H

#include <stdint.h>

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "operator/model/conf.h"

enum { MODEL_REPLICAS_MAX = 10000, MODEL_NAME_MAX = 49, MODEL_OBSERVERS_MAX = 64 };
#define MODEL_ENGINE_ANNOTATION "roost.io/engine"
/* Upstream's operator: how it signs its fields, and what it remembers on its objects. */
#define MODEL_UPSTREAM_MANAGER "sroperator"
#define MODEL_UPSTREAM_HASH "app.starrocks.components/hash"
#define MODEL_UPSTREAM_LAST "starrocks.kubernetes.operator/last-applied-configuration"

struct model_part {
	bool present;
	const json_t *spec; /* starRocksFeSpec … in the CR */
	const json_t *env;  /* feEnvVars … or NULL */
	const char *root;   /* STARROCKS_ROOT, "/opt/starrocks" unless set */
	/* Where fe.conf lies: NULL when the user gave none. */
	const char *conf_map, *conf_key;
	struct model_ports ports; /* StarRocks' defaults until model_set_conf() */

	int64_t replicas;
	char *image;
	bool run_as_non_root, read_only_root;
	/* -1: not given; 0 removes the probe */
	int64_t startup_s, liveness_s, readiness_s;
	int64_t grace_s;           /* terminationGracePeriodSeconds, else made from drainSeconds */
	int64_t drain_s;           /* of a CN; -1: not given */
	int64_t observers;         /* of the FE: beside the replicas, without a vote */
	char *info_map, *info_key; /* configMapInfo */
	json_t *config_maps, *secrets, *volumes, *sidecars, *lifecycle, *service, *command, *args,
		*pod_labels, *update_strategy; /* borrowed or NULL */
};

struct model_scaling { /* roostAutoscaling */
	bool enabled;
	int64_t min, max;
	/* Of the ScaledObject where KEDA is installed. */
	bool keda;
	int64_t poll_s, cooldown_s, fallback; /* fallback 0: min, at least 1 */
	const json_t *auth;                   /* {name, kind} of the user's own, or NULL */
};

struct model_recovery {
	bool enabled;  /* asked for, and the FE runs in shared-data mode */
	bool running;  /* this generation is not done yet: one FE alone restores */
	bool snapshot; /* cluster_snapshot.yaml is mounted */
	int64_t generation;
};

struct model_cluster {
	json_t *cr;
	const char *ns, *name, *uid, *version;
	int64_t generation;
	bool deleting;
	bool engine; /* the image is Roost's: annotation roost.io/engine: "true" */
	bool wait_for_full_rollout;
	struct model_part part[MODEL_ROLES];
	struct model_scaling scaling;
	bool hpa;                 /* autoScalingPolicy is given */
	struct model_part proxy;  /* starRocksFeProxySpec: nginx, a Deployment */
	struct model_recovery dr; /* disasterRecovery */
	/* Whose the objects are: the CR itself, also where name is a warehouse's "<w>-warehouse". */
	const char *owner_kind;
	char *owner_name;
	char *fe_name, *fe_ns; /* the cluster with the FE: this one, unless a warehouse */
	char *warehouse;       /* its name in SQL; NULL: not one */
};

/* The CR is copied. -EINVAL names the field and what is allowed. */
int model_cluster_decode(const json_t *cr, struct model_cluster **ret, struct err *err);
void model_cluster_free(struct model_cluster *m);

/* Whether a switch that is an annotation (roost.io/paused) stands at "true"; cr may be NULL. */
bool model_says(const json_t *cr, const char *annotation);

/* ---- warehouses (warehouse.c) ---- */
bool model_is_warehouse(const json_t *cr);
/* A StarRocksWarehouse as the compute nodes of a cluster "<w>-warehouse"; cluster: the CR that it belongs to, or
 * NULL while there is none. */
int model_warehouse_decode(const json_t *cr, const json_t *cluster, struct model_cluster **ret,
                           struct err *err);
/* The name and namespace (both borrowed from cr) of the cluster; NULL when they are no names. */
const char *model_warehouse_cluster(const json_t *cr, const char **ret_ns);
char *model_warehouse_sql(const char *name); /* malloc'd: "-" is no letter of SQL names */

/* The text of the role's conf file, once the ConfigMap was read. */
void model_set_conf(struct model_cluster *m, enum model_role role, struct str text);

/* A DNS label: safe in paths, labels and the names made from it. */
bool model_name_ok(const char *name);

DEFINE_CLEANUP(struct model_cluster, model_cluster_free)

#endif
