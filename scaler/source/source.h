/* Keeps one fresh snapshot per cluster (and per warehouse of it, from the same answer): asks each FE's /api/roost/load twice a
 * second; an FE of StarRocks' own, for which the pool has a login, by SQL and /metrics (starrocks.h).
 *
 * (With more than SOURCE_CALLS_S * SOURCE_PERIOD_MS / 1000 FEs less often, so that snapshots stay under a second old.)
 *
 * One call is in flight per FE, for all its pools, each with a deadline, all side by side on one thread for each
 * SOURCE_POLLER_FES FEs: a cluster whose FE is slow or gone delays no other. An FE that refuses our token or does not know the
 * path is asked less often.
 * Thread: source_put() and the like from any thread; the callbacks run on the source's own threads, one at
 * a time, and must not call back into it. Ownership: targets are copied. */
#ifndef ROOST_SCALER_SOURCE_SOURCE_H
#define ROOST_SCALER_SOURCE_SOURCE_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "scaler/source/snapshot.h"

enum {
	SOURCE_PERIOD_MS = 450,
	SOURCE_PERIOD_MAX_MS = 800, /* with thousands of FEs */
	SOURCE_CALLS_S = 12500,     /* from which on the period is longer */
	SOURCE_CALL_MS = 2000,
	SOURCE_REFUSED_MS = 5000,
	SOURCE_REFUSED_MAX_MS = 60000,
	SOURCE_CA_EVERY_MS = 60000,    /* a CA that holds is read again */
	SOURCE_POLLER_FES = 1000,      /* FEs on one thread */
	SOURCE_IN_FLIGHT = 256,        /* calls at once; the others wait for their turn */
	SOURCE_IN_FLIGHT_TROUBLED = 64 /* of them to FEs whose last answer was none */
};

struct source_limits { /* what the user wants of a pool */
	int64_t min, max;
	int64_t slots_per_node; /* 0: what the nodes say */
	double wait_target_s;
	int64_t scale_in_window_ms;
	int64_t replicas; /* as ordered before we began; -1: unknown */
};

struct source_login { /* of an FE of StarRocks' own */
	char *host;   /* NULL: it is Roost's, and has a load document */
	int query_port, http_port;
	bool https;
	char *user;                      /* NULL: as user_file says */
	char *user_file, *password_file; /* NULL: root, no password */
	char *password;                  /* instead of a file */
	char *secret, *secret_key;       /* source_set_secret() brings the password */
	char *tls_name; /* SQL goes to this name over TLS, verified, or not at all; NULL: in the clear */
	char *ca_secret;   /* source_set_secret() brings its ca.crt */
	char *ca;          /* PEM */
	char *ca_file;     /* instead of ca; a changed one counts at once */
	bool root_instead; /* of the user that the CR asks for */
};
void source_login_copy(const struct source_login *from, struct source_login *to);
void source_login_free(struct source_login *l);

struct source_target {
	char *ns, *cluster, *pool;
	enum source_role role; /* whose nodes the pool has */
	char *house;           /* the SQL name of the warehouse that it is; NULL: a cluster's */
	char *fe_ns;           /* where the FE's Secrets are; NULL: ns */
	char *uid; /* of the StarRocksCluster, or StarRocksWarehouse; NULL: from a file */
	char *url; /* of the load document */
	struct source_login login;
	char *token_file; /* NULL: none, or given by source_set_secret() */
	bool token_later; /* source_set_secret() will bring one */
	struct source_limits limits;
};
void source_target_free(struct source_target *t); /* what it points at */
/* "ns/cluster/pool": how tables name a pool; malloc'd. */
char *source_key(const char *ns, const char *cluster, const char *pool);

struct source_events {
	void (*on_target)(void *arg, const char *key,
	                  const struct source_target *t); /* new, changed */
	void (*on_gone)(void *arg, const char *key);
	void (*on_snapshot)(void *arg, const char *key, const struct source_snapshot *s);
	void (*on_failure)(void *arg, const char *key, const struct err *err);
	void *arg;
};

struct http_tls;
struct source;
/* tls: for FEs that are asked over https; borrowed, may be NULL. */
int source_start(const struct source_events *events, const struct http_tls *tls,
                 struct source **ret, struct err *err);
void source_end(struct source *s); /* asks no more and cuts what is under way; does not wait */
void source_stop(struct source *s);
void source_put(struct source *s, const struct source_target *t);
void source_remove(struct source *s, const char *key);

/* What an FE takes that comes later: a token, or the password and the CA of its SQL. */
enum source_secret { SOURCE_TOKEN = 1, SOURCE_PASSWORD = 2, SOURCE_CA = 4 };
/* Which pools need one (again): one pool of each FE; one whose password or certificate is refused every
 * SOURCE_REFUSED_MS. secret, secret_key: where it is; NULL for a token. fn runs under the lock. */
typedef void (*source_wanted)(void *arg, const char *key, const struct source_target *t,
                              enum source_secret what, const char *secret, const char *secret_key);
void source_secrets_wanted(struct source *s, source_wanted fn, void *arg);
void source_set_secret(struct source *s, const char *key, enum source_secret what,
                       struct str secret);
/* It could not be read: err says why. gone: it is known not to be there; without a CA nobody is asked any more. */
void source_no_secret(struct source *s, const char *key, enum source_secret what, bool gone,
                      const struct err *err);

DEFINE_CLEANUP(struct source, source_stop)

#endif
