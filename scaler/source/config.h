/* The scaler's --config file, and the scaling fields of a StarRocksCluster.
 *
 * The file is YAML: maxAge, tokenFile, feCa, clusters. Each of these: namespace, name, pool ("cn"), fe ("host:http_port" or
 * with "https://"), minReplicas, maxReplicas, slotsPerNode, waitTarget, scaleInWindow, tokenFile; userFile, passwordFile (either:
 * an FE of StarRocks' own, asked by SQL), queryPort, sqlCaFile and sqlServerName (SQL over TLS, docs/decisions/0230).
 *
 * Thread: plain values. Ownership: source_config_free(). Times are seconds as a number, or text with a
 * unit: "500ms", "5s", "2m". A wrong field is refused by name; so is an unknown one. */
#ifndef ROOST_SCALER_SOURCE_CONFIG_H
#define ROOST_SCALER_SOURCE_CONFIG_H

#include <jansson.h>

#include "scaler/source/source.h"

enum {
	SOURCE_MAX_AGE_MS = 5000,
	SOURCE_WAIT_TARGET_S = 5,
	SOURCE_WINDOW_S = 300,
	SOURCE_POOLS_MAX = 10000,
	SOURCE_REPLICAS_MAX = 1000,
};

struct source_config {
	char *token_file; /* asked of our callers; for FEs without a token file of their own too */
	char *fe_ca;      /* whom to trust for FEs that are asked over https */
	int64_t max_age_ms;
	struct source_target *targets;
	size_t n;
};

int source_config_read(const char *path, struct source_config *ret, struct err *err);
int source_config_parse(struct str text, struct source_config *ret, struct err *err);
void source_config_free(struct source_config *c);
void source_config_free_targets(struct source_config *c); /* n stays what it was */

/* What the CR asks for its nodes of that role: 1 when they are no pool to scale, else 0 and a target whose token or
 * password comes later: Roost's engine (annotation roost.io/engine: "true") has a load document; an FE of StarRocks'
 * own is asked as the user of spec.sqlUser, by the Secret <name>-roost-sql; as root, with the password of
 * spec.rootPasswordSecret, or of MYSQL_PWD in feEnvVars, when there is none, or when the operator's condition RootSql says
 * that the FE refuses it. With spec.tls the name in the certificate is serverName, or the FE Service's under dns_suffix (NULL:
 * SOURCE_DNS_SUFFIX). */
#define SOURCE_DNS_SUFFIX "svc.cluster.local"
enum { SOURCE_NO_POOL = 1 };
int source_target_of_cr(const json_t *cr, enum source_role role, const char *dns_suffix,
                        struct source_target *ret, struct err *err);
extern const char *const source_role_pool[SOURCE_ROLES]; /* "cn", "be" */

/* What a StarRocksWarehouse w asks for, as the pool "cn" of a cluster called "<w>-warehouse"; cluster: whose FE is
 * asked, as above. -EPERM: it lies elsewhere and the cluster does not name its namespace; -ENOTSUP: Roost's own engine,
 * which has no warehouses. */
int source_target_of_warehouse(const json_t *cr, const json_t *cluster, const char *dns_suffix,
                               struct source_target *ret, struct err *err);

#endif
