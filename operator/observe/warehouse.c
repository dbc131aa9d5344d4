/* What a warehouse needs of its cluster's FE: whether it offers warehouses, and DROP WAREHOUSE at the end. */
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/fe.h"
#include "operator/observe/metrics.h"
#include "operator/observe/warehouse.h"

enum { FEATURE_MS = 1000, STATEMENT_MAX = 256 };

bool observe_is_warehouse_drop(const json_t *intent)
{
	const char *act = data_get_str(intent, "do");
	return act && strcmp(act, "drop_warehouse") == 0;
}

/* The live read: the CR is being deleted, and is the one that was meant. */
static bool leaving(struct kube_client *kube, const json_t *target)
{
	struct kube_ref ref = { &KUBE_WAREHOUSE, data_get_str(target, "warehouse.ns"),
		                data_get_str(target, "warehouse.name"), NULL };
	const char *uid = data_get_str(target, "warehouse.uid");
	_cleanup_json_ json_t *cr = NULL;
	struct err err = ERR_INIT;
	if (!ref.ns || !ref.name || !uid || kube_get(kube, &ref, &cr, &err) != 0)
		return false;
	const char *live = data_get_str(cr, "metadata.uid");
	return live && strcmp(live, uid) == 0 && data_get_str(cr, "metadata.deletionTimestamp");
}

static bool sql_name(const char *name)
{
	return name && *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] &&
	       strlen(name) <= 64;
}

void observe_warehouse_drop(struct kube_client *kube, struct mysqlc *sql, struct deadline by,
                            const json_t *target, const json_t *intent,
                            const struct observe_fe_config *config, json_t *answer)
{
	const char *name = data_get_str(intent, "warehouse");
	_cleanup_buf_ struct buf text = BUF_INIT(STATEMENT_MAX);
	_cleanup_mysqlc_result_ struct mysqlc_result result = { 0 };
	struct err err = ERR_INIT;
	if (!sql_name(name) || !leaving(kube, target) || !config->may_write(config->arg))
		return;
	/* One that never came to be is gone as well. */
	buf_addf(&text, "DROP WAREHOUSE IF EXISTS `%s`", name);
	int rc = mysqlc_query(sql, text.p, by, &result, &err);
	observe_metric_add(OBSERVE_SQL_STATEMENTS, 1);
	log_info("warehouse=%s/%s statement=\"%s\" %s", data_get_str(target, "warehouse.ns"),
	         data_get_str(target, "warehouse.name"), text.p, rc == 0 ? "done" : err.msg);
	if (rc == 0)
		json_object_set_new(answer, "dropped", json_string(name));
	else
		json_object_set_new(answer, "refused", json_sprintf("%s: %s", text.p, err.msg));
}

int observe_warehouse_offered(struct str body)
{
	_cleanup_json_ json_t *reply = NULL;
	size_t i;
	const json_t *f;
	if (data_json_parse(body, &reply, NULL) < 0)
		return -EPROTO;
	json_array_foreach(json_object_get(reply, "features"), i, f)
	{
		const char *name = data_get_str(f, "name");
		if (name && strcmp(name, "multi-warehouse") == 0)
			return 1;
	}
	return 0;
}

void observe_warehouse_feature(struct http_client *http, const json_t *target, json_t *answer)
{
	_cleanup_buf_ struct buf url = BUF_INIT(512);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	buf_adds(&url, "http://");
	http_host_port(data_get_str(target, "host"), (int)data_get_int(target, "http_port", 8030),
	               &url);
	buf_adds(&url, "/api/v2/feature");
	struct http_call call = { .url = url.p, .by = deadline_in(FEATURE_MS) };
	if (http_call(http, &call, &reply, &err) != 0 ||
	    (reply.status != 200 && reply.status != 404))
		return;
	int rc = reply.status == 404 ? 0
	                             : observe_warehouse_offered((struct str){
					       buf_cstr(&reply.body), reply.body.len });
	if (rc >= 0)
		json_object_set_new(answer, "multi_warehouse", json_boolean(rc));
}
