/* fe.conf as roost-fe understands it: every key with its default and its range, checked once at the start.
 *
 * Thread: plain values. Ownership: conf_fe_free() frees all. Keys (StarRocks' names; ours begin with roost_):
 *   http_port 8030, rpc_port 9020, query_port 9030, edit_log_port 9010    1..65535, all different (0: any free one,
 *                                                                         tests only; edit_log_port is not opened)
 *   meta_dir                     required
 *   qe_max_connection 4096       1..100000
 *   query_timeout, query_queue_pending_timeout_second                     1..259200 s; absent: the variables' own 300
 *   min_graceful_exit_time_second 15 (0..3600), max_graceful_exit_time_second 60 (min..86400)
 *   run_mode                     shared_nothing, shared_data: both accepted, a table's storage decides
 *   aws_s3_path "bucket[/prefix]", aws_s3_endpoint, aws_s3_region us-east-1, aws_s3_access_key[_file],
 *   aws_s3_secret_key[_file], aws_s3_path_style (true when an endpoint is given)
 *   roost_bind_address 0.0.0.0, roost_fe_host (else self_host, POD_IP, the host's name), roost_token_file (else the
 *   environment's ROOST_TOKEN_FILE), roost_load_needs_token false, roost_cluster_name
 * Without a token file only loopback may be bound: then the caller makes one. */
#ifndef ROOST_ENGINE_CONF_FE_H
#define ROOST_ENGINE_CONF_FE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/conf/conf.h"

struct conf_fe {
	struct conf *raw;
	int64_t http_port, rpc_port, query_port, edit_log_port;
	const char *meta_dir, *bind_address;
	char *fe_host;
	const char *token_file; /* NULL: none given, and bound to loopback */
	const char *cluster_name;
	int64_t max_connections;
	int64_t query_timeout_s, pending_timeout_s; /* 0: not given */
	int64_t min_grace_s, max_grace_s;
	bool load_needs_token;
	char *s3_json; /* rpc.h's S3 object (holds a secret), NULL: no bucket */
	char *s3_path; /* prefix in the bucket, "" at its root */
};
/* host_type: "FQDN", "IP" or NULL (the environment's HOST_TYPE). */
int conf_fe_load(const char *path, const char *host_type, struct conf_fe *ret, struct err *err);
int conf_fe_parse(struct str text, const char *name, const char *host_type, struct conf_fe *ret,
                  struct err *err);
void conf_fe_free(struct conf_fe *c); /* also for the cleanup attribute */
#define _cleanup_conf_fe_ __attribute__((cleanup(conf_fe_free)))

#endif
