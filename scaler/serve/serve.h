/* The scaler's endpoints: KEDA's metrics-api, Prometheus' exposition and instant query, probes.
 *
 * GET /v1/namespaces/{ns}/clusters/{cluster}/pools/{pool}   the pool's document
 * GET /metrics, GET /api/v1/query?query=                    the series of INTERFACES.md
 * GET /healthz, GET /readyz                                 without a token
 * A load that is not known now is 503 with Retry-After, never a 0 that was not measured; in /metrics its
 * series are left out but for the age.
 * Thread: answers from memory on the server's thread. */
#ifndef ROOST_SCALER_SERVE_SERVE_H
#define ROOST_SCALER_SERVE_SERVE_H

#include "lib/net/http_server.h"
#include "scaler/serve/pools.h"

struct serve_config {
	const char *listen;
	const char *token_file; /* NULL: no token is asked for */
	const char *tls_cert, *tls_key, *client_ca;
	struct serve_pools *pools; /* borrowed; outlives the server */
};

struct serve;
/* -EINVAL when anybody could ask from elsewhere: no token, no client CA and not a loopback address. */
int serve_start(const struct serve_config *config, struct serve **ret, struct err *err);
int serve_port(const struct serve *s);
void serve_stop(struct serve *s);

DEFINE_CLEANUP(struct serve, serve_stop)

#endif
