/* fe.conf, be.conf and cn.conf as far as the operator needs them: the ports that Services and probes name.
 *
 * Thread: plain values. The text is "key = value" lines; the last one wins, "#" starts a comment line,
 * values may be quoted. A port that is no number, 0 or above 65535 counts as not set, as upstream does. */
#ifndef ROOST_OPERATOR_MODEL_CONF_H
#define ROOST_OPERATOR_MODEL_CONF_H

#include <stdbool.h>

#include "lib/base/str.h"

enum model_role { MODEL_FE, MODEL_BE, MODEL_CN, MODEL_ROLES };
extern const char *const MODEL_ROLE_NAME[MODEL_ROLES]; /* "fe", "be", "cn" */

struct model_ports {
	int http, rpc, query, edit_log;   /* FE */
	int thrift, web, heartbeat, brpc; /* BE (be_port) and CN (thrift_port, else be_port) */
	int arrow_flight;                 /* 0: not set */
	bool shared_data;                 /* FE: run_mode = shared_data */
};

/* text may be empty: StarRocks' defaults. */
void model_ports_from_conf(enum model_role role, struct str text, struct model_ports *ret);
/* The value of a key, or an empty view with p == NULL. */
struct str model_conf_value(struct str text, const char *key);

#endif
